"""Other arguments for a job that is there already: checked as those of a new one, in an envelope otherwise its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from heavylift.codec import encode_args
from heavylift.errors import UNREADABLE, InvalidArgument, InvalidJob, PayloadTooLarge
from heavylift.job import JobSpec
from heavylift.options import JobOptions

NewArgs: TypeAlias = JobSpec[Any] | Mapping[str, Any]
"""Arguments that take the place of a job's own: what `handler.job(...)` returns, or a mapping."""

_stored = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Edit:
    """Arguments that take the place of a job's own: of all of them, or of some.

    Args:
        args: all of them: what `handler.job(...)` returns, checked against the handler's signature; or a mapping
            where the code is not installed, which is checked when the job runs.
        change: instead, those that change, by name; checked when the job runs.
        limit: the largest size of the encoded arguments in bytes.

    Raises:
        InvalidArgument: both were given.
    """

    def __init__(self, args: NewArgs | None, change: Mapping[str, Any] | None, limit: int) -> None:
        if args is not None and change is not None:
            raise InvalidArgument("change", sorted(change), "give either all arguments or those that change")
        self._args = args
        self._change = change
        self._limit = limit

    def __bool__(self) -> bool:
        return self._args is not None or self._change is not None

    def envelope(self, stored: bytes | None) -> bytes:
        """The stored envelope with these arguments. Whatever else is in it stays, known or not.

        Raises:
            InvalidJob: they are of another handler, or no JSON; or what is stored is no envelope.
            PayloadTooLarge: they are larger than the limit.
        """
        try:
            fields = _stored.decode(stored or b"")
            handler = msgspec.json.decode(fields["handler"], type=str)
            secret = msgspec.json.decode(fields.get("secret", b"[]"), type=tuple[str, ...])
        except (*UNREADABLE, KeyError):
            raise InvalidJob("args", "...", "cannot be given to a job whose own envelope is malformed") from None
        fields["args"] = msgspec.Raw(self._encoded(handler, secret, fields.get("args", msgspec.Raw(b"{}"))))
        return msgspec.json.encode(fields)

    def _encoded(self, handler: str, secret: tuple[str, ...], stored: msgspec.Raw) -> bytes:
        given = self._args if self._change is None else self._change
        assert given is not None
        spec = given if isinstance(given, JobSpec) else JobSpec(handler, given, options=JobOptions(secret=secret))
        if spec.handler != handler:
            raise InvalidJob("args", spec.handler, f"are of another handler; the job's is {handler!r}")
        data = encode_args(spec)
        if self._change is not None:
            data = _merged(stored, data)
        if len(data) > self._limit:
            remedy = f"is above max_payload ({self._limit}); pass a path instead"
            raise PayloadTooLarge("args", f"{len(data)} bytes", remedy)
        return data


def _merged(stored: msgspec.Raw, change: bytes) -> bytes:
    """Stored arguments with some of them changed; the others stay byte for byte."""
    try:
        return msgspec.json.encode(_stored.decode(stored) | _stored.decode(change))
    except UNREADABLE:
        raise InvalidJob("args", "...", "of the job cannot be read; give all of them anew") from None

"""Other arguments for a job that is there already: checked as those of a new one, in an envelope otherwise its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from heavylift.codec import encode_args
from heavylift.errors import UNREADABLE, InvalidJob, PayloadTooLarge
from heavylift.job import JobSpec
from heavylift.options import JobOptions

_stored = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Edit:
    """Arguments that take the place of a job's own.

    Args:
        args: what `handler.job(...)` returns, checked against the handler's signature; or a mapping where the code
            is not installed, which is checked when the job runs.
        limit: the largest size of the encoded arguments in bytes.
    """

    def __init__(self, args: JobSpec[Any] | Mapping[str, Any], limit: int) -> None:
        self._args = args
        self._limit = limit

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
        fields["args"] = msgspec.Raw(self._encoded(handler, secret))
        return msgspec.json.encode(fields)

    def _encoded(self, handler: str, secret: tuple[str, ...]) -> bytes:
        args = self._args
        spec = args if isinstance(args, JobSpec) else JobSpec(handler, args, options=JobOptions(secret=secret))
        if spec.handler != handler:
            raise InvalidJob("args", spec.handler, f"are of another handler; the job's is {handler!r}")
        data = encode_args(spec)
        if len(data) > self._limit:
            remedy = f"is above max_payload ({self._limit}); pass a path instead"
            raise PayloadTooLarge("args", f"{len(data)} bytes", remedy)
        return data

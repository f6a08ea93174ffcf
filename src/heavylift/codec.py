"""Values to bytes and back: results, progress, envelopes. JSON throughout; arguments are in `arguments`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from heavylift.arguments import blame, decode_other, encode_other
from heavylift.duration import said_seconds
from heavylift.errors import UNREADABLE, InvalidArgument, InvalidJob, InvalidResult, PayloadTooLarge
from heavylift.job import ENVELOPE_VERSION, Envelope, JobSpec, Progress
from heavylift.options import JobOptions
from heavylift.redaction import redacted

# --- results ------------------------------------------------------------------------------------------


def encode_result(value: Any, limit: int) -> bytes:
    """What a handler returned, as JSON.

    Raises:
        InvalidResult: it is not JSON, or larger than `limit` bytes.
    """
    try:
        data = msgspec.json.encode(value, enc_hook=encode_other)
    except (TypeError, ValueError, OverflowError, RecursionError) as wrong:
        raise InvalidResult("result", value, f"cannot be stored as JSON ({wrong}); return plain data") from None
    if len(data) > limit:
        raise InvalidResult(
            "result", f"{len(data)} bytes", f"is above max_result ({limit}); return a path to it instead"
        )
    return data


def decode_result(data: bytes | msgspec.Raw, kind: Any = Any) -> Any:
    """A stored result as the handler's return type; as plain JSON values where it does not fit that type."""
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=decode_other)
    except msgspec.ValidationError:
        return msgspec.json.decode(data)


def encode_progress(progress: Progress) -> bytes:
    """Progress as stored and published."""
    return msgspec.json.encode(progress)


# --- envelopes ----------------------------------------------------------------------------------------

_envelopes = msgspec.json.Decoder(Envelope)


def encode_envelope(envelope: Envelope) -> bytes:
    """The envelope as stored."""
    return msgspec.json.encode(envelope, enc_hook=encode_other)


class _Versioned(msgspec.Struct):
    v: int


_versions = msgspec.json.Decoder(_Versioned)


def newer_version(spec: bytes) -> int | None:
    """The version that an envelope says which cannot be decoded here, if that is newer; else None."""
    try:
        said = _versions.decode(spec).v
    except UNREADABLE:
        return None
    return said if said > ENVELOPE_VERSION else None


def decode_envelope(spec: bytes) -> Envelope:
    """A stored envelope.

    Raises:
        InvalidJob: it is not one: a foreign producer wrote something else.
    """
    try:
        return _envelopes.decode(spec)
    except (*UNREADABLE, InvalidArgument) as wrong:
        raise InvalidJob("spec", spec[:100], f"is not an envelope of a job ({wrong})") from None


def encode_args(spec: JobSpec[Any]) -> bytes:
    """The arguments of a request as JSON: as its handler checked them, else encoded as they are.

    Raises:
        InvalidJob: made by hand with something that is not JSON.
    """
    if spec.encoded is not None:
        return spec.encoded
    if not isinstance(spec.args, Mapping) or not all(isinstance(name, str) for name in spec.args):
        raise InvalidJob("args", spec.args, "give a mapping of argument names to values")
    try:
        return msgspec.json.encode(dict(spec.args), enc_hook=encode_other)
    except (TypeError, ValueError, OverflowError, RecursionError) as wrong:
        raise blame(wrong, redacted(spec.args, spec.options.secret), spec.handler) from None


def seal(
    spec: JobSpec[Any],
    options: JobOptions,
    *,
    limit: int,
    enqueued_at: int | None = None,
    carrier: dict[str, str] | None = None,
) -> bytes:
    """The envelope of a request, ready to be stored.

    Args:
        spec: the request.
        options: its options, with those of `enqueue` merged in, checked.
        limit: the largest size of the arguments in bytes.
        enqueued_at: ms since 1970; now if not given.
        carrier: what middleware sends along.

    Raises:
        InvalidJob: the arguments are not JSON.
        PayloadTooLarge: they are larger than `limit`.
    """
    data = encode_args(spec)
    if len(data) > limit:
        raise PayloadTooLarge("args", f"{len(data)} bytes", f"is above max_payload ({limit}); pass a path instead")
    return encode_envelope(
        Envelope(
            handler=spec.handler,
            args=msgspec.Raw(data),
            enqueued_at=time.time_ns() // 1_000_000 if enqueued_at is None else enqueued_at,
            retries=options.retries,
            backoff=options.backoff,
            timeout=said_seconds("timeout", options.timeout),
            grace=said_seconds("grace", options.grace),
            keep=said_seconds("keep", options.keep),
            keep_failed=said_seconds("keep_failed", options.keep_failed),
            tags=options.tags,
            correlation_id=options.correlation_id,
            secret=options.secret,
            flow=options.flow,
            after=len(options.after),
            carrier=carrier or None,
        )
    )


def stamped(spec: bytes, at: int) -> bytes:
    """A stored envelope with another `enqueued_at` (ms). What else is in it stays, known here or not.

    Raises:
        InvalidJob: it is no envelope.
    """
    try:
        fields = msgspec.json.decode(spec, type=dict[str, msgspec.Raw])
    except UNREADABLE as wrong:
        raise InvalidJob("spec", spec[:100], f"is not an envelope of a job ({wrong})") from None
    return msgspec.json.encode(fields | {"enqueued_at": at})

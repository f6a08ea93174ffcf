"""Values to bytes and back: results, errors, progress, envelopes. JSON throughout; arguments are in `arguments`.

An exception leaves here as plain data. User exceptions never cross a process boundary or reach Redis: they may not
unpickle, and whoever reads them may not have the code. Whatever a handler raises must come out as text of bounded
size: an exception whose `__str__` raises, a chain that bites its own tail, a thousand frames of recursion, half a
surrogate pair in the message.
"""

from __future__ import annotations

import hashlib
import sysconfig
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from heavylift.arguments import blame, decode_other, encode_other
from heavylift.errors import InvalidArgument, InvalidJob, InvalidResult, PayloadTooLarge, Stop
from heavylift.job import Envelope, JobOptions, JobSpec, Progress, seconds
from heavylift.outcome import ErrorInfo

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
    return msgspec.json.encode(envelope)


def decode_envelope(spec: bytes) -> Envelope:
    """A stored envelope.

    Raises:
        InvalidJob: it is not one: a foreign producer wrote something else.
    """
    try:
        return _envelopes.decode(spec)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidArgument) as wrong:
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
        raise blame(wrong, spec.args, spec.handler) from None


def seal(spec: JobSpec[Any], options: JobOptions, *, limit: int, enqueued_at: int | None = None) -> bytes:
    """The envelope of a request, ready to be stored.

    Args:
        spec: the request.
        options: its options, with those of `enqueue` merged in, checked.
        limit: the largest size of the arguments in bytes.
        enqueued_at: ms since 1970; now if not given.

    Raises:
        InvalidJob: the arguments are not JSON.
        PayloadTooLarge: they are larger than `limit`.
    """
    data = encode_args(spec)
    if len(data) > limit:
        raise PayloadTooLarge("args", f"{len(data)} bytes", f"is above max_payload ({limit}); pass a path instead")
    keep = None if options.keep is None else seconds("keep", options.keep)
    return encode_envelope(
        Envelope(
            handler=spec.handler,
            args=msgspec.Raw(data),
            enqueued_at=time.time_ns() // 1_000_000 if enqueued_at is None else enqueued_at,
            retries=options.retries,
            backoff=options.backoff,
            timeout=options.timeout,
            grace=options.grace,
            keep=keep,
            tags=options.tags,
            correlation_id=options.correlation_id,
        )
    )


# --- errors -------------------------------------------------------------------------------------------

MESSAGE_LIMIT = 2_000
TRACEBACK_LIMIT = 16 * 1024
"""Bytes of UTF-8. A dead letter keeps the error of up to twenty attempts."""

_OWN = str(Path(__file__).parent)
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def error_info(error: BaseException) -> ErrorInfo:
    """Describe an exception: its type, message, traceback and fingerprint, each of bounded size. Does not raise."""
    kind = _type_name(type(error))
    frames = _frames(error)
    return ErrorInfo(
        type=kind,
        message=cut(_text_of(error), MESSAGE_LIMIT),
        traceback=cut(_trace_of(error, kind), TRACEBACK_LIMIT),
        fingerprint=_fingerprint(kind, frames),
    )


def cut(text: str, limit: int) -> str:
    """At most `limit` bytes of a text, cut in the middle: both the beginning and the end of a traceback matter."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data.decode()
    mark = f"\n... {len(data) - limit} bytes left out ...\n".encode()
    half = max(0, (limit - len(mark)) // 2)
    return (data[:half] + mark + data[len(data) - half :]).decode("utf-8", "ignore")


def _type_name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Stop:
        raise
    except BaseException as worse:
        return f"<its message cannot be shown: __str__ raised {type(worse).__name__}>"


def _trace_of(error: BaseException, kind: str) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, _first_foreign(error)))
    except Stop:
        raise
    except BaseException as worse:
        return f"{kind}: <its traceback cannot be shown: {type(worse).__name__}>"


def _first_foreign(error: BaseException) -> TracebackType | None:
    """The traceback without heavylift's own frames at its top: the reader's code begins it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.startswith(_OWN):
        trace = trace.tb_next
    return trace


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of the handler's own code; all there are if none of it is."""
    try:
        frames = list(traceback.extract_tb(error.__traceback__))
    except Stop:
        raise
    except BaseException:
        return []
    foreign = [f for f in frames if not f.filename.startswith(_OWN)]
    own = [f for f in foreign if not f.filename.startswith(_LIBRARIES)]
    return own or foreign


def _fingerprint(kind: str, frames: list[traceback.FrameSummary]) -> str:
    """Equal for equal faults. Line numbers are left out: a line added above must not make a new fault of it.

    A frame that repeats at once counts once, so the depth of a recursion does not matter.
    """
    digest = hashlib.blake2b(kind.encode("utf-8", "backslashreplace"), digest_size=6)
    last = ""
    for frame in frames:
        part = f"\0{Path(frame.filename).name}\0{frame.name}\0{frame.line or ''}"
        if part != last:
            digest.update(part.encode("utf-8", "backslashreplace"))
        last = part
    return digest.hexdigest()

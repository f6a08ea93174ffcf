"""An exception as plain data.

User exceptions never cross a process boundary or reach Redis: they may not unpickle, and whoever reads them may not
have the code. This does. Whatever a handler raises must come out of here as text of bounded size: an exception whose
`__str__` raises, a chain that bites its own tail, a thousand frames of recursion, half a surrogate pair in the message.
"""

from __future__ import annotations

import hashlib
import sysconfig
import traceback
from pathlib import Path
from types import TracebackType

from heavylift.errors import Stop
from heavylift.outcome import ErrorInfo
from heavylift.redaction import SILENT, Hush

NAME_LIMIT = 500
MESSAGE_LIMIT = 2_000
TRACEBACK_LIMIT = 16 * 1024
"""Bytes of UTF-8. A dead letter keeps the error of up to twenty attempts."""

_OWN = str(Path(__file__).parent)
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def error_info(error: BaseException, hush: Hush = SILENT) -> ErrorInfo:
    """Describe an exception: its type, message, traceback and fingerprint, each of bounded size. Does not raise.

    Args:
        error: what was raised.
        hush: takes secrets out of its texts.
    """
    kind = _type_name(type(error))
    frames = _frames(error)
    return ErrorInfo(
        type=kind,
        message=cut(hush(_text_of(error)), MESSAGE_LIMIT),
        traceback=cut(hush(_trace_of(error, kind)), TRACEBACK_LIMIT),
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
    try:
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        return cut(name, NAME_LIMIT)
    except Stop:
        raise
    except BaseException:  # a class may be of a kind that has its own idea of what these are
        return "Exception"


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

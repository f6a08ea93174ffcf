"""Is a file complete, or is somebody still writing it?

Nobody tells us when a copy is done, so three signs must agree: its size and time have not changed for a moment; nobody
has it open for writing (where the system can tell); and it ends the way its format says. The last one also sees through
a writer that pauses. A file that is merely damaged never ends well: after a while it is passed on all the same,
so that its job can say what is wrong with it.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from typing import BinaryIO

STILL = 0.3
"""Seconds without a change."""

PATIENCE = 30.0
"""Seconds without a change after which a file that does not end well is taken for damaged."""

TAIL = 64 * 1024

_PNG_END = b"IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"


def is_whole(path: Path, still: float) -> bool:
    """True if the file is complete, as far as can be told.

    Args:
        path: a regular file.
        still: seconds since it changed.

    Raises:
        OSError: it cannot be read (any more).
    """
    if still < STILL:
        return False
    with path.open("rb") as file:
        if _being_written(file.fileno()):
            return False
        return still >= PATIENCE or _ends_well(file, os.fstat(file.fileno()).st_size)


def _being_written(descriptor: int) -> bool:
    """True if a process has it open for writing. Linux grants a read lease only where nobody has."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        pass  # not our file, or a file system without leases
    return False


def _ends_well(file: BinaryIO, size: int) -> bool:
    """True if it ends as its first bytes promise; of formats not known here, any end is good."""
    head = file.read(12)
    if not head:
        return False
    if head[:4] == b"RIFF":
        return int.from_bytes(head[4:8], "little") + 8 <= size
    if head[:2] == b"BM":
        return int.from_bytes(head[2:6], "little") <= size
    file.seek(max(0, size - TAIL))
    tail = file.read(TAIL)
    if head.startswith(b"\x89PNG"):
        return _PNG_END in tail
    if head.startswith(b"\xff\xd8\xff"):
        return _JPEG_END in tail[2:]
    return not head.startswith(b"GIF8") or tail.rstrip(b"\0").endswith(b";")

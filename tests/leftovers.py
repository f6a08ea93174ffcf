"""What a test may have left behind: processes, descriptors, files. Each a question with a list as its answer.

On Linux the test run is made the reaper of its descendants (`adopt_orphans`), so that a process whose parent a test has
killed does not slip away to process 1: it becomes our own child, and is found.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36

KEPT_BY_PYTHON = "multiprocessing.resource_tracker"
"""The process that Python itself keeps for the life of the interpreter, once anybody has used multiprocessing."""


def adopt_orphans() -> None:
    """Make this process the parent of every orphaned descendant. Does nothing where the system cannot."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


# --- processes -----------------------------------------------------------------------------------------------


def processes(lasting: Iterable[int] = ()) -> list[str]:
    """Running descendants of this process, but for the lasting ones. Zombies nobody waits for are reaped on the way."""
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    lasting = {*lasting, getattr(tracker and tracker._resource_tracker, "_pid", None)}
    if (children := _children()) is not None and not children - lasting:
        return []
    left = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if child.pid in lasting:
                continue
            if child.status() == psutil.STATUS_ZOMBIE:
                _reap(child.pid)
                continue
            command = " ".join(child.cmdline()) or child.name()
            if KEPT_BY_PYTHON not in command or child.ppid() != os.getpid():
                left.append(f"{child.pid} {command[:160]}")
    return left


def _children() -> frozenset[int] | None:
    """Our children by a cheap question; a descendant without us would have become one. None if it cannot be asked."""
    pids: set[int] = set()
    try:
        for task in os.listdir("/proc/self/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
                pids.update(map(int, Path(f"/proc/self/task/{task}/children").read_text().split()))
    except OSError:
        return None
    return frozenset(pids)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


# --- file descriptors ----------------------------------------------------------------------------------------


def descriptors() -> dict[int, str]:
    """Open descriptors of this process and what they are. Empty where the system does not say."""
    found = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                found[int(entry.name)] = os.readlink(entry.path)
    return found


def new_descriptors(before: dict[int, str]) -> list[str]:
    """Descriptors that were not open before, but for those Python keeps (its resource tracker, files of its own)."""
    if not (opened := _opened(before)):
        return []
    gc.collect()
    opened = _opened(before)
    kept = _kept_by_python()
    listing = f"/proc/{os.getpid()}/fd"
    return [
        f"{number} -> {target}"
        for number, target in opened.items()
        if number not in kept
        and target != listing
        and not target.startswith(("/dev/", listing))
        and not ("site-packages" in target or target.startswith(sys.prefix))
    ]


def _opened(before: dict[int, str]) -> dict[int, str]:
    return {number: target for number, target in descriptors().items() if before.get(number) != target}


def _kept_by_python() -> set[int | None]:
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    return {getattr(tracker._resource_tracker, "_fd", None)} if tracker is not None else set()


# --- files ---------------------------------------------------------------------------------------------------


def files(folder: Path) -> list[str]:
    """Everything in a folder that ought to be empty, but for the empty one that sockets with a long path stood in."""
    sockets = folder / f"heavylift-{os.getuid()}"
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    return [] if found == [sockets.name] and sockets.is_dir() else found

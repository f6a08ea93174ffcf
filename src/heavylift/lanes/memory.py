"""How much memory a process has, and a limit on what the handler in it may ask for."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterable

LINUX = sys.platform == "linux"
PAGE = resource.getpagesize()


def resident(pid: int) -> int:
    """Resident size in bytes; 0 if that cannot be said."""
    if LINUX:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * PAGE
        except (OSError, IndexError):
            return 0
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def share(pid: int) -> int:
    """As `resident`, with pages that others have too counted in parts, where the system says so."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return resident(pid)


def sessions(leaders: Iterable[int]) -> dict[int, list[int]]:
    """All processes of these sessions, each list beginning with its leader's own.

    Raises:
        OSError: they cannot be looked at now, no descriptor is free.
    """
    import psutil

    found = {leader: [leader] for leader in leaders}
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            leader = os.getsid(pid)
            if leader != pid and leader in found:
                found[leader].append(pid)
    return found


class Backstop:
    """Has allocations fail that are too large for a watch to see in time: those raise `MemoryError` at once.

    What counts is what the process asks for above what it had, whether it touches that or not, as the stacks of
    threads; so it may ask for twice its limit. Each process that it starts meanwhile may, too. Only Linux keeps to it.
    """

    def __init__(self) -> None:
        self._limit: int | None = None
        self._before: tuple[int, int] | None = None

    def at(self, limit: int | None) -> Backstop:
        """For the next attempt: bytes; None for no limit."""
        self._limit = limit
        return self

    def __enter__(self) -> None:
        if self._limit is None or not LINUX:
            return
        with open("/proc/self/statm", "rb") as file:
            has = int(file.read().split()[5]) * PAGE
        self._before = soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min([has + 2 * self._limit, *limits]), hard))

    def __exit__(self, *_: object) -> None:
        self.lift()

    def lift(self) -> None:
        """Take the limit away, if there is one."""
        if self._before is not None:
            resource.setrlimit(resource.RLIMIT_DATA, self._before)
            self._before = None

"""Processes that not even SIGKILL has ended: they hang in the system, on a disk or a mount that does not answer.

Such a process runs no line of its handler any more, so its attempt is settled and its place filled without it; it ends
when the system lets go of it. Each still keeps its memory, so a lane starts at most as many processes for them as it
has places: from then on those that hang take places themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from heavylift.lanes.loop import Loop
from heavylift.lanes.slot import Slot
from heavylift.log import log


class Stuck:
    """Belongs to the keeper's thread; its length may be asked for in any.

    Args:
        ended: what to do when one has ended after all.
    """

    def __init__(self, loop: Loop, ended: Callable[[Slot], None]) -> None:
        self._loop = loop
        self._ended = ended
        self._slots: set[Slot] = set()

    def __len__(self) -> int:
        return len(self._slots)

    def add(self, slot: Slot) -> None:
        """Write it off, and wait for its end."""
        self._slots.add(slot)
        self._loop.watch(slot.sentinel, partial(self._gone, slot))
        log.error("a process does not end though it was killed; its slot is written off", pid=slot.pid, stuck=len(self))

    def ended(self) -> list[Slot]:
        """Those that have ended after all, and were not seen to."""
        return [slot for slot in self._slots if slot.ended]

    def _gone(self, slot: Slot) -> None:
        self._slots.discard(slot)
        self._loop.forget(slot.sentinel)
        log.info("a process that was written off has ended after all", pid=slot.pid, stuck=len(self))
        self._ended(slot)

"""Looks after attempts that have a memory limit: what they and all that they have started have taken.

What counts is what has come since the attempt began: what the process had by then, the interpreter, loaded handlers, an
earlier job's leavings, is not its doing. A process that has begun a session of its own is out of sight.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from math import inf

from heavylift.lanes.memory import resident, sessions, share
from heavylift.lanes.slot import Slot

LOOK_EVERY = 0.05
"""Seconds between two looks. An attempt can take some 200 MB more in that time; the backstop ends larger steps."""


class MemoryWatch:
    """Belongs to the keeper's thread. Without such attempts it does nothing.

    Attributes:
        due: when it wants to look again (monotonic).
    """

    def __init__(self) -> None:
        self.due = inf

    def begin(self) -> None:
        """An attempt with a limit has begun."""
        self.due = min(self.due, time.monotonic() + LOOK_EVERY)

    def over(self, slots: Iterable[Slot]) -> Iterator[tuple[Slot, int]]:
        """Slots whose attempt has more than it may, and how much that is in bytes; each attempt once."""
        if time.monotonic() < self.due:
            return
        watched = {slot.pid: slot for slot in slots if not slot.dead and slot.call is not None and slot.call.limited}
        self.due = time.monotonic() + LOOK_EVERY if watched else inf
        if not watched:
            return
        try:
            found = sessions(watched)
        except OSError:  # looks again when it is due; meanwhile there is the backstop
            return
        for leader, members in found.items():
            call = watched[leader].call
            if call is None or (limit := call.start.memory) is None:
                continue
            used = sum(map(resident, members)) - call.had.resident
            if used > limit and len(members) > 1:  # pages they share were counted for each
                used = sum(map(share, members)) - call.had.share
            if used > limit:
                yield watched[leader], used

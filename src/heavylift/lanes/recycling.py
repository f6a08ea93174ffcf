"""When a slot's process is to be renewed though nothing is wrong with it: it has run many jobs, or kept much memory."""

from __future__ import annotations

import time

from heavylift.lanes.slot import Slot

LOOK_EVERY = 1.0
"""Seconds between two looks at a busy slot's memory."""


class Recycling:
    """The limits of a lane's slots.

    Args:
        jobs: a process runs no more than these; 0 for any number.
        rss: a process that keeps more bytes than these is renewed; 0 for never.
    """

    def __init__(self, jobs: int, rss: int) -> None:
        self._jobs = jobs
        self._rss = rss

    def worn(self, slot: Slot) -> bool:
        """It has just ended a job, and shall run no other."""
        if self._jobs and slot.jobs >= self._jobs:
            return True
        return time.monotonic() - slot.rss_seen >= LOOK_EVERY and self.bloated(slot)

    def bloated(self, slot: Slot) -> bool:
        """It keeps too much memory, beside what it has loaded for its handlers: it would load that again."""
        return bool(self._rss) and slot.rss() - slot.loaded > self._rss

"""Starts the processes of the slots, again and again if need be, but never in a storm.

A place that has lost its process gets another at once. Only when processes die before they are of use (handlers that
cannot be imported, a machine without memory) are they started one at a time, with growing pauses. What is decided
here is decided in the keeper's thread; only `_launch` runs in a thread of its own, for it blocks.
"""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from math import inf

from heavylift.lanes.errands import Errands
from heavylift.lanes.forkserver import ForkServer
from heavylift.lanes.slot import Slot
from heavylift.log import log

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds before the next start after one that failed, doubled each time."""


class Launcher:
    """Fills the places of a lane.

    Args:
        size: how many places there are to be.
        server: where processes come from.
        settings: what a child has to know.
        post: has the keeper's thread call something.
        launched: what to do with a new process, in the keeper's thread.

    Attributes:
        size: how many places there are to be.
        stuck: how many processes hang beside them; as many as there are places are made up for.
        problem: why slots cannot be started, if they cannot.
        started: how many processes were.
        changed: notified when `problem` was set or cleared.
    """

    def __init__(
        self,
        size: int,
        server: ForkServer,
        settings: bytes,
        post: Callable[[Callable[[], None]], None],
        launched: Callable[[Slot], None],
    ) -> None:
        self.size = size
        self.stuck = 0
        self.problem = ""
        self.started = 0
        self.changed = threading.Condition()
        self._server = server
        self._settings = settings
        self._post = post
        self._launched = launched
        self._indexes = itertools.count()
        self._present = 0  # processes that live or were ordered
        self._in_hand = 0  # launched or about to be, and not heard of yet
        self._failures = 0
        self._batch = 0
        self._not_before = 0.0
        self._closing = False
        self._errands = Errands("cpu-start")

    def start(self) -> None:
        """Start the thread."""
        self._errands.start()

    def closing(self) -> None:
        """Start nothing more, and wait for nothing that takes long."""
        self._closing = True
        self._server.give_up()

    def close(self, patience: float) -> None:
        """Wait for what is being started, and end the thread."""
        self.closing()
        if not self._errands.close(patience):
            self._server.kill()  # a start hangs
            self._errands.close(patience)

    # --- in the keeper's thread -------------------------------------------------------------------------------

    def fill(self) -> None:
        """Start what is missing, as far as that is allowed now."""
        while self.excess() < 0 and not self._waiting() and time.monotonic() >= self._not_before:
            self._present += 1
            self._in_hand += 1
            self._errands.order(partial(self._launch, next(self._indexes), self._batch))

    def due(self) -> float:
        """When `fill` has something to do (monotonic)."""
        return self._not_before if self.excess() < 0 and not self._waiting() else inf

    def vacant(self) -> None:
        """A place has lost its process."""
        self._present -= 1

    def excess(self) -> int:
        """How many processes there are too many."""
        return self._present + self.lost() - self.size

    def lost(self) -> int:
        """How many places are taken by processes that hang."""
        return min(self.size, max(0, self.stuck - self.size))

    def settled(self) -> None:
        """A process that was started has been heard of, or will not be any more."""
        self._in_hand -= 1

    def well(self) -> None:
        """A process is up."""
        self._say("")

    def useful(self) -> None:
        """A process has done something, so the next that fails is the first."""
        self._failures = 0

    def failed(self, why: str, batch: int) -> None:
        """A start has failed. Those that were ordered before the first of them failed add nothing to that."""
        if batch != self._batch:
            return
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures)
        self._batch += 1
        self._failures += 1
        self._not_before = time.monotonic() + pause
        log.error("a slot cannot be started", pause=pause, why=why)
        self._say(why)

    def _waiting(self) -> bool:
        return self._closing or bool(self._failures and self._in_hand)

    def _not_launched(self, batch: int, why: str) -> None:
        self._in_hand -= 1
        self._present -= 1
        self.failed(why, batch)

    def _started(self, slot: Slot) -> None:
        self.started += 1
        self._launched(slot)

    def _say(self, problem: str) -> None:
        with self.changed:
            self.problem = problem
            self.changed.notify_all()

    # --- in the thread for errands ------------------------------------------------------------------------------

    def _launch(self, index: int, batch: int) -> None:
        try:
            slot = Slot.launch(index, self._server, self._settings)
        except Exception:
            if self._closing:
                return  # given up, and no failure
            self._post(partial(self._not_launched, batch, traceback.format_exc()))
        else:
            slot.batch = batch
            self._post(partial(self._started, slot))

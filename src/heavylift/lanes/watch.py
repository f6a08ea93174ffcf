"""The clock of the io lane: one thread for every deadline of every attempt."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import inf

from heavylift.lanes.running import Run
from heavylift.service import Service

LONGEST = 3600.0
"""Seconds it sleeps at most: the system's own limit is not far above what a timeout may be."""


class Watch(Service):
    """A thread that looks at the runs when the first of their deadlines is due, and sleeps until the next.

    It keeps no list of timers: a run that ends takes its deadlines with it, and there are never more runs than places.
    """

    def __init__(
        self,
        runs: Callable[[], list[Run]],
        act: Callable[[Run, float], None],
        on_crash: Callable[[BaseException], None] | None = None,
        look: Callable[[float], float] = lambda now: inf,
    ) -> None:
        """`act` is called for each run that is due, `look` each time; it says when to look again in any case."""
        super().__init__("io-watch", on_crash)
        self._runs = runs
        self._act = act
        self._look = look
        self._next = inf
        self._changed = threading.Condition()

    def wake(self) -> None:
        """Look at `stopping`."""
        with self._changed:
            self._changed.notify()

    def sooner(self, due: float) -> None:
        """Look no later than this. Cheap if it would anyway."""
        if due < self._next:
            with self._changed:
                if due < self._next:
                    self._next = due
                    self._changed.notify()

    def run(self) -> None:
        """Look and sleep."""
        while self._wait():
            now = time.monotonic()
            for run in self._runs():
                if run.due <= now:
                    self._act(run, now)
            again = self._look(now)
            # Runs that begin while we look set an earlier `_next` themselves, so it is only ever brought forward.
            for run in self._runs():
                self.sooner(run.due)
            self.sooner(again)

    def _wait(self) -> bool:
        with self._changed:
            while not self.stopping.is_set() and (wait := self._next - time.monotonic()) > 0:
                self._changed.wait(min(wait, LONGEST))
            self._next = inf
            return not self.stopping.is_set()

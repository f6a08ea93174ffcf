"""The clock of the io lane: one thread for every deadline of every attempt."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import inf

from heavylift.lanes.running import Run


class Watch:
    """A thread that looks at the runs when the first of their deadlines is due, and sleeps until the next.

    It keeps no list of timers: a run that ends takes its deadlines with it, and there are never more runs than places.
    """

    def __init__(self, runs: Callable[[], list[Run]], act: Callable[[Run, float], None]) -> None:
        self._runs = runs
        self._act = act
        self._next = inf
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="heavylift-io-watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread and wait for it."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def sooner(self, due: float) -> None:
        """Look no later than this. Cheap if it would anyway."""
        if due < self._next:
            with self._changed:
                if due < self._next:
                    self._next = due
                    self._changed.notify()

    def _loop(self) -> None:
        while self._wait():
            now = time.monotonic()
            for run in self._runs():
                if run.due <= now:
                    self._act(run, now)
            # Runs that begin while we look set an earlier `_next` themselves, so it is only ever brought forward.
            for run in self._runs():
                self.sooner(run.due)

    def _wait(self) -> bool:
        with self._changed:
            while not self._closing and (wait := self._next - time.monotonic()) > 0:
                self._changed.wait(None if wait == inf else wait)
            self._next = inf
            return not self._closing

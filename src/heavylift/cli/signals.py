"""Signals of a worker.

| signal | meaning |
|---|---|
| TERM | end gracefully: running attempts get until the deadline |
| INT (Ctrl-C) | the same; a second one does not wait for them; a third ends the process at once |
| TSTP, USR1 | claim nothing more; again: claim again |
| TTIN, USR2 | write the stacks of all threads to standard error |

A Python signal handler runs between any two lines of the main thread, also inside a lock that thread holds. So it does
the one thing that is safe there, `SimpleQueue.put`, and a thread of its own does the rest.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType

from heavylift.cli.exits import AT_ONCE

_HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGTSTP, signal.SIGUSR1)
SHOW_CURSOR = b"\x1b[?25h\n"
_DUMPS = (signal.SIGTTIN, signal.SIGUSR2)


class Signals:
    """Installed before the worker starts, restored never: the process ends with it.

    Attributes:
        stopping: set by the first TERM or INT.
        hurried: set by the second INT.
    """

    def __init__(self, *, stop: Callable[[], None], hurry: Callable[[], None], quiet: Callable[[bool], None]) -> None:
        """The three are called from a thread of this object's."""
        self.stopping = threading.Event()
        self.hurried = threading.Event()
        self._stop, self._hurry, self._quiet = stop, hurry, quiet
        self._arrived: SimpleQueue[int] = SimpleQueue()
        self._interrupts = 0
        self._is_quiet = False

    def install(self) -> None:
        """Heed signals from now on. Call it from the main thread."""
        threading.Thread(target=self._attend, name="heavylift-signals", daemon=True).start()
        for number in _HEEDED:
            signal.signal(number, self._note)
        if sys.stderr is not None:
            for number in _DUMPS:
                faulthandler.register(number, all_threads=True, chain=False)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts >= 3:
                if os.isatty(1):
                    os.write(1, SHOW_CURSOR)  # a live display has hidden it
                os._exit(AT_ONCE)
        self._arrived.put(number)

    def _attend(self) -> None:
        while True:
            number = self._arrived.get()
            if number in (signal.SIGTSTP, signal.SIGUSR1):
                self._is_quiet = not self._is_quiet
                self._quiet(self._is_quiet)
            elif not self.stopping.is_set():
                self.stopping.set()
                self._stop()
            elif number == signal.SIGINT and not self.hurried.is_set():
                self.hurried.set()
                self._hurry()

"""Signals of a worker.

| signal | meaning |
|---|---|
| TERM | end gracefully: running attempts get until the deadline |
| INT (Ctrl-C) | the same; a second one does not wait for them; a third ends the process at once |
| TSTP, USR1 | claim nothing more; again: claim again |
| TTIN, USR2 | write the stacks of all threads to standard error |

A signal handler written in Python runs in the main thread, when that next comes to it; and one that waits for a lock
may not come to it at all, because the system gave the signal to another thread, or gave it just before the wait began
(seen: a TERM that was heeded only when the next signal came). So nothing is left to it. The interpreter's own handler,
written in C, puts the signal's number into a pipe wherever it runs, and a thread of ours reads the pipe.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

from heavylift.cli.exits import AT_ONCE

_ENDS = (signal.SIGTERM, signal.SIGINT)
_RESTS = (signal.SIGTSTP, signal.SIGUSR1)
SHOW_CURSOR = b"\x1b[?25h\n"
_DUMPS = (signal.SIGTTIN, signal.SIGUSR2)


class Signals:
    """Installed before the worker starts, restored never: the process ends with it.

    Attributes:
        stopping: set by the first TERM or INT.
        hurried: set by the second INT.
    """

    def __init__(self, *, stop: Callable[[], None], hurry: Callable[[], None], quiet: Callable[[], None]) -> None:
        """The three are called from a thread of this object's; `quiet` turns it on or off."""
        self.stopping = threading.Event()
        self.hurried = threading.Event()
        self._stop, self._hurry, self._quiet = stop, hurry, quiet
        self._interrupts = 0

    def install(self) -> None:
        """Heed signals from now on. Call it from the main thread."""
        arrived, into = os.pipe()
        os.set_blocking(into, False)
        signal.set_wakeup_fd(into, warn_on_full_buffer=False)
        for number in (*_ENDS, *_RESTS, *_DUMPS):
            signal.signal(number, lambda *_: None)
        threading.Thread(target=self._attend, args=(arrived,), name="heavylift-signals", daemon=True).start()

    def _attend(self, arrived: int) -> None:
        while True:
            for number in os.read(arrived, 512):
                self._heed(signal.Signals(number))

    def _heed(self, number: signal.Signals) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
        if self._interrupts >= 3:
            if os.isatty(1):
                os.write(1, SHOW_CURSOR)  # a live display has hidden it
            os._exit(AT_ONCE)
        if number in _RESTS:
            self._quiet()
        elif number in _DUMPS:
            sys.stderr.write(stacks())
            sys.stderr.flush()
        elif number in _ENDS and not self.stopping.is_set():
            self.stopping.set()
            self._stop()
        elif number == signal.SIGINT and not self.hurried.is_set():
            self.hurried.set()
            self._hurry()


def stacks() -> str:
    """What every thread is doing, innermost call last.

    Not by `faulthandler`, which looks at the other threads' frames while they run: that was seen to end a worker.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = [
        f"Thread {names.get(ident, ident)}\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
        if ident != threading.get_ident()
    ]
    return "\n".join(parts)

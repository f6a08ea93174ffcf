"""The soft stop, on the child's side: `Stop` raised in the main thread, for one call only, and never in mid-write.

The worker's message is read by the listener thread, which leaves word here and sends the main thread a signal. The
signal interrupts blocking system calls too, which an exception set from another thread would not. Its handler runs in
the main thread, between two bytecodes, and raises only if the call that was meant is the one that is armed, so a stop
that comes too late does nothing. While the main thread writes to the pipe the stop is held back, or half a frame
would be left in it.

At most one `Stop` is raised for one call. That makes the few lines around the handler simple: whoever catches one
need not fear a second.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from heavylift.errors import Stop, StopReason

SIGNAL = signal.SIGUSR1


class Stopping:
    """Made in the main thread."""

    def __init__(self) -> None:
        self._main = threading.get_ident()
        self._armed: int | None = None
        self._asked: tuple[int, StopReason] | None = None
        self._holding = False
        self._late = False
        signal.signal(SIGNAL, self._on_signal)

    def reason(self, call: int) -> StopReason | None:
        """Why this call was asked to stop, if it was."""
        asked = self._asked
        return asked[1] if asked is not None and asked[0] == call else None

    def ask(self, call: int, reason: StopReason) -> None:
        """Stop this call. From the listener's thread. The first reason stays."""
        if self.reason(call) is not None:
            return
        self._asked = (call, reason)
        if self._armed == call:
            signal.pthread_kill(self._main, SIGNAL)

    def arm(self, call: int) -> StopReason | None:
        """From here on this call can be stopped. Returns the reason if it was asked to even before."""
        self._late = False
        self._armed = call
        return self.reason(call)

    def disarm(self) -> None:
        """From here on it cannot."""
        self._armed = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """No stop is raised within; one that comes is raised at the end. In other threads this does nothing."""
        if threading.get_ident() != self._main:
            yield
            return
        try:
            self._holding = True
            yield
        finally:
            self._holding = False
        if self._late:
            self._raise()

    def _on_signal(self, _signal: int, _frame: Any) -> None:
        if self._armed is None or self.reason(self._armed) is None:
            return
        if self._holding:
            self._late = True
        else:
            self._raise()

    def _raise(self) -> None:
        call, self._armed, self._late = self._armed, None, False
        if call is not None and (reason := self.reason(call)) is not None:
            raise Stop(reason)

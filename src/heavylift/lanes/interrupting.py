"""Stopping a plain handler: an exception is raised in the thread that runs it, and in nothing else of that thread's."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

from heavylift.errorinfo import error_info
from heavylift.errors import Stop, StopReason
from heavylift.lanes.running import Run
from heavylift.outcome import Outcome, Raised

_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in.argtypes = (ctypes.c_ulong, ctypes.py_object)
_raise_in.restype = ctypes.c_int


class _TakenBack(BaseException):
    """Raised in place of a stop that nobody wants any more, and caught at once."""


def _take_back() -> None:
    """No stop is on its way to this thread any more.

    Clearing it would leave the interpreter looking for it at every call for the rest of its life. That is slow, and in
    CPython 3.11 a function that is traced, by a debugger or for its coverage, never begins. So another takes its place.
    """
    try:
        _raise_in(threading.get_ident(), _TakenBack)  # strikes as this call returns, or where a loop begins again
        for _ in range(100):
            pass
    except _TakenBack:
        pass


def _stop_class(reason: StopReason) -> type[Stop]:
    """The interpreter takes a class, not an instance, to raise in another thread; so there is one for each reason."""

    def init(self: Stop, _reason: StopReason = reason) -> None:
        Stop.__init__(self, _reason)

    return type("Stop", (Stop,), {"__init__": init, "__module__": Stop.__module__})


_STOPS: dict[StopReason, type[Stop]] = {
    reason: _stop_class(reason) for reason in ("timeout", "cancelled", "lock_lost", "lost_contact", "shutdown")
}


class Interruptible:
    """A thread that runs plain handlers, one after the other. Implements `running.Place`.

    Attributes:
        run_now: the run it is at.
    """

    def __init__(self) -> None:
        self.run_now: Run | None = None
        self._ident: int | None = None
        self._guard = threading.Lock()  # the two below, and `run_now` against a stop that comes too late
        self._sheltered = False
        self._waiting = False

    def outcome(self, run: Run, execute: Callable[[Run], Outcome]) -> Outcome:
        """Run it, here. A `Stop` may strike at any call in here, even the last; it does so once at most.

        Args:
            run: what to run.
            execute: runs a handler to an outcome; a `Stop` may come out of it.
        """
        try:
            try:
                self._hold(run)
                outcome = execute(run)
            except Stop:
                raise
            except BaseException as defect:  # ours: an attempt does not raise
                outcome = Raised(error_info(defect))
            self._release(run)
        except Stop:
            outcome = run.stop_outcome()
            self._release(run)
        return outcome

    def interrupt(self, run: Run) -> None:
        """Raise `Stop` here if this run is still the one."""
        with self._guard:
            if self.run_now is run and not run.stop_sent and self._ident is not None:
                run.stop_sent = True
                if self._sheltered:
                    self._waiting = True
                else:
                    _raise_in(self._ident, _STOPS[run.reason or "cancelled"])

    def shelter(self) -> bool:
        """A stop that was sent before strikes on the way out of here; one that comes later waits for `expose`."""
        if threading.get_ident() != self._ident:
            return False
        with self._guard:
            self._sheltered = True
        return True

    def expose(self, run: Run) -> None:
        """Stops strike again, and one that has waited does so now."""
        with self._guard:
            self._sheltered, waiting, self._waiting = False, self._waiting, False
        if waiting:
            raise _STOPS[run.reason or "cancelled"]

    def _hold(self, run: Run) -> None:
        self._ident = threading.get_ident()
        run.place = self
        self.run_now = run
        run.begun = True

    def _release(self, run: Run) -> None:
        """From here on no stop for this run reaches the thread. One that is on its way is taken back."""
        with self._guard:
            self.run_now = None
            self._sheltered = self._waiting = False
            if run.stop_sent:
                _take_back()

"""One attempt in a slot: what the keeper knows of it, and what it came to if it did not say so itself."""

from __future__ import annotations

import time
from collections import deque
from math import inf
from typing import Any, Generic, Protocol, TypeVar

from heavylift.attempt import Start, log_fields, stopped
from heavylift.codec import decode_envelope
from heavylift.context import LOG_LINES
from heavylift.errors import StopReason
from heavylift.lanes.wire import Begin
from heavylift.outcome import Died, ErrorInfo, Interrupted, Outcome, OutOfMemory, SetupFailed

BEGIN_WITHIN = 30.0
"""Seconds for a call to begin and for a process to say hello. Then it is taken for frozen, and killed."""


class Ended(Protocol):
    """What a slot says of its process once that has ended."""

    cause: str
    detail: str


S = TypeVar("S", bound=Ended)


class Call(Generic[S]):
    """One attempt in a slot.

    Attributes:
        number: of the call, unique in the lane; a message that carries another is of an earlier attempt.
        begun: the handler was called; from here on a death is a crash.
        reason: why it was asked to stop; the first one stays.
        setup: seconds that what is loaded before it begins may take; None if nothing was.
        begin_by, time_out_at, end_at: moments (monotonic) at which the keeper acts.
        open: questions of it that are not answered.
        had: what its process had when it began, if it has a limit.
        used: bytes above that, when it was killed for having taken too many.
    """

    __slots__ = ("_fields", "begin_by", "begun", "end_at", "had", "key", "lines", "number", "open", "reason", "setup",
                 "slot", "start", "time_out_at", "used")  # fmt: skip

    def __init__(self, number: int, start: Start, slot: S) -> None:
        self.number = number
        self.start = start
        self.slot = slot
        self.key = (start.id, start.token)
        self.begun = False
        self.open = self.used = 0
        self.had = Begin(number)
        self.reason: StopReason | None = None
        self.setup: float | None = None
        self.begin_by = time.monotonic() + BEGIN_WITHIN
        self.time_out_at = self.end_at = inf
        self.lines: deque[str] = deque(maxlen=LOG_LINES)
        self._fields: dict[str, Any] | None = None

    def log_fields(self) -> dict[str, Any]:
        """Whose its log lines are. The envelope is read for the first of them, and not for a call without any."""
        if self._fields is None:
            self._fields = log_fields(self.start, decode_envelope(self.start.spec))
        return self._fields

    @property
    def due(self) -> float:
        """The first of its moments."""
        return min(self.begin_by, self.time_out_at, self.end_at)

    @property
    def limited(self) -> bool:
        """Its memory is to be watched."""
        return self.begun and self.start.memory is not None and not self.used

    def set_up(self, seconds: float) -> None:
        """What is loaded for the handler has a time of its own."""
        self.setup = seconds
        self.begin_by = time.monotonic() + seconds

    def begin(self, had: Begin) -> None:
        """The handler is called: the clock of its timeout runs from here."""
        self.begun, self.begin_by, self.had = True, inf, had
        if self.start.timeout is not None:
            self.time_out_at = time.monotonic() + self.start.timeout

    def stop(self, reason: StopReason) -> bool:
        """Its grace runs from here. False if it was asked to stop before: the first reason stays."""
        if self.reason is not None:
            return False
        self.reason = reason
        self.time_out_at = inf
        self.end_at = time.monotonic() + self.start.grace
        return True

    def outcome_of_death(self, closing: bool) -> Outcome:
        """What it came to when its process died under it; `closing`: the lane killed it."""
        if self.reason is not None:
            return stopped(self.reason, self.start.timeout, forced=True)
        if self.used:
            return OutOfMemory(self.start.memory, self.used)
        if closing:
            return Interrupted("shutdown")
        if not self.begun:
            return Interrupted("not_begun") if self.setup is None else SetupFailed(self._setup_error(self.setup))
        return Died(self.slot.cause, self.slot.detail)

    def _setup_error(self, seconds: float) -> ErrorInfo:
        if self.begin_by == inf:  # the keeper has acted on it
            return ErrorInfo("SetupTimeout", f"the setup took longer than {seconds:g} s; its process was killed")
        message = f"the process ended during the setup: {self.slot.cause}"
        return ErrorInfo("ProcessDied", message, self.slot.detail)

"""One attempt in the io lane: what a thread or the loop runs, what the watch looks at, where the handler reports to."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, Protocol

from heavylift.asking import ENDED, LATE, TOO_LATE, Answer, Answered, Awaited
from heavylift.attempt import Prepared, hushed, log_fields, stopped
from heavylift.context import LOG_LINES
from heavylift.errors import StopReason
from heavylift.job import Progress
from heavylift.lanes.lane import Sink
from heavylift.log import job_log
from heavylift.outcome import Outcome

_reasons = threading.Lock()
"""Held while a reason is set. One for all runs: stops are rare, and a lock for each would cost every run."""


class Place(Protocol):
    """A thread that runs plain handlers, as their runs see it."""

    def shelter(self) -> bool:
        """From here on a stop waits. False, and nothing changes, if this is called in another thread."""
        ...

    def expose(self, run: Run) -> None:
        """From here on a stop strikes again; one that has waited is raised."""


class Run:
    """An attempt and all its deadlines. Implements `context.Reporter`.

    Attributes:
        key: job id and token.
        made_at: when it came to the lane (monotonic).
        time_out_at, end_at, flush_at: moments (monotonic) at which the watch has something to do for it.
        reason: why it was asked to stop; the first one stays.
        settled: its outcome was given to the sink; what the handler still says is not passed on.
        begun: a thread or a task has taken it up.
        place: the thread that runs it, for a plain handler.
        task: what runs it, for an async one.
    """

    __slots__ = ("_asking", "_flush", "_lines", "_sink", "_sooner", "begun", "end_at", "flush_at", "key", "made_at",
                 "place", "prepared", "reason", "settled", "stop_sent", "task", "time_out_at")  # fmt: skip

    def __init__(self, prepared: Prepared, sink: Sink, sooner: Callable[[float], None]) -> None:
        start = prepared.start
        self.prepared = prepared
        self.key = (start.id, start.token)
        self.reason: StopReason | None = None
        self.begun = False
        self.settled = False
        self.stop_sent = False
        self.place: Place | None = None
        self.task: asyncio.Task[None] | None = None
        self.made_at = time.monotonic()
        self.time_out_at = self.end_at = self.flush_at = inf
        self._sink = sink
        self._sooner = sooner
        self._lines: deque[str] | None = None
        self._flush: Callable[[], None] | None = None
        self._asking: set[Awaited] = set()

    # --- the handler's reports ------------------------------------------------------------------------------

    def setting_up(self, seconds: float) -> None:
        """Only a slot is held to that time."""

    def began(self) -> None:
        """The clock of the timeout runs from here."""
        timeout = self.prepared.start.timeout
        if timeout is not None:
            self.time_out_at = time.monotonic() + timeout
            self._tell(self.plan)
        self._tell(self._sink.began, *self.key)

    def progressed(self, progress: Progress) -> None:
        """Hand it to the sink."""
        if not self.settled:
            self._tell(self._sink.progressed, *self.key, hushed(progress, self.prepared.hush))

    def checkpointed(self, state: bytes) -> None:
        """Hand it to the sink."""
        if not self.settled:
            self._tell(self._sink.checkpointed, *self.key, state)

    def logged(self, level: str, line: str) -> None:
        """Keep it with the attempt and write it to the worker's log."""
        line = self.prepared.hush(line)
        if self._lines is None:
            self._lines = deque(maxlen=LOG_LINES)
        self._lines.append(f"{level}: {line}")
        self._tell(partial(job_log.say, level, line, **self.log_fields()))

    def log_fields(self) -> dict[str, Any]:
        """Whose its log lines are."""
        return log_fields(self.prepared.start, self.prepared.envelope)

    def _tell(self, call: Callable[..., object], *args: object) -> None:
        """A call of the worker's out of the handler's thread. No stop may strike in it: it could leave a lock held.

        Other threads come here too: the watch with progress that was held back, and those a handler starts itself.
        """
        place = self.place
        if place is None or not place.shelter():
            call(*args)
            return
        try:
            call(*args)
        finally:
            place.expose(self)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """One call at a time: the context never asks for a second before it got the first."""
        self._flush = call
        self.flush_at = time.monotonic() + seconds
        self._tell(self.plan)

    # --- its questions ----------------------------------------------------------------------------------------

    def pose(self, question: bytes, patience: float, answered: Answered) -> None:
        """Hand it to the sink."""
        if self.settled:
            answered(ENDED)
        else:
            self._tell(self._sink.asked, *self.key, question, patience, answered)

    def ask(self, question: bytes, patience: float) -> Answer:
        """Hand it to the sink and wait. A stop cannot strike a thread that sleeps: it wakes it (`wake`)."""
        awaited = Awaited()
        self.pose(question, patience, awaited.give)
        place = self.place
        until = time.monotonic() + patience + LATE
        self._asking.add(awaited)  # before it is sheltered, or a stop might find nobody to wake
        try:
            while awaited.answer is None and time.monotonic() < until:
                sheltered = place is not None and place.shelter()
                awaited.sleep(until)
                if sheltered and place is not None:
                    place.expose(self)
        finally:
            self._asking.discard(awaited)
        return awaited.answer or TOO_LATE

    def wake(self) -> None:
        """End the sleep of a handler that waits for an answer: it is being stopped."""
        for awaited in self._asking.copy():
            awaited.wake()

    def stopping(self) -> StopReason | None:
        """Why it was asked to stop, if it was."""
        return self.reason

    def stop(self, reason: StopReason) -> bool:
        """Its grace runs from here. False if it was asked to stop before: the first reason stays. From any thread."""
        with _reasons:
            if self.reason is not None:
                return False
            self.reason = reason
        self.time_out_at = inf
        self.end_at = time.monotonic() + self.prepared.start.grace
        self.plan()
        return True

    # --- deadlines --------------------------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """The first of them. Not stored: the handler's thread and others set them at the same time."""
        return min(self.time_out_at, self.end_at, self.flush_at)

    def plan(self) -> None:
        """Have the watch look at this when it is due."""
        if (due := self.due) != inf:
            self._sooner(due)

    def flush(self) -> None:
        """Make the call asked for by `later`."""
        call, self._flush, self.flush_at = self._flush, None, inf
        if call is not None:
            call()

    def stop_outcome(self, *, forced: bool = False) -> Outcome:
        """What it came to if it was stopped."""
        return stopped(self.reason or "shutdown", self.prepared.start.timeout, forced=forced)

    def lines(self) -> tuple[str, ...]:
        """The last log lines."""
        return tuple(self._lines) if self._lines else ()

"""Where the lanes report to: each report goes to the one part of the worker it concerns."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from heavylift.asking import ENDED, Answered
from heavylift.job import Progress
from heavylift.outcome import LockLost, Outcome, cause_of
from heavylift.worker.answering import Answering
from heavylift.worker.questions import Asker
from heavylift.worker.relay import Relay
from heavylift.worker.running import Running, RunningTable
from heavylift.worker.settler import Settler


class WorkerSink:
    """Implements `lanes.lane.Sink`. Called from the lanes' threads; never blocks.

    Attributes:
        outcomes: how many attempts ended in which way.
        lately: where to put what has ended, and when (seconds since 1970), for whoever shows this worker at work;
            None if nobody does.
    """

    def __init__(
        self,
        running: RunningTable,
        settler: Settler,
        relay: Relay,
        answering: Answering,
        nudge: Callable[[], None],
    ) -> None:
        self._running = running
        self._settler = settler
        self._relay = relay
        self._answering = answering
        self._nudge = nudge
        self._gate = threading.Lock()  # between a question and the end of its attempt
        self.outcomes: dict[str, int] = {}
        self.lately: deque[tuple[Running, float]] | None = None

    def began(self, id: str, token: str) -> None:
        """The handler is about to be called."""
        if entry := self._running.get(id, token):
            entry.begun = True

    def progressed(self, id: str, token: str, progress: Progress) -> None:
        """Send it on, at leisure."""
        if entry := self._running.get(id, token):
            entry.progress = progress
            self._relay.progressed(entry.job.queue, id, token, progress)

    def checkpointed(self, id: str, token: str, state: bytes) -> None:
        """Send it on, at leisure."""
        if entry := self._running.get(id, token):
            entry.got_on = entry.got_on or state != entry.job.checkpoint
            self._relay.checkpointed(entry.job.queue, id, token, state)

    def asked(self, id: str, token: str, question: bytes, patience: float, answered: Answered) -> None:
        """Have it answered, unless its attempt is over."""
        entry = self._running.get(id, token)
        with self._gate:
            if entry is not None and entry.outcome is None:
                self._answering.put(Asker(entry.job.queue, id, token), question, patience, answered)
                return
        answered(ENDED)

    def ended(self, id: str, token: str, outcome: Outcome, log: tuple[str, ...]) -> None:
        """Settle it, behind what it has asked; an attempt whose lock is another's has nothing to settle."""
        cause = cause_of(outcome)
        self.outcomes[cause] = self.outcomes.get(cause, 0) + 1
        entry = self._running.get(id, token)
        if entry is None:
            return
        with self._gate:
            entry.outcome = outcome
        if self.lately is not None:
            self.lately.append((entry, time.time()))
        asker = Asker(entry.job.queue, id, token)
        if isinstance(outcome, LockLost):
            self._answering.end(asker, lambda: None)
            self._settler.drop(entry, outcome)
            self._running.remove(id, token)
            self._nudge()
            return
        settle = partial(self._settler.put, entry, outcome, log)
        entry.waits = self._answering.end(asker, settle)
        if not entry.waits:
            settle()

    def freed(self) -> None:
        """A place is free: there may be something to claim."""
        self._nudge()

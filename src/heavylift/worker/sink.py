"""Where the lanes report to: each report goes to the one part of the worker it concerns."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from heavylift.asking import ENDED, Answered
from heavylift.job import Progress
from heavylift.outcome import LockLost, Outcome, cause_of
from heavylift.worker.answering import Answering, Asker
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
            self._relay.checkpointed(entry.job.queue, id, token, state)

    def asked(self, id: str, token: str, question: bytes, patience: float, answered: Answered) -> None:
        """Have it answered, unless its attempt is over."""
        entry = self._running.get(id, token)
        if entry is None or entry.ended:
            answered(ENDED)
        else:
            self._answering.put(Asker(entry.job.queue, id, token), question, patience, answered)

    def ended(self, id: str, token: str, outcome: Outcome, log: tuple[str, ...]) -> None:
        """Settle it; an attempt whose lock is another's has nothing to settle."""
        cause = cause_of(outcome)
        self.outcomes[cause] = self.outcomes.get(cause, 0) + 1
        entry = self._running.get(id, token)
        if entry is None:
            return
        entry.outcome = outcome
        if self.lately is not None:
            self.lately.append((entry, time.time()))
        if isinstance(outcome, LockLost):
            self._settler.drop(entry, outcome)
            self._running.remove(id, token)
            self._nudge()
        else:
            self._settler.put(entry, outcome, log)

    def freed(self) -> None:
        """A place is free: there may be something to claim."""
        self._nudge()

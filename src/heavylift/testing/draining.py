"""A worker without threads: it claims, runs and settles in the test's own process, one attempt after the other.

What decides is the worker's own: the same claim and settlement in Redis, the same start of an attempt, the same rule
for what an outcome means, the same round of the janitor. Only the lanes are others: they run each attempt at once.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from heavylift.attempt import Prepared, Start, prepare
from heavylift.codec import decode_envelope
from heavylift.declaration import LaneName
from heavylift.duration import seconds
from heavylift.errors import InvalidJob, StopReason
from heavylift.job import AttemptRecord, ClaimedJob, Reason, State
from heavylift.middleware import Middleware, overriding
from heavylift.registry import Registry
from heavylift.request import Requests
from heavylift.settings import Settings
from heavylift.store.connection import Connection
from heavylift.store.jobs import BATCH_BYTES, ClaimReply, Jobs
from heavylift.testing.clock import MovingClock
from heavylift.testing.running import Steps
from heavylift.testing.timing import Timed
from heavylift.worker.answering import Answering
from heavylift.worker.answers import ANSWERS
from heavylift.worker.attending import Attending
from heavylift.worker.contact import Contact
from heavylift.worker.dispatcher import MOST_SETTLED
from heavylift.worker.handover import HandOver
from heavylift.worker.janitor import Janitor
from heavylift.worker.queues import ServedQueue
from heavylift.worker.relay import Relay
from heavylift.worker.running import RunningTable
from heavylift.worker.scheduler import Scheduler
from heavylift.worker.settler import Settler
from heavylift.worker.sink import WorkerSink
from heavylift.worker.starting import Starting

NO_TICK = 1e12
"""Seconds until the next tick of a schedule where there is none."""

LEASE_MS = 600_000
"""Life of a lock here: nobody renews it, and an attempt may take its time in a debugger."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt, and what became of its job.

    Attributes:
        job, queue, handler: of the job.
        became: the state the job entered.
        reason: why it is in the dead letters, if it is.
        delay: seconds until it is tried again, if it is.
        record: as kept with the job: cause, error, message, traceback, log lines.
    """

    job: str
    queue: str
    handler: str
    became: State
    reason: Reason | None
    delay: float
    record: AttemptRecord | None


@dataclass(frozen=True, slots=True)
class Drained:
    """How many attempts ended in which way.

    Attributes:
        completed: jobs that completed.
        retried: attempts after which the job is tried again.
        failed: jobs that went to the dead letters.
        cancelled: jobs that ended as cancelled.
        attempts: each one, in the order they ran. Not compared.
    """

    completed: int = 0
    retried: int = 0
    failed: int = 0
    cancelled: int = 0
    attempts: tuple[Attempted, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Drained) and self._counts() == other._counts()

    def __hash__(self) -> int:
        return hash(self._counts())

    def _counts(self) -> tuple[int, int, int, int]:
        return self.completed, self.retried, self.failed, self.cancelled

    @classmethod
    def of(cls, attempts: Sequence[Attempted]) -> Drained:
        """Count them."""
        states = [attempt.became for attempt in attempts]
        return cls(
            completed=states.count(State.COMPLETED),
            retried=states.count(State.WAITING) + states.count(State.DELAYED),
            failed=states.count(State.FAILED),
            cancelled=states.count(State.CANCELLED),
            attempts=tuple(attempts),
        )


class _AtOnce:
    """A lane that keeps what it is given until the drain runs it, which is at once."""

    def __init__(self, name: LaneName) -> None:
        self.name: LaneName = name
        self.starts: list[Start] = []

    def start(self, hurry: Callable[[], bool] = lambda: False) -> None:
        pass

    size = 1

    def resize(self, size: int) -> None:
        pass

    def free(self) -> int:
        return 1

    def submit(self, starts: Sequence[Start]) -> None:
        self.starts += starts

    def holds(self, id: str, token: str) -> bool:
        return True

    def stop_attempt(self, id: str, token: str, reason: StopReason) -> None:
        pass

    def close(self, deadline_s: float) -> None:
        pass

    def snapshot(self) -> dict[str, Any]:
        return {}


class Drain:
    """One worker of this kind.

    Args:
        settings: see `Settings`.
        registry: the handlers.
        jobs: the store's verbs, made with `clock`.
        clock: moved when delays are followed.
        connect: makes a connection for a role.
        middleware: what is around each attempt.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        jobs: Jobs,
        clock: MovingClock,
        connect: Callable[[str], Connection],
        middleware: Sequence[Middleware],
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._jobs = jobs
        self._clock = clock
        self._connection = connection = connect("drain")
        self._worker = f"drain-{secrets.token_hex(4)}"
        self._numbers = itertools.count(1)
        self._running = RunningTable()
        contact = Contact("drain", lambda role: connection)
        self._relay = Relay(jobs, contact)
        attending = Attending(self._worker, middleware)
        self._settler = Settler(self._worker, registry, self._relay, attending, ready=lambda: None)
        self._answering = Answering(jobs, Contact("answering", connect), ANSWERS)
        self._sink = WorkerSink(self._running, self._settler, self._relay, self._answering, nudge=lambda: None)
        self._timed = Timed(self._sink, settings.max_result, overriding(middleware, "call"))
        self._handover = HandOver(jobs, contact)
        self._lanes = {"io": _AtOnce("io"), "cpu": _AtOnce("cpu")}
        self._starting = Starting(
            registry,
            self._lanes,  # type: ignore[arg-type]
            self._running,
            self._settler,
            lambda: False,
            attending,
            settings.grace,
        )
        self._janitor = Janitor(
            self._worker,
            jobs,
            contact,
            numbers=self._numbers,
            running=self._running,
            settler=self._settler,
            handover=self._handover,
            queues=[],
            settings=settings,
        )
        self._scheduler = Scheduler(
            jobs,
            contact,
            registry,
            queues=self._queues(),
            requests=Requests(settings.max_payload),
            poll=NO_TICK,
        )
        self._next_tick = NO_TICK
        self._asked: dict[str, ClaimReply] = {}
        self._attempts: list[Attempted] = []

    def steps(self, with_delayed: bool | float | timedelta, most: int) -> Steps[Drained]:
        """Run what is due until nothing is; then, if asked to, let time pass until something is due again.

        Schedules tick as far as time is let pass. They never end, so where it is let pass without a limit, none of
        their ticks is waited for.

        Raises:
            AssertionError: `most` attempts did not come to an end of it.
        """
        horizon = _horizon(with_delayed)
        self._answering.start()  # a handler that asks waits for the answer, so it comes from another thread
        self._timed.start()
        try:
            while True:
                yield from self._all_due(most)
                wait = self._next_due(with_ticks=horizon != float("inf"))
                if wait is None or wait > horizon:
                    return Drained.of(self._attempts)
                self._clock.advance(wait)
                horizon -= wait
        finally:
            self._timed.close()
            self._answering.stop()
            self._connection.close()

    def _all_due(self, most: int) -> Steps[None]:
        """Until neither the queues nor, after the upkeep, the queues again have anything to run."""
        ran = True
        while ran:
            ran = yield from self._pass(most)
            if not ran:
                self._look_after()
                ran = yield from self._pass(most)

    def _pass(self, most: int) -> Steps[bool]:
        """One job of each queue; False if there was none."""
        before = len(self._attempts)
        for queue in self._queues():
            yield from self._one(queue)
        if len(self._attempts) > most:
            raise AssertionError(
                f"more than {most} attempts, and there is still something to run: a job that enqueues itself? "
                "Give drain(most=) if that is right"
            )
        return len(self._attempts) > before

    def _look_after(self) -> None:
        """What workers do beside their jobs: fire schedules, expire, take over, tell children of their parents."""
        while not (pause := self._scheduler.round()):
            pass
        self._next_tick = pause
        while self._janitor.round():
            pass
        self._settle()
        while not self._handover.idle():
            self._handover.round()

    def _one(self, queue: str) -> Steps[None]:
        """Claim one job, run it, settle it."""
        call = self._jobs.claim(queue, self._worker, next(self._numbers), 1, LEASE_MS, 1000)
        self._asked[queue] = reply = self._connection.ask(call)
        for job in reply.jobs:
            lane = self._lane(job)
            self._starting.arrived(ServedQueue(queue, lane.name), [job], time.monotonic())
            self._starting.start()
            starts, lane.starts = lane.starts, []
            for start in starts:
                yield from self._attempt(start)
        self._settle()

    def _attempt(self, start: Start) -> Steps[None]:
        prepared = prepare(start, self._registry)
        if not isinstance(prepared, Prepared):
            self._sink.ended(start.id, start.token, prepared, ())
            return
        outcome, lines = yield from self._timed.steps(prepared)
        self._sink.ended(start.id, start.token, outcome, lines)
        while any(entry.waits and not entry.ended for entry in self._running.entries()):
            time.sleep(0.001)  # for what it has asked

    def _settle(self) -> None:
        for queue in self._settler.pending():
            items = self._settler.take(queue, MOST_SETTLED, BATCH_BYTES)
            written = self._connection.ask(self._jobs.settle(queue, self._worker, next(self._numbers), items))
            if "outbox" in written:
                self._handover.filled(queue)
                self._handover.round()
            for item, word in zip(items, written, strict=True):
                entry = self._running.remove(item.id, item.token)
                if word in ("ok", "outbox") and item.settlement.to is not None:
                    name = entry.envelope.handler if entry and entry.envelope else ""
                    plan = item.settlement
                    self._attempts.append(
                        Attempted(item.id, queue, name, item.settlement.to, plan.reason, plan.delay, item.record)
                    )

    def _lane(self, job: ClaimedJob) -> _AtOnce:
        """The lane that serves the job's queue; for a queue that no handler names, the one of its handler."""
        name = self._registry.lanes.get(job.queue)
        if name is None:
            try:
                handler = self._registry.get(decode_envelope(job.spec).handler)
            except InvalidJob:
                handler = None
            name = handler.lane if handler else "io"
        return self._lanes[name]

    def _queues(self) -> list[str]:
        return sorted({*self._registry.lanes, *self._connection.ask(self._jobs.queues())})

    def _next_due(self, *, with_ticks: bool) -> float | None:
        """Seconds until something may be claimed: it is due, a rate lets it start, or the rest of its queue is over."""
        waits: list[float] = []
        for queue, reply in self._asked.items():
            counts = self._connection.ask(self._jobs.counts(queue))
            if reply.next_due_ms and (counts.waiting or counts.delayed):
                waits.append(reply.next_due_ms)
        if with_ticks and self._next_tick < NO_TICK:
            waits.append(self._next_tick * 1000)
        return min(waits) / 1000 if waits else None


def _horizon(with_delayed: bool | float | timedelta) -> float:
    if isinstance(with_delayed, bool):
        return float("inf") if with_delayed else -1.0
    return seconds("with_delayed", with_delayed)

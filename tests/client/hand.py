"""A worker's work done by hand, so that a test decides when a job is claimed, reports, and ends."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from heavylift.decide import Settlement
from heavylift.job import AttemptRecord, ClaimedJob, Progress, Reason, State
from heavylift.store.connection import Connection
from heavylift.store.handover import Trip, hand_over, look_after
from heavylift.store.jobs import Jobs, ProgressItem, SettleItem
from heavylift.store.target import Target

LEASE = 30_000


class Hand:
    """Claims and settles through the store. Use it as a context manager."""

    def __init__(self, url: str, name: str = "hand", *, cluster: bool = False) -> None:
        target = Target.from_url(url, cluster=cluster)
        self.name = name
        self.jobs = Jobs("heavylift", target.scripts() if hasattr(target, "scripts") else None)
        self.connection = Connection(target, name="hand")
        self._numbers = itertools.count(1)

    def __enter__(self) -> Hand:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def claim(self, queue: str = "default") -> ClaimedJob:
        """The next job of the queue; fails if there is none."""
        (job,) = self.claim_some(queue, 1)
        return job

    def claim_some(self, queue: str, most: int) -> list[ClaimedJob]:
        return self.connection.ask(self.jobs.claim(queue, self.name, next(self._numbers), most, LEASE, 1000)).jobs

    def complete(self, job: ClaimedJob, result: Any = None) -> None:
        self.settle(job, Settlement(State.COMPLETED, result=msgspec.json.encode(result)), "completed")

    def complete_all(self, jobs: Sequence[ClaimedJob]) -> None:
        """Together, so that they end at one moment."""
        done = Settlement(State.COMPLETED, result=b"null")
        items = [
            SettleItem(job.id, job.token, done, AttemptRecord(job.counters.starts, self.name, 1, 2, "completed"))
            for job in jobs
        ]
        answers = self.connection.ask(self.jobs.settle(jobs[0].queue, self.name, next(self._numbers), items))
        assert set(answers) == {"ok"}

    def fail(self, job: ClaimedJob, reason: Reason = Reason.EXHAUSTED, **about: Any) -> None:
        self.settle(job, Settlement(State.FAILED, count="attempts", reason=reason), "error", **about)

    def retry(self, job: ClaimedJob, delay: float) -> None:
        self.settle(job, Settlement(State.DELAYED, count="attempts", delay=delay), "error")

    def settle(self, job: ClaimedJob, settlement: Settlement, cause: str, **about: Any) -> None:
        record = AttemptRecord(job.counters.starts, self.name, 1, 2, cause, **about)
        item = SettleItem(job.id, job.token, settlement, record)
        (answer,) = self.connection.ask(self.jobs.settle(job.queue, self.name, next(self._numbers), [item]))
        assert answer in ("ok", "outbox")
        if answer == "outbox":
            self.hand_over(job.queue)

    def hand_over(self, queue: str) -> None:
        """Tell the children of what has ended in the queue."""
        self._take(hand_over(self.jobs, [queue]))

    def look_after(self, queue: str) -> None:
        """Look after jobs of the queue that have been blocked for a while, as every janitor does now and then."""
        self._take(look_after(self.jobs, queue))

    def _take(self, trip: Trip[None]) -> None:
        calls = next(trip)
        with contextlib.suppress(StopIteration):
            while True:
                calls = trip.send(self.connection.round_trip(calls))

    def progress(self, job: ClaimedJob, fraction: float) -> None:
        item = ProgressItem(job.id, job.token, msgspec.json.encode(Progress(fraction)), None)
        self.connection.ask(self.jobs.progress(job.queue, [item]))

    def do_all(self, queue: str = "default", result: Any = None) -> int:
        """Complete all that is waiting; how many it were."""
        done = 0
        while jobs := self.claim_some(queue, 100):
            for job in jobs:
                self.complete(job, result)
            done += len(jobs)
        return done

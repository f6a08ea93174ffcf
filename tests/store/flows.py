"""Flows done by hand: each step by itself, so that a test decides where it stops."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from heavylift.decide import Settlement
from heavylift.job import ClaimedJob, Reason, State
from heavylift.options import JobRef
from heavylift.store.connection import Connection
from heavylift.store.flowing import Link, Waiting, staged
from heavylift.store.handover import Trip, hand_over, link, look_after
from heavylift.store.jobs import Enqueued, Jobs, NewJob, SettleItem
from heavylift.store.scripts import Scripts

LEASE = 30_000
DONE = Settlement(State.COMPLETED, result=b'"done"')
FAILED = Settlement(State.FAILED, count="attempts", reason=Reason.EXHAUSTED)

_numbers = itertools.count(1)


@cache
def scripts(offset_ms: int, single_node: bool) -> Scripts:
    """The verbs, at another time."""
    return Scripts(offset_ms, single_node)


def ref(name: str) -> JobRef:
    """`"q a"` as a reference."""
    return JobRef.parse(name)


@dataclass
class Flows:
    """Producers, workers and janitors of several queues, by hand."""

    connection: Connection
    cluster: bool = False
    offset: int = 0
    verbs: Jobs = field(init=False)

    def __post_init__(self) -> None:
        self.later(0)

    def later(self, ms: int) -> None:
        """Time passes."""
        self.offset += ms
        self.verbs = Jobs("heavylift", scripts(self.offset, not self.cluster))

    def take(self, trip: Trip[Any], most: int = 10**9) -> bool:
        """Make the first `most` steps of a trip; False if it was left there."""
        try:
            calls = next(trip)
            for _ in range(most):
                calls = trip.send(self.connection.round_trip(calls))
        except StopIteration:
            return True
        trip.close()
        return False

    # --- producers ------------------------------------------------------------------------------------------

    def stage(self, name: str, after: Sequence[str], nonce: str = "") -> None:
        job = ref(name)
        nonce = nonce or f"s{next(_numbers)}"
        for run in staged([Waiting(job.id, [ref(parent) for parent in after])]):
            self.connection.ask(self.verbs.stage(job.queue, run, nonce))

    def put(self, name: str, after: Sequence[str] = (), nonce: str = "", **options: Any) -> Enqueued:
        job = ref(name)
        options = {"handler": "h", "flow": "f", **options}
        new = NewJob(job.id, b"{}", after=tuple(map(ref, after)), **options)
        return self.connection.ask(self.verbs.enqueue(job.queue, [new], nonce or f"n{next(_numbers)}"))[0]

    def linking(self, name: str, after: Sequence[str], life: int = 0) -> Trip[Any]:
        return link(self.verbs, [Link(ref(parent), ref(name), life, "f") for parent in after])

    def enqueue(self, name: str, *after: str, **options: Any) -> None:
        """All that a producer does."""
        if after:
            self.stage(name, after)
        self.put(name, after, **options)
        self.take(self.linking(name, after))

    # --- workers and janitors -------------------------------------------------------------------------------

    def claim(self, queue: str, most: int = 1) -> list[ClaimedJob]:
        number = next(_numbers)
        return self.connection.ask(self.verbs.claim(queue, "w", number, most, LEASE, 1000)).jobs

    def settle(self, job: ClaimedJob, settlement: Settlement = DONE) -> str:
        item = SettleItem(job.id, job.token, settlement)
        return self.connection.ask(self.verbs.settle(job.queue, "w", next(_numbers), [item]))[0]

    def run(self, name: str, settlement: Settlement = DONE, *, tell: bool = True) -> None:
        """The named job is the next of its queue; it comes to this, and its children hear of it."""
        (job,) = self.claim(ref(name).queue)
        assert job.id == ref(name).id
        answer = self.settle(job, settlement)
        if tell and answer == "outbox":
            self.hand_over(job.queue)

    def hand_over(self, *queues: str, most: int = 10**9) -> bool:
        return self.take(hand_over(self.verbs, queues), most)

    def tend(self, queue: str, most: int = 10**9) -> bool:
        return self.take(look_after(self.verbs, queue), most)

    def sweep(self, queue: str, keep: int = 10**9, most: int = 10**6) -> Any:
        return self.connection.ask(
            self.verbs.sweep(
                queue, 200, keep_completed_ms=keep, keep_failed_ms=keep, most_completed=most, most_failed=most
            )
        )

    # --- readers --------------------------------------------------------------------------------------------

    def raw(self, name: str) -> dict[bytes, bytes]:
        job = ref(name)
        return self.connection.ask(self.verbs.raw(job.queue, job.id))

    def state(self, name: str) -> str:
        return self.raw(name).get(b"state", b"gone").decode()

    def reason(self, name: str) -> str:
        return self.raw(name).get(b"reason", b"").decode()

    def parents(self, name: str) -> dict[str, tuple[str | None, bytes | None]]:
        """How each parent ended, in the order in which they were named."""
        job = ref(name)
        _, ends = self.connection.ask(self.verbs.parents(job.queue, job.id))
        ends.sort(key=lambda end: end.place)
        return {str(end.parent): (end.state and end.state.value, end.result) for end in ends}

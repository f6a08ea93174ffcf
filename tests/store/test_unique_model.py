"""Unique jobs against a small model: any order of requests, claims, endings and accidents, with lost replies.

The model knows for each digest which job has it. After every step Redis says the same, and at the end nothing is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import hypothesis.strategies as st
from hypothesis.stateful import invariant, precondition, rule

from heavylift.decide import Settlement
from heavylift.job import Reason, State
from heavylift.store.jobs import Jobs, NewJob, SettleItem
from heavylift.store.scripts import Scripts
from tests.servers import Server
from tests.store import census, machines

QUEUE = "q"
TICK = 50_000
HOUR = 3_600_000
KEEP = {"keep_completed_ms": 5 * TICK, "keep_failed_ms": 7 * TICK, "most_completed": 1000, "most_failed": 1000}
DIGESTS = st.sampled_from(["x", "y"])
LIVE = {"waiting", "delayed", "active"}
ENDS = [
    Settlement(State.COMPLETED),
    Settlement(State.FAILED, reason=Reason.EXHAUSTED),
    Settlement(State.CANCELLED),
    Settlement(State.WAITING, count="interruptions", keep_rank=True),
    Settlement(State.DELAYED, count="attempts", delay=TICK / 1000),
]


@cache
def verbs(offset_ms: int) -> Jobs:
    """The verbs, at another time."""
    return Jobs("heavylift", Scripts(offset_ms))


@dataclass
class Job:
    """What the model knows of a job. `spec` tells which request's arguments it has."""

    id: str
    mode: str
    digest: str
    spec: str
    state: str = "waiting"
    starts: int = 0
    token: str = ""


@dataclass
class Held:
    """Who has a digest, since how many starts."""

    mode: str
    id: str
    starts: int


class Store(machines.StoreMachine):
    """The rules. `client` and `connection` are put there by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.offset = 0
        self.serial = 0
        self.jobs: dict[str, Job] = {}
        self.held: dict[str, Held] = {}

    @property
    def verbs(self) -> Jobs:
        return verbs(self.offset)

    def number(self) -> int:
        self.serial += 1
        return self.serial

    def owner(self, digest: str) -> Held | None:
        """Who stands in the way of another job, if anybody."""
        held = self.held.get(digest)
        if held is None or held.mode == "w":
            return held
        job = self.jobs.get(held.id)
        if job is None or job.state not in LIVE or (held.mode != "f" and job.starts > held.starts):
            return None
        return held

    @rule(mode=st.sampled_from("sfwd"), digest=DIGESTS, ticks=st.sampled_from([0, 0, 2]), lost=st.booleans())
    def enqueue(self, mode: str, digest: str, ticks: int, lost: bool) -> None:
        id = f"j{self.number()}"
        more: dict[str, int] = {"d": {"quiet_ms": 2 * TICK, "latest_ms": 3 * TICK}, "w": {"window_ms": HOUR}}.get(
            mode, {"delay_ms": ticks * TICK}
        )
        if mode == "w":
            more["delay_ms"] = ticks * TICK
        new = NewJob(id, f'"{id}"'.encode(), "h", unique=f"{mode}.{digest}", **more)  # type: ignore[arg-type]
        call = self.verbs.enqueue(QUEUE, [new], f"n{self.serial}")
        (answer,) = self.connection.ask(call)
        if lost:
            assert self.connection.ask(call) == [answer]
        owner = self.owner(digest)
        assert answer.duplicate == (owner is not None)
        if owner is None:
            state = "delayed" if mode == "d" or ticks else "waiting"
            self.jobs[id] = Job(id, mode, digest, id, state)
            self.held[digest] = Held(mode, id, 0)
            assert answer.id == id
            return
        assert answer.id == owner.id
        if mode == owner.mode == "d":
            self.jobs[owner.id].spec = id

    @rule(credits=st.integers(1, 4))
    def claim(self, credits: int) -> None:
        reply = self.connection.ask(self.verbs.claim(QUEUE, "w", self.number(), credits, HOUR, 1000))
        for got in reply.jobs:
            job = self.jobs[got.id]
            assert job.state in ("waiting", "delayed")
            assert got.spec == f'"{job.spec}"'.encode()
            job.state, job.token, job.starts = "active", got.token, job.starts + 1
        now = census.read(self.client, self.verbs.keys(QUEUE))
        for job in self.jobs.values():  # a claim may make delayed jobs waiting
            if job.state == "delayed":
                job.state = now.jobs[job.id]["state"]

    def some(self, *states: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.state in states]

    @precondition(lambda self: self.some("active"))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.some("active")))
        settlement = data.draw(st.sampled_from(ENDS))
        item = SettleItem(job.id, job.token, settlement)
        assert self.connection.ask(self.verbs.settle(QUEUE, "w", self.number(), [item])) == ["ok"]
        job.state, job.token = str(settlement.to), ""

    @precondition(lambda self: self.some("waiting", "delayed"))
    @rule(data=st.data(), how=st.sampled_from(["cancel", "remove", "promote"]))
    def disturb(self, data: st.DataObject, how: str) -> None:
        job = data.draw(st.sampled_from(self.some("waiting", "delayed")))
        if how == "promote":
            if self.connection.ask(self.verbs.promote(QUEUE, job.id)):
                job.state = "waiting"
        elif how == "cancel":
            self.connection.ask(self.verbs.cancel(QUEUE, job.id))
            job.state = "cancelled"
        else:
            self.connection.ask(self.verbs.remove(QUEUE, job.id))
            del self.jobs[job.id]
            if self.held.get(job.digest, Held("", "", 0)).id == job.id:
                del self.held[job.digest]

    @precondition(lambda self: self.some("failed"))
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.some("failed")))
        owner = self.owner(job.digest)
        stands = owner is not None and owner.mode != "w"
        assert self.connection.ask(self.verbs.replay(QUEUE, [job.id])) == ["held" if stands else "ok"]
        if not stands:
            job.state = "waiting"
            if job.mode != "w" and owner is None:
                self.held[job.digest] = Held(job.mode, job.id, job.starts)

    @rule(digest=DIGESTS)
    def window_is_over(self, digest: str) -> None:
        if (held := self.held.get(digest)) and held.mode == "w":
            self.client.delete(self.verbs.keys(QUEUE).unique(digest))
            del self.held[digest]

    @rule(ticks=st.integers(1, 4))
    def time_passes(self, ticks: int) -> None:
        self.offset += ticks * TICK

    @rule()
    def sweep(self) -> None:
        self.connection.ask(self.verbs.sweep(QUEUE, 100, **KEEP))
        there = census.read(self.client, self.verbs.keys(QUEUE)).jobs
        for id in [job.id for job in self.some("completed", "failed", "cancelled") if job.id not in there]:
            del self.jobs[id]

    @invariant()
    def redis_agrees(self) -> None:
        found = census.read(self.client, self.verbs.keys(QUEUE))
        census.check(found)
        assert {id: job["state"] for id, job in found.jobs.items()} == {id: job.state for id, job in self.jobs.items()}
        for digest in "xy":
            if (owner := self.owner(digest)) is not None:
                assert found.unique[digest] == f"{owner.mode} {owner.starts} {owner.id}"
            elif digest in found.unique:
                assert found.unique[digest].startswith("d"), "only a debounced job is remembered, and not for ever"
                assert self.client.pttl(self.verbs.keys(QUEUE).unique(digest)) > 0

    def teardown(self) -> None:
        for _ in range(30):
            self.offset += 3 * TICK
            self.claim(4)
            for job in self.some("active"):
                item = SettleItem(job.id, job.token, Settlement(State.COMPLETED))
                self.connection.ask(self.verbs.settle(QUEUE, "w", self.number(), [item]))
                job.state = "completed"
        self.redis_agrees()
        assert not self.some("waiting", "delayed", "active")
        left = census.read(self.client, self.verbs.keys(QUEUE)).unique
        assert all(said[0] in "wd" for said in left.values())


def test_any_order_of_requests_and_endings(server: Server) -> None:
    machines.run(Store, server)

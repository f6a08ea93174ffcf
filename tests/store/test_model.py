"""The store against a small model: any order of any verbs, lost replies, dead workers, time that passes, a FLUSHALL.

After every step: each job is in exactly one place, every count is right, and what the calls answered is what the model
says. Time is passed by loading the scripts with an offset, in steps so large that the test's own milliseconds do not
matter. At the end everything is drained, and nothing may be left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import invariant, precondition, rule

from heavylift.decide import Settlement
from heavylift.errors import StoreError
from heavylift.job import AttemptRecord, Reason, State
from heavylift.store.call import Call
from heavylift.store.jobs import Jobs, Letter, NewJob, ProgressItem, SettleItem
from heavylift.store.scripts import Scripts
from tests.servers import Server
from tests.store import census, machines

QUEUE = "q"
TICK = 50_000  # ms; every duration below is a multiple, and a priority step (60 s) never is
LEASE, KEEP, KEEP_FAILED = 2 * TICK, 10 * TICK, 12 * TICK
WORKERS = ("w1", "w2", "w3")
GROUPS, KEYS = ("", "g1", "g2"), ("", "a", "b")
IDS = st.integers(0, 60).map("j{:03}".format)
SETTLEMENTS = st.sampled_from(
    [
        Settlement(State.COMPLETED, result=b"1"),
        Settlement(State.FAILED, count="attempts", reason=Reason.EXHAUSTED),
        Settlement(State.CANCELLED),
        Settlement(State.WAITING, count="interruptions", keep_rank=True),
        Settlement(State.WAITING, count="unbegun", keep_rank=True),
        Settlement(State.WAITING, count="attempts"),
        Settlement(State.DELAYED, count="crashes", delay=TICK * 3 / 1000),
    ]
)


@cache
def scripts(offset_ms: int) -> Scripts:
    """The verbs, at another time."""
    return Scripts(offset_ms)


@dataclass
class Job:
    """What the model knows of a job. `order` is coarse: jobs of equal order are not compared unless `fifo`."""

    id: str
    state: str
    priority: int = 0
    order: int = 0
    fifo: int | None = None
    group: str = ""
    key: str = ""
    due: int = 0
    expires: int | None = None
    ended: int = 0
    token: str = ""
    worker: str = ""
    lock_end: int = 0
    starts: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    cancel: bool = False


class Store(machines.StoreMachine):
    """The rules. `client` and `connection` are put there by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.offset = 0
        self.jobs: dict[str, Job] = {}
        self.removed: set[str] = set()
        self.paused = False
        self.limits: dict[str, int] = {}
        self.numbers: dict[tuple[str, str], int] = {}
        self.stale: list[tuple[str, str]] = []
        self.serial = 0

    # --- asking ---------------------------------------------------------------------------------------------

    @property
    def verbs(self) -> Jobs:
        return Jobs("heavylift", scripts(self.offset))

    def now(self) -> census.Census:
        return census.read(self.client, self.verbs.keys(QUEUE))

    def unchanged(self, ask: Callable[[], Any], but: Sequence[str] = ()) -> Any:
        """Ask, and see that nothing was changed."""
        before = self.now()
        answer = ask()
        after = self.now()
        for field_name in but:
            before.meta.pop(field_name, None)
            after.meta.pop(field_name, None)
        assert after == before
        return answer

    def numbered(self, verb: str, worker: str, make: Callable[[int], Call[Any]], lost: bool) -> Any:
        """A numbered call; its reply may be lost, and then it is repeated. An older number changes nothing."""
        number = self.numbers[verb, worker] = self.numbers.get((verb, worker), 0) + 1
        answer = self.connection.ask(make(number))
        if lost:
            again = self.unchanged(lambda: self.connection.ask(make(number)))
            assert _essence(again) == _essence(answer)
            if number > 1:
                with pytest.raises(StoreError, match="SUPERSEDED"):
                    self.unchanged(lambda: self.connection.ask(make(number - 1)))
        return answer

    # --- producing ------------------------------------------------------------------------------------------

    @rule(
        ids=st.lists(IDS, min_size=1, max_size=5),
        priority=st.integers(-1, 2),
        ticks=st.sampled_from([0, 0, 0, 1, 4]),
        expires=st.sampled_from([None, None, 2, 5]),
        group=st.sampled_from(GROUPS),
        key=st.sampled_from(KEYS),
        lost=st.booleans(),
    )
    def enqueue(
        self, ids: list[str], priority: int, ticks: int, expires: int | None, group: str, key: str, lost: bool
    ) -> None:
        self.serial += 1
        lapse = expires and expires * TICK + TICK // 2
        new = [NewJob(id, b"{}", "h", priority, ticks * TICK, None, lapse, None, group, key) for id in ids]
        call = self.verbs.enqueue(QUEUE, new, f"n{self.serial}")
        answers = self.connection.ask(call)
        if lost:
            assert self.unchanged(lambda: self.connection.ask(call)) == answers
        for id, answer in zip(ids, answers, strict=True):
            known = self.jobs.get(id)
            assert answer.duplicate == (known is not None)
            if known is None:
                state = "delayed" if ticks else "waiting"
                job = Job(id, state, priority, group=group, key=key, due=self.offset + ticks * TICK)
                job.expires = lapse and self.offset + lapse
                self.jobs[id] = job
                self.stand(job)
                known = job
            assert answer.state == known.state

    def stand(self, job: Job, order: int | None = None) -> None:
        """The job gets ready, now or at `order`."""
        self.serial += 1
        ready = max(job.due, self.offset) if order is None else order
        job.order = ready + job.priority * 60_000
        job.fifo = self.serial if order is None and job.state == "waiting" else None

    # --- working --------------------------------------------------------------------------------------------

    @rule(worker=st.sampled_from(WORKERS), credits=st.integers(1, 6), lost=st.booleans())
    def claim(self, worker: str, credits: int, lost: bool) -> None:
        before = self.now()
        reply = self.numbered("claim", worker, lambda n: self.verbs.claim(QUEUE, worker, n, credits, LEASE, 1000), lost)
        assert reply.paused == self.paused
        if self.paused:
            assert not reply.jobs
            return
        for job in self.of("delayed"):
            if job.due <= self.offset:
                job.state, job.fifo = "waiting", None
        stored = self.now().jobs
        for job in self.of("waiting"):  # those that the claim found to be over their time
            if stored[job.id]["state"] == "failed":
                assert not job.starts
                assert (job.expires or 0) <= self.offset
                self.end(job, "failed")
        running = _running(before)
        for got in reply.jobs:
            job = self.jobs[got.id]
            assert job.state == "waiting"
            assert not (job.expires and job.expires <= self.offset and not job.starts)
            path = stored[job.id].get("path", "")
            assert self.room(path, running), f"{job.id} ran over a limit"
            for other in self.of("waiting"):
                first = other.order < job.order or (
                    other.order == job.order and other.fifo and job.fifo and other.fifo < job.fifo
                )
                assert not (first and self.room(stored[other.id].get("path", ""), running)), f"{other.id} was first"
            _count(running, path, 1)
            job.state, job.token, job.worker = "active", got.token, worker
            job.lock_end, job.starts = self.offset + LEASE, job.starts + 1
            assert (got.counters.starts, got.token) == (job.starts, f"{worker}.{self.numbers['claim', worker]}")
            assert got.counters.attempts == job.counts.get("attempts", 0)
        if not reply.more:
            left = [j.id for j in self.of("waiting") if self.room(stored[j.id].get("path", ""), running)]
            assert len(reply.jobs) < credits
            assert not left, "nothing that may run was left behind"

    def room(self, path: str, running: dict[str, int]) -> bool:
        """Whether one more of `path` may run."""
        group, slash, key = path.partition("/")
        return (
            running.get("", 0) < self.limits.get("", 10**6)
            and (not slash or running.get(group, 0) < self.limits.get(group, 10**6))
            and (not key or running.get(path, 0) < self.limits.get(f"{group}/*", 10**6))
        )

    @rule(data=st.data(), lost=st.booleans())
    def settle(self, data: st.DataObject, lost: bool) -> None:
        active = self.of("active")
        picked = data.draw(st.lists(st.sampled_from(active), max_size=4, unique_by=id) if active else st.just([]))
        stale = data.draw(st.lists(st.sampled_from(self.stale), max_size=2) if self.stale else st.just([]))
        worker = data.draw(st.sampled_from(WORKERS))
        items = [SettleItem(id, token, Settlement(State.COMPLETED)) for id, token in stale]
        for job in picked:
            record = AttemptRecord(job.starts, worker, self.offset, self.offset, "error")
            items.append(SettleItem(job.id, job.token, data.draw(SETTLEMENTS), record, b"{}", b"[1]"))
        answers = self.numbered("settle", worker, lambda n: self.verbs.settle(QUEUE, worker, n, items), lost)
        expected = ["stale" if id in self.jobs else "gone" for id, _ in stale] + ["ok"] * len(picked)
        assert answers == expected
        for item, job in zip(items[len(stale) :], picked, strict=True):
            self.settled(job, item.settlement)

    def settled(self, job: Job, settlement: Settlement) -> None:
        self.stale.append((job.id, job.token))
        job.token = ""
        to = settlement.to
        if job.cancel and to in (State.WAITING, State.DELAYED):
            to = State.CANCELLED
        elif settlement.count:
            job.counts[settlement.count] = job.counts.get(settlement.count, 0) + 1
        assert to is not None
        if to.ended:
            self.end(job, str(to))
        else:
            job.state = str(to)
            job.due = self.offset + round(settlement.delay * 1000)
            self.stand(job, job.order - job.priority * 60_000 if settlement.keep_rank else None)

    def end(self, job: Job, state: str) -> None:
        job.state, job.ended = state, self.offset

    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        active = self.of("active")
        picked = data.draw(st.lists(st.sampled_from(active), max_size=4, unique_by=id) if active else st.just([]))
        stale = data.draw(st.lists(st.sampled_from(self.stale), max_size=2, unique=True) if self.stale else st.just([]))
        held = [(job.id, job.token) for job in picked]
        reply = self.connection.ask(self.verbs.extend(QUEUE, held + stale, LEASE))
        assert reply.lost == [id for id, _ in stale]
        assert reply.cancelled == [job.id for job in picked if job.cancel]
        for job in picked:
            job.lock_end = self.offset + LEASE

    @rule(worker=st.sampled_from(WORKERS), limit=st.integers(1, 5), lost=st.booleans())
    def takeover(self, worker: str, limit: int, lost: bool) -> None:
        expired = {job.id for job in self.of("active") if job.lock_end <= self.offset}
        got = self.numbered("takeover", worker, lambda n: self.verbs.takeover(QUEUE, worker, n, LEASE, limit), lost)
        assert len(got) == min(limit, len(expired))
        for claimed in got:
            job = self.jobs[claimed.id]
            assert claimed.id in expired
            assert (claimed.previous, claimed.counters.starts) == (job.worker, job.starts)
            self.stale.append((job.id, job.token))
            job.token, job.worker, job.lock_end = claimed.token, worker, self.offset + LEASE

    @rule(data=st.data())
    def progress(self, data: st.DataObject) -> None:
        if active := self.of("active"):
            job = data.draw(st.sampled_from(active))
            item = ProgressItem(job.id, job.token, b'{"fraction":0.5}', b'{"page":7}')
            assert self.connection.ask(self.verbs.progress(QUEUE, [item])) == ["ok"]
        if self.stale:
            id, token = data.draw(st.sampled_from(self.stale))
            call = self.verbs.progress(QUEUE, [ProgressItem(id, token, b'{"fraction":1}', b"1")])
            assert self.unchanged(lambda: self.connection.ask(call)) == ["stale" if id in self.jobs else "gone"]

    # --- repairing ------------------------------------------------------------------------------------------

    @rule(id=IDS)
    def cancel(self, id: str) -> None:
        reply, job = self.connection.ask(self.verbs.cancel(QUEUE, id)), self.jobs.get(id)
        if job is None:
            assert reply is None
            return
        assert reply is not None
        assert reply.state == job.state
        if job.state == "active":
            assert reply.how == "asked"
            job.cancel = True
        elif job.state in census.ENDED:
            assert reply.how == "ended"
        else:
            assert reply.how == "cancelled"
            self.end(job, "cancelled")

    @rule(id=IDS)
    def promote(self, id: str) -> None:
        job = self.jobs.get(id)
        delayed = job is not None and job.state == "delayed"
        assert self.connection.ask(self.verbs.promote(QUEUE, id)) == delayed
        if job and delayed:
            job.state, job.due = "waiting", self.offset
            self.stand(job)

    @rule(ids=st.lists(IDS, min_size=1, max_size=4, unique=True))
    def replay(self, ids: list[str]) -> None:
        self.serial += 1
        call = self.verbs.replay(QUEUE, ids, f"r{self.serial}")
        answers = self.connection.ask(call)
        assert self.unchanged(lambda: self.connection.ask(call)) == answers
        for id, answer in zip(ids, answers, strict=True):
            job = self.jobs.get(id)
            assert answer == ("gone" if job is None else "ok" if job.state == "failed" else "not_failed")
            if job and job.state == "failed":
                job.state, job.counts, job.cancel, job.expires, job.due = "waiting", {}, False, None, self.offset
                self.stand(job)

    @rule(ids=st.lists(IDS, min_size=1, max_size=3, unique=True))
    def discard(self, ids: list[str]) -> None:
        for id, answer in zip(ids, self.connection.ask(self.verbs.discard(QUEUE, ids)), strict=True):
            job = self.jobs.get(id)
            assert answer == ("gone" if job is None else "ok" if job.state == "failed" else "not_failed")
            if answer == "ok":
                del self.jobs[id]

    @rule(newest=st.booleans(), count=st.integers(1, 3))
    def letters(self, newest: bool, count: int) -> None:
        """Page by page, each dead letter once, in order."""
        found: list[Letter] = []
        while True:
            after = found[-1].mark if found else ""
            page = self.connection.ask(self.verbs.letters(QUEUE, after, newest_first=newest, count=count))
            assert page.total == len(self.of("failed"))
            if not page.letters:
                break
            found += page.letters
        order = [(letter.ended, letter.id) for letter in found]
        assert order == sorted(set(order), reverse=newest)
        assert {letter.id for letter in found} == {job.id for job in self.of("failed")}

    @rule(id=IDS, ticks=st.sampled_from([0, 1, 4]))
    def reschedule(self, id: str, ticks: int) -> None:
        job, reply = (
            self.jobs.get(id),
            self.connection.ask(self.verbs.reschedule(QUEUE, id, ticks * TICK, relative=True)),
        )
        if job is None:
            assert reply is None
            return
        assert reply is not None
        assert (reply.was, reply.done) == (job.state, job.state in ("waiting", "delayed"))
        if not reply.done or (job.state == "waiting" and not ticks):
            assert reply.state == job.state
            return
        job.state, job.due = ("delayed", self.offset + ticks * TICK) if ticks else ("waiting", self.offset)
        assert reply.state == job.state
        self.stand(job)

    @rule(id=IDS, priority=st.integers(-2, 3))
    def reprioritize(self, id: str, priority: int) -> None:
        job, reply = self.jobs.get(id), self.connection.ask(self.verbs.reprioritize(QUEUE, id, priority))
        if job is None:
            assert reply is None
            return
        assert reply is not None
        assert (reply.state, reply.was, reply.done) == (job.state, job.priority, job.state in ("waiting", "delayed"))
        if reply.done:
            job.order += (priority - job.priority) * 60_000
            job.priority = priority
            job.fifo = None

    @rule(id=IDS)
    def remove(self, id: str) -> None:
        job, answer = self.jobs.get(id), self.connection.ask(self.verbs.remove(QUEUE, id))
        assert answer == ("gone" if job is None else "active" if job.state == "active" else "removed")
        if answer == "removed":
            del self.jobs[id]

    @rule(limit=st.integers(1, 50), most=st.sampled_from([3, 100]))
    def sweep(self, limit: int, most: int) -> None:
        call = self.verbs.sweep(
            QUEUE, limit, keep_completed_ms=KEEP, keep_failed_ms=KEEP_FAILED, most_completed=most, most_failed=most
        )
        reply = self.connection.ask(call)
        stored = self.now().jobs
        lapsed = [j for j in self.unstarted() if j.expires and j.expires <= self.offset]
        assert reply.expired == min(limit, len(lapsed))
        for job in lapsed:
            if stored[job.id]["state"] == "failed":
                self.end(job, "failed")
        gone = [job for id, job in self.jobs.items() if id not in stored]
        assert len(gone) == reply.removed
        for job in gone:
            assert job.state in census.ENDED
            del self.jobs[job.id]
        if not reply.more:
            for state in census.ENDED:
                assert len(self.of(state)) <= most
                assert all(job.ended + self.kept(state) > self.offset for job in self.of(state))

    def kept(self, state: str) -> int:
        """The longest a job may be kept: before the first sweep the defaults hold."""
        return max(KEEP_FAILED, 14 * 86_400_000 if state == "failed" else 86_400_000)

    def unstarted(self) -> list[Job]:
        return [job for job in self.of("waiting") + self.of("delayed") if not job.starts]

    @rule(on=st.booleans())
    def pause(self, on: bool) -> None:
        if on:
            self.connection.ask(self.verbs.pause(QUEUE))
        else:
            assert self.connection.ask(self.verbs.resume(QUEUE)) == self.paused
        self.paused = on

    @rule(scope=st.sampled_from(["", "h", "g1", "g1/*", "g2/*"]), most=st.sampled_from([None, 0, 1, 2]))
    def limit(self, scope: str, most: int | None) -> None:
        if most == 0 and scope.endswith("/*"):
            return
        group = scope.removesuffix("/*")
        said = "unlimited" if most is None else most
        self.connection.ask(self.verbs.limit(QUEUE, said, group=group, per_key=scope.endswith("/*")))
        self.limits.pop(scope, None)
        if most is not None:
            self.limits[scope] = most

    @rule(ticks=st.sampled_from([1, 1, 2, 3, 12]))
    def time_passes(self, ticks: int) -> None:
        self.offset += ticks * TICK + 1000

    @precondition(lambda self: len(self.jobs) > 12)
    @rule()
    def flushall(self) -> None:
        held = [(job.id, job.token) for job in self.of("active")]
        self.client.flushall()
        self.jobs, self.limits, self.paused, self.numbers = {}, {}, False, {}
        self.stale += held
        for id, token in held:
            items = [SettleItem(id, token, Settlement(State.COMPLETED))]
            number = self.numbers["settle", "w1"] = self.numbers.get(("settle", "w1"), 0) + 1
            assert self.connection.ask(self.verbs.settle(QUEUE, "w1", number, items)) == ["gone"]
            assert self.connection.ask(self.verbs.progress(QUEUE, [ProgressItem(id, token, b"{}", b"1")])) == ["gone"]
            assert self.connection.ask(self.verbs.extend(QUEUE, [(id, token)], LEASE)).lost == [id]
        assert not self.now().jobs

    # --- always ---------------------------------------------------------------------------------------------

    def of(self, state: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.state == state]

    @invariant()
    def every_job_is_in_exactly_one_place(self) -> None:
        found = self.now()
        census.check(found)
        assert {id: job["state"] for id, job in found.jobs.items()} == {id: job.state for id, job in self.jobs.items()}
        for id, job in self.jobs.items():
            stored = {
                name: int(found.jobs[id].get(name, 0)) for name in ("attempts", "crashes", "interruptions", "unbegun")
            }
            assert stored == {name: job.counts.get(name, 0) for name in stored}
            assert found.jobs[id].get("token", "") == job.token
        counts = self.connection.ask(self.verbs.counts(QUEUE))
        for state in ("waiting", "delayed", "active", "completed", "failed", "cancelled"):
            assert getattr(counts, state) == len(self.of(state)), f"counts say {counts}"
        assert counts.paused == self.paused
        page = self.connection.ask(self.verbs.page(QUEUE, State.WAITING, 0, 200))
        assert sorted(page) == sorted(job.id for job in self.of("waiting"))

    def teardown(self) -> None:
        """Drain: everything ends, and of its running nothing is left."""
        self.connection.ask(self.verbs.resume(QUEUE))
        for scope in list(self.limits):
            self.limit(scope, None)
        self.paused = False
        for _ in range(40):
            self.offset += 12 * TICK
            self.takeover("w1", 100, False)
            self.claim("w1", 100, False)
            items = [SettleItem(j.id, j.token, Settlement(State.COMPLETED)) for j in self.of("active")]
            number = self.numbers["settle", "w1"] = self.numbers.get(("settle", "w1"), 0) + 1
            self.connection.ask(self.verbs.settle(QUEUE, "w1", number, items))
            for job in self.of("active"):
                self.settled(job, Settlement(State.COMPLETED))
            if all(job.state in census.ENDED for job in self.jobs.values()):
                break
        self.claim("w1", 1, False)
        found = self.now()
        census.check(found)
        assert set(found.zsets) <= {*census.ENDED, "purge"}
        assert found.meta.get("mode") is None, "back on the fast path"
        self.offset += 30 * 86_400_000
        call = self.verbs.sweep(QUEUE, 1000, keep_completed_ms=1, keep_failed_ms=1, most_completed=0, most_failed=0)
        self.connection.ask(call)
        found = self.now()
        assert {**found.jobs, **found.zsets, **found.held} == {}, "nothing is left"


def _essence(answer: Any) -> Any:
    """An answer without what may differ when it is given again."""
    return answer.jobs if hasattr(answer, "jobs") else answer


def _count(running: dict[str, int], path: str, change: int) -> None:
    group, slash, key = path.partition("/")
    for what in ["", *([group] if slash else []), *([path] if key else [])]:
        running[what] = running.get(what, 0) + change


def _running(found: census.Census) -> dict[str, int]:
    running: dict[str, int] = {}
    for job in found.jobs.values():
        if job["state"] == "active":
            _count(running, job.get("path", ""), 1)
    return running


def test_any_order_of_any_verbs_loses_no_job_and_counts_right(server: Server) -> None:
    machines.run(Store, server)

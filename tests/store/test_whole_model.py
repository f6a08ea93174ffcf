"""Every verb there is, in any order, over two queues, with everybody dying between any two calls.

The other models each know one part well enough to say what a call must answer. This one has all parts at once, and says
what must be true whatever happens: every job is in exactly one place, no counter, key or place is leaked, what counts
and pages say is what is there; and when all that lives is left to finish, everything ends and nothing remains.
"""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import invariant, precondition, rule

from heavylift.decide import Settlement
from heavylift.job import AttemptRecord, ClaimedJob, Reason, State
from heavylift.limits import Rate
from heavylift.store import handover
from heavylift.store.call import Call
from heavylift.store.jobs import Jobs, NewJob, NewSchedule, ProgressItem, SettleItem, Tick
from tests.servers import Server
from tests.store import census, flows, machines
from tests.store.flows import Flows, ref

QUEUES = ("p", "q")
WORKERS = ("w1", "w2")
TICK = 40_000  # ms; the test's own time does not matter beside it
LEASE = 2 * TICK
HOUR = 3_600_000
MOST = 24
"""Jobs of one run: enough for all that can meet, few enough to look at all of them after each step."""

ENDS = [
    Settlement(State.COMPLETED, result=b'"done"'),
    Settlement(State.COMPLETED, result=b'"done"'),
    Settlement(State.FAILED, count="attempts", reason=Reason.EXHAUSTED),
    Settlement(State.CANCELLED),
    Settlement(State.WAITING, count="interruptions", keep_rank=True),
    Settlement(State.DELAYED, count="attempts", delay=TICK / 1000),
    Settlement(State.WAITING, keep_rank=True, rest=TICK / 1000),
]
SCOPES = [("", False), ("g", False), ("g", True), ("h", True)]
UNIQUE: dict[str, dict[str, int]] = {
    "": {},
    "s": {},
    "f": {},
    "w": {"window_ms": HOUR},
    "d": {"quiet_ms": TICK, "latest_ms": 3 * TICK},
}
queues, workers = st.sampled_from(QUEUES), st.sampled_from(WORKERS)
steps = st.sampled_from([0, 1, 2, 3, 99])  # of a trip; then whoever makes it dies


class Whole(machines.StoreMachine):
    """The rules. `client` and `connection` are put there by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.flows = Flows(self.connection)
        self.serial = 0
        self.names: list[str] = []
        self.held: list[ClaimedJob] = []
        self.revived = False

    @property
    def verbs(self) -> Jobs:
        return self.flows.verbs

    def ask(self, call: Call[Any], lost: bool = False) -> Any:
        """One call; its reply may be lost, and then it is repeated."""
        if lost:
            self.connection.ask(call)
        return self.connection.ask(call)

    def next(self) -> int:
        self.serial += 1
        return self.serial

    def census(self, queue: str) -> census.Census:
        return census.read(self.client, self.verbs.keys(queue))

    # --- producers ------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.names) < MOST)
    @rule(data=st.data(), queue=queues, count=st.integers(1, 3), unique=st.sampled_from(["", "", "", *UNIQUE]))
    def enqueue(self, data: st.DataObject, queue: str, count: int, unique: str) -> None:
        for _ in range(count):
            name = f"{queue} j{self.next()}"
            parents = data.draw(st.sampled_from([0, 0, 1, 2])) if self.names else 0
            after = data.draw(st.permutations(self.names))[:parents]
            dies = data.draw(st.sampled_from(["", "", "", "staged", "enqueued", "linking"])) if after else ""
            if after:
                self.flows.stage(name, after)
            if dies != "staged" and self.put(data, name, after, unique) and after and dies != "enqueued":
                self.flows.take(self.flows.linking(name, after), data.draw(steps) if dies == "linking" else 99)

    def put(self, data: st.DataObject, name: str, after: list[str], unique: str) -> bool:
        """One job; False if it was not needed."""
        options: dict[str, Any] = {
            "group": data.draw(st.sampled_from(["", "g"])),
            "key": data.draw(st.sampled_from(["", "a", "b"])),
            "priority": data.draw(st.integers(-1, 1)),
            "expires_ms": data.draw(st.sampled_from([None, None, 2 * TICK])),
            "policy": data.draw(st.sampled_from(["", "run", "cancel", "require"])) if after else "",
            "unique": unique and f"{unique}.x",
        }
        options |= UNIQUE[unique] or {"delay_ms": data.draw(st.sampled_from([0, 0, TICK]))}
        job = ref(name)
        new = NewJob(job.id, b"{}", "h", flow="f", after=tuple(map(ref, after)), **options)
        (made,) = self.ask(self.verbs.enqueue(job.queue, [new], f"n{job.id}"), data.draw(st.booleans()))
        assert unique or not made.duplicate
        self.names += [] if made.duplicate else [name]
        return not made.duplicate

    # --- workers --------------------------------------------------------------------------------------------

    @rule(queue=queues, worker=workers, credits=st.integers(1, 4), lost=st.booleans())
    def claim(self, queue: str, worker: str, credits: int, lost: bool) -> None:
        before = self.census(queue)
        reply = self.ask(self.verbs.claim(queue, worker, self.next(), credits, LEASE, 1000), lost)
        assert not (reply.paused and reply.jobs)
        self.held += reply.jobs
        after = self.census(queue)
        for place, running in after.held.items():
            group, _, key = place.partition("/")
            most = after.meta.get(f"limit:{group}/*" if key else f"limit:{group}")
            assert most is None or running <= max(int(most), before.held.get(place, 0)), f"{place} is above its limit"

    def of(self, data: st.DataObject) -> tuple[str, list[ClaimedJob]]:
        """Some attempts of one queue, of which some may have been taken over, or be gone."""
        queue = data.draw(st.sampled_from(sorted({job.queue for job in self.held})))
        mine = [job for job in self.held if job.queue == queue]
        return queue, data.draw(st.lists(st.sampled_from(mine), min_size=1, max_size=3, unique_by=lambda job: job.id))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), worker=workers, lost=st.booleans())
    def settle(self, data: st.DataObject, worker: str, lost: bool) -> None:
        queue, picked = self.of(data)
        tokens = {id: job.get("token") for id, job in self.census(queue).jobs.items()}
        record = AttemptRecord(1, worker, 1, 2, "error", "E", "m", "t")
        items = [SettleItem(job.id, job.token, data.draw(st.sampled_from(ENDS)), record) for job in picked]
        answers = self.ask(self.verbs.settle(queue, worker, self.next(), items), lost)
        for job, answer in zip(picked, answers, strict=True):
            self.held.remove(job)
            assert (answer in ("ok", "outbox")) == (tokens.get(job.id) == job.token), "only the holder may"

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def extend_and_tell(self, data: st.DataObject) -> None:
        queue, picked = self.of(data)
        self.ask(self.verbs.extend(queue, [(job.id, job.token) for job in picked], LEASE))
        self.ask(self.verbs.progress(queue, [ProgressItem(job.id, job.token, b"{}", b"1") for job in picked]))

    @precondition(lambda self: self.held)
    @rule()
    def a_worker_dies(self) -> None:
        self.held.clear()

    @rule(queue=queues, worker=workers, lost=st.booleans())
    def take_over(self, queue: str, worker: str, lost: bool) -> None:
        self.held += self.ask(self.verbs.takeover(queue, worker, self.next(), LEASE, 10), lost)

    @rule(queue=queues, most=steps)
    def hand_over(self, queue: str, most: int) -> None:
        self.flows.hand_over(queue, most=most)

    @rule(queue=queues, most=steps)
    def tend(self, queue: str, most: int) -> None:
        self.flows.tend(queue, most=most)

    @rule(queue=queues, most=st.sampled_from([2, 100]))
    def sweep(self, queue: str, most: int) -> None:
        self.flows.sweep(queue, keep=6 * TICK, most=most)

    @rule(worker=workers, queue=queues)
    def a_worker_is_there(self, worker: str, queue: str) -> None:
        mark = self.verbs.epoch(queue, f"e{self.next()}")
        for call in (*self.verbs.beat(worker, {}, HOUR), self.verbs.pass_on(queue), mark):
            self.ask(call)

    @rule(key=st.sampled_from("xy"), how=st.sampled_from(["done", "forget", "dies"]), lost=st.booleans())
    def once(self, key: str, how: str, lost: bool) -> None:
        nonce = f"n{self.next()}"
        begun = self.ask(self.verbs.once_begin(key, nonce, "q", "j", nonce, HOUR), lost)
        if begun.how == "new" and how == "done":
            assert self.ask(self.verbs.once_done(key, nonce, b"1", HOUR), lost)
        elif begun.how == "new" and how == "forget":
            assert self.ask(self.verbs.once_forget(key, nonce, nonce))

    # --- schedules ------------------------------------------------------------------------------------------

    @rule(queue=queues, alone=st.booleans(), times=st.sampled_from([b"1", b"2"]))
    def schedule(self, queue: str, alone: bool, times: bytes) -> None:
        number = self.next()
        new = NewSchedule("s", times, NewJob("", b"{}", "h", key="a"), "once", alone, number, f"r{number}")
        assert self.ask(self.verbs.schedule(queue, new))

    @rule(queue=queues, how=st.sampled_from(["fire", "fire", "pass", "pause", "resume", "delete"]), lost=st.booleans())
    def at_its_tick(self, queue: str, how: str, lost: bool) -> None:
        verbs, number = self.verbs, self.next()
        for found in self.ask(verbs.schedules(queue, ["s"])).schedules:
            tick = Tick("s", found.tick or 0, found.text("rev"), number, found.alone)
            if how == "fire" and len(self.names) < MOST:
                job = found.job(f"s{number}", b"{}", tick)
                (made,) = self.ask(verbs.enqueue(queue, [job], f"n{number}"), lost)
                self.names += [] if made.duplicate else [f"{queue} s{number}"]
            elif how == "pass":
                self.ask(verbs.pass_tick(queue, tick), lost)
            elif how == "pause":
                self.ask(verbs.pause_schedule(queue, "s"), lost)
            elif how == "resume":
                self.ask(verbs.resume_schedule(queue, "s", found.text("rev"), number), lost)
            elif how == "delete":
                self.ask(verbs.unschedule(queue, "s"), lost)

    # --- operators ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.names)
    @rule(data=st.data(), lost=st.booleans())
    def meddle(self, data: st.DataObject, lost: bool) -> None:
        for name in data.draw(st.lists(st.sampled_from(self.names), min_size=1, max_size=3)):
            job, verbs, nonce = ref(name), self.verbs, f"r{self.next()}"
            of = job.queue, job.id
            calls = [
                verbs.cancel(*of),
                verbs.remove(*of),
                verbs.promote(*of),
                verbs.reprioritize(*of, -2),
                verbs.reschedule(*of, TICK, relative=True),
                verbs.reschedule(*of, 0),
                verbs.replay(job.queue, [job.id], nonce),
                verbs.replay(job.queue, [job.id], nonce, envelope=b'{"n":2}', any_end=True),
                verbs.revive(job.queue, [job.id]),
                verbs.discard(job.queue, [job.id]),
            ]
            self.ask(data.draw(st.sampled_from(calls)), lost)

    @rule(data=st.data(), queue=queues, what=st.sampled_from(["limit", "limit", "order", "pause", "resume"]))
    def govern(self, data: st.DataObject, queue: str, what: str) -> None:
        if what == "limit":
            group, per_key = data.draw(st.sampled_from(SCOPES))
            most = data.draw(st.sampled_from(["unlimited", None, 1, 2]))
            rate = data.draw(st.sampled_from(["unlimited", None, Rate(1, TICK / 1000), Rate(2, TICK / 1000, 2)]))
            self.ask(self.verbs.limit(queue, most, rate, group=group, per_key=per_key))
        elif what == "order":
            self.ask(self.verbs.order(queue, data.draw(st.sampled_from(["fair", "priority"]))))
        else:
            self.ask(self.verbs.pause(queue) if what == "pause" else self.verbs.resume(queue))

    @rule(ticks=st.integers(1, 3))
    def time_passes(self, ticks: int) -> None:
        self.flows.later(ticks * TICK + 500)

    # --- always ---------------------------------------------------------------------------------------------

    @invariant()
    def every_job_is_in_exactly_one_place(self) -> None:
        for queue in QUEUES:
            found = self.census(queue)
            census.check(found)
            states = [job["state"] for job in found.jobs.values()]
            counts = self.ask(self.verbs.counts(queue))
            said = {state: getattr(counts, state) for state in State}
            assert said == {state: states.count(state) for state in State}
            page = self.ask(self.verbs.page(queue, State.WAITING, 0, 100))
            assert sorted(page) == sorted(id for id, job in found.jobs.items() if job["state"] == "waiting")
            ends = self.ask(self.verbs.ended(queue, State.COMPLETED, 0, 0, 100)).ends
            assert sorted(id for id, _ in ends) == sorted(
                id for id, job in found.jobs.items() if job["state"] == "completed"
            )
            letters = self.ask(self.verbs.letters(queue)).letters
            assert [letter.id for letter in letters] == list(found.of("failed"))
            flow = self.ask(self.verbs.flow(queue, "f", 0)).jobs
            assert {job.id for job in flow} == {id for id, job in found.jobs.items() if job.get("flow") == "f"}

    @invariant()
    def any_job_says_why_it_stands_where_it_does(self) -> None:
        if self.names:
            job = ref(self.names[self.serial % len(self.names)])
            standing = self.ask(self.verbs.why(job.queue, job.id))
            stored = self.client.hget(self.verbs.keys(job.queue).job(job.id), "state")
            assert (standing.job["state"] if standing else "") == (stored or b"").decode() or standing.staged

    def teardown(self) -> None:
        """All that lives goes on to its end; then nothing is left."""
        self.held.clear()
        for queue in QUEUES:
            self.ask(self.verbs.resume(queue))
            self.ask(self.verbs.order(queue, "priority"))
            self.ask(self.verbs.unschedule(queue, "s"))
            for group, per_key in SCOPES:
                self.ask(self.verbs.limit(queue, "unlimited", "unlimited", group=group, per_key=per_key))
        for _ in range(60):
            self.flows.later(3 * TICK)
            if not [self.finish(queue) for queue in QUEUES].count(False):
                break
        else:
            raise AssertionError("something goes on for ever")
        for _ in range(3):
            self.flows.later(10 * HOUR)
            for queue in QUEUES:
                self.flows.tend(queue)
                self.flows.sweep(queue, keep=0, most=0)
        for queue in QUEUES:
            self.ask(self.verbs.claim(queue, "w1", self.next(), 1, LEASE, 1000))
            found = self.census(queue)
            left = {name for name in found.zsets if self.client.pttl(f"{self.verbs.keys(queue).base}{name}") < 0}
            assert (left, found.jobs, found.held) == (set(), {}, {}), "what no job came of lapses; nothing else is left"
            assert all(said[0] in "wd" for said in found.unique.values())
            assert not {"mode", "order", "clock", "revise"} & found.meta.keys()

    def finish(self, queue: str) -> bool:
        """A worker and its janitor do what there is to do; whether all has ended."""
        self.flows.sweep(queue)
        got = self.ask(self.verbs.takeover(queue, "w1", self.next(), LEASE, 100))
        self.flows.tend(queue)
        got += self.ask(self.verbs.claim(queue, "w1", self.next(), 100, LEASE, 1000)).jobs
        items = [SettleItem(job.id, job.token, ENDS[0]) for job in got]
        self.ask(self.verbs.settle(queue, "w1", self.next(), items))
        self.flows.hand_over(queue)
        return all(job["state"] in census.ENDED for job in self.census(queue).jobs.values())


def test_every_verb_in_any_order_with_everybody_dying_anywhere(any_server: Server) -> None:
    machines.run(Whole, any_server, steps=60, examples=max(12, machines.EXAMPLES // 4))


def test_every_verb_is_among_the_rules() -> None:
    """Asked of the source, theirs and of the trips that they make: a small run does not come to all of them."""
    written = "".join(inspect.getsource(module) for module in (sys.modules[__name__], flows, handover))
    asked = set(re.findall(r"\.(\w+)\(", written))
    missing = {verb for verb in Jobs().scripts.verbs if not methods_of(verb) & asked}
    assert missing == set()


def methods_of(verb: str) -> set[str]:
    """The methods of `Jobs` that call a script."""
    return {
        name
        for name, method in inspect.getmembers(Jobs, inspect.isfunction)
        if re.search(rf'[(\[]\s*"{verb}"', inspect.getsource(method))
    }

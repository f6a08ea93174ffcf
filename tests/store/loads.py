"""Every verb at its largest: full batches, large payloads, a long line, many keys; and what each call took of Redis.

The time of a call is Redis' own (commandstats), or what its thread had of the processor, if that is less: while others
had it, the script did nothing. It holds every other client up for so long. The commands that a script runs, and the
bytes that go in and come out, are the same on any machine.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from heavylift.decide import Settlement
from heavylift.job import AttemptRecord, ClaimedJob, Reason, State, new_id
from heavylift.limits import Rate
from heavylift.options import JobRef
from heavylift.states import ENDED
from heavylift.store.call import Call
from heavylift.store.connection import Connection
from heavylift.store.flowing import MOST_LINKED, MOST_STAGED, Link, Waiting, deliveries, staged
from heavylift.store.jobs import Jobs, NewJob, NewSchedule, ProgressItem, SettleItem, Tick, batches
from heavylift.store.letters import REPLAYS_AT_ONCE
from heavylift.store.repairing import SWEPT_AT_ONCE
from heavylift.store.verbs import runs
from heavylift.worker.dispatcher import MOST_SETTLED
from tests.servers import Server

QUEUE = "load"
LEASE = 600_000
SMALL, LARGE = 100, 10_000
"""Bytes of a payload."""

DONE = State.COMPLETED
LOST = Settlement(State.FAILED, count="attempts", reason=Reason.EXHAUSTED)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call took: Redis' own time in ms, the commands its script ran, the bytes sent and given back."""

    ms: float
    commands: int
    bytes: int


class Load:
    """A queue with much in it.

    Attributes:
        costs: of each call of a verb.
    """

    def __init__(self, server: Server, connection: Connection, *, waiting: int, keys: int = 0) -> None:
        self.jobs = Jobs()
        self.costs: dict[str, list[Cost]] = defaultdict(list)
        self._server = server
        self._connection = connection
        self._numbers = itertools.count(1)
        self._keys = itertools.cycle(range(keys)) if keys else None
        for verb in self.jobs.scripts.verbs.values():
            connection.command("SCRIPT", "LOAD", verb.script.source)
        if keys:
            connection.ask(self.jobs.limit(QUEUE, 100, group="h", per_key=True))
        for _ in range(0, waiting, 100):
            connection.ask(self.jobs.enqueue(QUEUE, self._new(100, SMALL), new_id()))

    def turn(self, size: int) -> None:
        """All there is, a hundred at a time, with payloads of so many bytes."""
        self._lives(size)
        self._moves(size)
        self._letters(size)
        self._sweep(size)
        self._flows(size)
        self._limits()
        self._effects(size)
        self._schedules(size)

    # --- a worker's verbs -----------------------------------------------------------------------------------

    def _lives(self, size: int) -> None:
        jobs = self.jobs
        self._enqueue(self._new(100, size))
        held = self._claim("claim")
        self._timed("extend", jobs.extend(QUEUE, [(job.id, job.token) for job in held], LEASE))
        text = _text(size)
        told = [ProgressItem(job.id, job.token, b'{"fraction":0.5}', text) for job in held]
        for some in runs(told, 200, lambda item: len(item.checkpoint or b"")):
            self._timed("progress", jobs.progress(QUEUE, some))
        ends = [Settlement(DONE, result=text), LOST]
        self._settle(held, ends, size)
        taken = self._connection.ask(jobs.claim(QUEUE, "gone", next(self._numbers), 50, 0, 5_000)).jobs
        assert taken
        again = self._timed("takeover", jobs.takeover(QUEUE, "w", next(self._numbers), LEASE, 50))
        self._settle(again, [Settlement(State.WAITING, count="interruptions", keep_rank=True)], size)
        self._timed("pass_on", jobs.pass_on(QUEUE))
        self._timed("epoch", jobs.epoch(QUEUE, new_id()))
        self._timed("seen", jobs.beat("w", {}, LEASE)[-1])

    def _claim(self, verb: str = "claim", most: int = 50) -> list[ClaimedJob]:
        held: list[ClaimedJob] = self._timed(
            verb, self.jobs.claim(QUEUE, "w", next(self._numbers), most, LEASE, 5_000)
        ).jobs
        return held

    def _settle(self, held: Sequence[ClaimedJob], ends: Sequence[Settlement], size: int) -> None:
        record = AttemptRecord(1, "w", 1, 2, "error", "E", "m", "x" * min(size, 4_000))
        items = [SettleItem(job.id, job.token, ends[n % len(ends)], record) for n, job in enumerate(held)]
        for some in runs(items, MOST_SETTLED, lambda item: len(item.settlement.result or b"") + 4_000):
            self._timed("settle", self.jobs.settle(QUEUE, "w", next(self._numbers), some))

    def _sweep(self, size: int) -> None:
        """Jobs that expired, and of each kind some that have ended and are too many, or over their time."""
        jobs, many = self.jobs, 2 * SWEPT_AT_ONCE
        self._enqueue([replace(job, expires_ms=0, unique=f"f.{job.id}") for job in self._new(many, size)])
        ended = [replace(job, keep_ms=0) for job in self._new(many, size, delay_ms=LEASE)]
        self._enqueue(ended)
        for call in [jobs.cancel(QUEUE, job.id) for job in ended]:
            self._connection.ask(call)
        there = self._connection.ask(jobs.counts(QUEUE))
        most = {"most_completed": max(0, there.completed - many), "most_failed": max(0, there.failed - many)}
        more = True
        while more:
            call = jobs.sweep(QUEUE, SWEPT_AT_ONCE, keep_completed_ms=LEASE, keep_failed_ms=LEASE, **most)
            more = self._timed("sweep", call).more

    # --- an operator's verbs --------------------------------------------------------------------------------

    def _moves(self, size: int) -> None:
        """One job moved by hand, and lists."""
        jobs = self.jobs
        later = self._new(20, size, delay_ms=3_600_000)
        self._enqueue(later)
        now = self._new(4, size, unique="f." + new_id())[:1] + self._new(4, size)
        self._enqueue(now)
        for job in later[0], now[0]:
            self._timed("why", jobs.why(QUEUE, job.id))
        self._timed("promote", jobs.promote(QUEUE, later[0].id))
        self._timed("cancel", jobs.cancel(QUEUE, later[1].id))
        self._timed("remove", jobs.remove(QUEUE, later[2].id))
        self._timed("cancel", jobs.cancel(QUEUE, now[0].id))
        self._timed("remove", jobs.remove(QUEUE, now[1].id))
        self._timed("priority", jobs.reprioritize(QUEUE, now[2].id, -5))
        self._timed("reschedule", jobs.reschedule(QUEUE, now[3].id, 3_600_000, relative=True))
        self._timed("reschedule", jobs.reschedule(QUEUE, now[3].id, 0))
        self._timed("resume", jobs.resume(QUEUE))
        for state in State:
            self._timed("page", jobs.page(QUEUE, state, 0, 100))
            self._timed("page", jobs.page(QUEUE, state, 200, 100, newest_first=True))
        for state in ENDED:
            self._timed("ended", jobs.ended(QUEUE, state, 0, 0, 100))
        self._timed("counts", jobs.counts(QUEUE))

    def _letters(self, size: int) -> None:
        """Dead letters: a hundred get another life, a hundred go."""
        jobs = self.jobs
        dead: list[str] = []
        while len(dead) < 2 * REPLAYS_AT_ONCE:
            held = self._connection.ask(jobs.claim(QUEUE, "w", next(self._numbers), 50, LEASE, 5_000)).jobs
            self._settle(held, [LOST], size)
            dead += [job.id for job in held]
        page = self._timed("letters", jobs.letters(QUEUE, whole=True))
        self._timed("letters", jobs.letters(QUEUE, page.letters[-1].mark, newest_first=True))
        self._timed("replay", jobs.replay(QUEUE, dead[:REPLAYS_AT_ONCE], new_id()))
        self._timed("discard", jobs.discard(QUEUE, dead[REPLAYS_AT_ONCE : 2 * REPLAYS_AT_ONCE]))
        self._timed("replay", jobs.replay(QUEUE, [page.letters[0].id], new_id(), envelope=_spec(size)))

    # --- flows ----------------------------------------------------------------------------------------------

    def _flows(self, size: int) -> None:
        """A hundred children of one parent, and one child of many; told, looked after, given another life."""
        flow, jobs = new_id(), self.jobs
        parents = [replace(job, flow=flow, priority=-1_000_000) for job in self._new(50, size)]
        first = JobRef(QUEUE, parents[0].id)
        self._enqueue(parents)
        many = [JobRef(QUEUE, parent.id) for parent in parents]
        wide = [replace(job, flow=flow, after=(first,), unique=f"f.{job.id}") for job in self._new(MOST_STAGED, size)]
        deep = [replace(job, flow=flow, after=tuple(many)) for job in self._new(5, size)]
        nonce = new_id()
        for run in staged([Waiting(job.id, job.after) for job in wide + deep]):
            self._timed("stage", jobs.stage(QUEUE, run, nonce))
        self._enqueue(wide + deep)
        links = [Link(ref, JobRef(QUEUE, job.id), 0, flow) for job in wide + deep for ref in job.after]
        for some in runs(links, MOST_LINKED, lambda _: 0):
            self._timed("link", jobs.link(QUEUE, some))
        self._timed("flow", jobs.flow(QUEUE, flow, 0))
        self._timed("why", jobs.why(QUEUE, deep[0].id))
        held: list[ClaimedJob] = []
        while len(held) < len(parents):  # they are first in line
            held += self._claim(most=len(parents) - len(held))
        assert {job.id for job in held} == {parent.id for parent in parents}
        self._settle(held[:1], [LOST], size)
        self._hand_over()
        self._timed("revive", jobs.revive(QUEUE, [job.id for job in wide[:REPLAYS_AT_ONCE]]))
        while self._timed("tend", jobs.tend(QUEUE))[0]:
            pass
        self._settle(held[1:], [Settlement(DONE, result=_text(size))], size)
        self._hand_over()
        self._timed("revive", jobs.revive(QUEUE, [first.id, *(job.id for job in deep)]))
        (again,) = self._claim(most=1)
        assert again.id == first.id
        self._settle([again], [Settlement(DONE, result=_text(size))], size)
        self._hand_over()
        for job in [*parents, *wide, *deep]:
            if self._connection.ask(jobs.cancel(QUEUE, job.id)):
                self._connection.ask(jobs.remove(QUEUE, job.id))
        self._hand_over()

    def _hand_over(self) -> None:
        told: Sequence[Any] = ()
        while told := self._timed("handover", self.jobs.handover(QUEUE, told)):
            for queue, run in deliveries(told):
                self._timed("deliver", self.jobs.deliver(queue, run))

    # --- the rest -------------------------------------------------------------------------------------------

    def _limits(self) -> None:
        """Limits change while all those jobs wait, and hundreds of many keys run."""
        jobs = self.jobs
        self._timed("limit", jobs.limit(QUEUE, 200))
        if self._keys is None:
            self._timed("order", jobs.order(QUEUE, "priority"))  # as it is: else all jobs would go into lines
            return
        held = [job for _ in range(20) for job in self._claim()]
        self._timed("limit", jobs.limit(QUEUE, 90, Rate(1_000, 1, 1_000), group="h", per_key=True))
        held += self._claim()
        for order in ("fair", "priority"):
            self._timed("order", jobs.order(QUEUE, order))  # type: ignore[arg-type]
            self._settle(self._claim(), [Settlement(DONE)], 0)
        self._settle(held, [Settlement(DONE)], 0)
        self._timed("limit", jobs.limit(QUEUE, 100, "unlimited", group="h", per_key=True))

    def _effects(self, size: int) -> None:
        jobs, key = self.jobs, new_id()
        self._timed("once_begin", jobs.once_begin(key, "n", QUEUE, "j", "t", LEASE))
        self._timed("once_done", jobs.once_done(key, "t", _text(size), LEASE))
        self._timed("once_forget", jobs.once_forget(key))

    def _schedules(self, size: int) -> None:
        """A hundred of them."""
        jobs, like = self.jobs, self._new(1, size)[0]
        for number in range(100):
            new = NewSchedule(f"s{number}", b"1", like, "once", False, 1, "r")
            self._timed("schedule", jobs.schedule(QUEUE, new))
        found = self._timed("schedules", jobs.schedules(QUEUE, due=True)).schedules
        for one in found[:3]:
            tick = Tick(one.name, 1, "r", 1)
            self._timed("schedule_pass", jobs.pass_tick(QUEUE, tick))
            self._enqueue([one.job(new_id(), _spec(size), tick)])
            self._timed("schedule_pause", jobs.pause_schedule(QUEUE, one.name))
        for number in range(100):
            self._timed("unschedule", jobs.unschedule(QUEUE, f"s{number}"))

    def _enqueue(self, new: Sequence[NewJob]) -> None:
        for batch in batches(new):
            self._timed("enqueue", self.jobs.enqueue(QUEUE, batch, new_id()))

    def _new(self, count: int, size: int, **more: Any) -> list[NewJob]:
        keyed: list[dict[str, str]] = [{"key": f"k{next(self._keys)}"} if self._keys else {} for _ in range(count)]
        return [NewJob(id=new_id(), spec=_spec(size), handler="h", **key, **more) for key in keyed]  # type: ignore[arg-type]

    def _timed(self, verb: str, call: Call[Any]) -> Any:
        replies: list[Any] = []

        def parse(reply: Any) -> Any:
            replies.append(reply)
            return call.parse(reply)

        before = self._spent()
        answer = self._connection.ask(replace(call, parse=parse))
        after = self._spent()
        size = sum(map(_bytes, call.command)) + sum(map(_bytes, replies))
        ms = min(after["usec"] - before["usec"], after["cpu"] - before["cpu"]) / 1000
        self.costs[verb].append(Cost(ms, int(after["commands"] - before["commands"]), size))
        return answer

    def _spent(self) -> dict[str, float]:
        """Microseconds and commands so far."""
        said = self._server.command("INFO", "commandstats", "cpu")
        stats = {name: stat for name, stat in said.items() if name.startswith("cmdstat_")}
        script = stats.pop("cmdstat_evalsha", {"usec": 0})
        return {
            "usec": script["usec"],
            "cpu": 1e6 * (said["used_cpu_user_main_thread"] + said["used_cpu_sys_main_thread"]),
            "commands": sum(stat["calls"] for name, stat in stats.items() if name != "cmdstat_info"),
        }


def _text(size: int) -> bytes:
    return b'"' + b"x" * size + b'"'


def _spec(size: int) -> bytes:
    return b'{"handler":"h","args":{"text":' + _text(size) + b'},"enqueued_at":1800000000000}'


def _bytes(part: Any) -> int:
    if isinstance(part, list):
        return sum(map(_bytes, part))
    return len(part) if isinstance(part, str | bytes) else 8

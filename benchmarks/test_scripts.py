"""What the scripts cost Redis per job, that it does not grow with the backlog, and that no call holds it up for long.

The time is Redis' own (see `Stopwatch`), so a busy machine disturbs it less than a clock on our side would. What others
still added is told apart from what a call costs: the same calls are made in several rounds, and of each counts the
quickest. Calls carry as many jobs as clients put into one, and as a claim gives. (What a worker had to keep for a while
it settles up to 50 at a time: see the load of every verb.)
"""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.bars import Bars
from benchmarks.measure import Latency, Stopwatch, quickest
from heavylift.decide import Settlement
from heavylift.job import ClaimedJob, State, new_id
from heavylift.settings import Settings
from heavylift.store.connection import Connection, Target
from heavylift.store.jobs import Jobs, NewJob, SettleItem, batches
from heavylift.store.scripts import Scripts
from heavylift.worker.dispatcher import MOST_CLAIMED
from tests.servers import Server
from tests.store.loads import LARGE, SMALL, Load

TURN = 100
"""Jobs of a turn."""

TURNS = 40
ROUNDS = 3
"""Times that the same calls are made."""

MOST, WORST = 2.0, 5.0
"""ms a call may hold Redis up: 99 times of 100, and ever."""

GROWTH = 1.6
"""Most that 100 times the backlog may add: a sorted set is O(log n), and memory is further away."""

QUEUE = "scripts"
SPEC = b'{"handler":"note_async","args":{"n":12345},"enqueued_at":1800000000000}'


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    link = Connection(Target.from_settings(Settings(redis_url=server.url)), name="bench")
    yield link
    link.close()


class Life:
    """Takes jobs through enqueue, claim and settle, in calls that are as large as they get.

    Attributes:
        ms: what each call of a verb took of Redis.
        us: the same for each of its jobs, in microseconds.
    """

    def __init__(self, server: Server, connection: Connection) -> None:
        self.jobs = Jobs("heavylift", Scripts())
        self.numbers = itertools.count(1)
        self.ms: dict[str, list[float]] = defaultdict(list)
        self.us: dict[str, list[float]] = defaultdict(list)
        self._server = server
        self._ask = connection.ask

    def fill(self, count: int) -> None:
        """Let `count` jobs wait."""
        for batch in batches(self.new(count)):
            self._ask(self.jobs.enqueue(QUEUE, batch, new_id()))

    def turn(self) -> None:
        """Enqueue, claim and settle so many: the backlog stays."""
        for batch in batches(self.new(TURN)):
            self._timed("enqueue", lambda batch=batch: self._ask(self.jobs.enqueue(QUEUE, batch, new_id())))
        claimed = 0
        while claimed < TURN:
            some = self._timed("claim", self.claim)
            answers = self._timed("settle", lambda some=some: self._settle(some))
            assert set(answers) == {"ok"}
            claimed += len(some)

    def new(self, count: int) -> list[NewJob]:
        """Jobs to be enqueued."""
        return [NewJob(id=new_id(), spec=SPEC, handler="note_async") for _ in range(count)]

    def claim(self) -> list[ClaimedJob]:
        """Claim as many as one call gives."""
        return self._ask(self.jobs.claim(QUEUE, "w", next(self.numbers), MOST_CLAIMED, 30_000, 5_000)).jobs

    def _settle(self, held: Sequence[ClaimedJob]) -> Sequence[str]:
        done = Settlement(State.COMPLETED, result=b"null")
        items = [SettleItem(job.id, job.token, done) for job in held]
        return self._ask(self.jobs.settle(QUEUE, "w", next(self.numbers), items))

    def _timed(self, verb: str, call: Callable[[], Any]) -> Any:
        watch = Stopwatch(self._server)
        answer = call()
        took = watch.ms()
        self.ms[verb].append(took)
        self.us[verb].append(1000 * took / len(answer))
        return answer

    def medians(self) -> dict[str, float]:
        """Redis us per job of each verb."""
        return {verb: round(statistics.median(values), 2) for verb, values in self.us.items()}


@pytest.mark.parametrize("waiting", [1_000, 100_000])
def test_a_turn_of_a_hundred_jobs(
    benchmark: BenchmarkFixture, server: Server, connection: Connection, waiting: int
) -> None:
    """Enqueue, claim and settle 100 jobs, with this many waiting."""
    life = Life(server, connection)
    life.fill(waiting)
    benchmark.pedantic(life.turn, rounds=TURNS, warmup_rounds=5)
    benchmark.extra_info.update({f"redis_us_per_job_{verb}": us for verb, us in life.medians().items()})


def test_cost_is_flat(benchmark: BenchmarkFixture, server: Server, connection: Connection, bars: Bars) -> None:
    """From 1,000 to 100,000 waiting jobs a claim or a settlement hardly costs more."""
    costs: dict[int, dict[str, float]] = {}

    def measure() -> None:
        for waiting in (1_000, 100_000):
            rounds = []
            for _ in range(ROUNDS):
                server.reset()
                life = Life(server, connection)
                life.fill(waiting)
                for _ in range(TURNS):
                    life.turn()
                rounds.append(life)
            life.us = quickest([life.us for life in rounds])
            costs[waiting] = life.medians()
            judge(bars, f"{waiting:,} waiting", quickest([life.ms for life in rounds]))

    benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info["redis_us_per_job"] = {str(waiting): cost for waiting, cost in costs.items()}
    for verb in ("claim", "settle"):
        assert costs[100_000][verb] <= costs[1_000][verb] * GROWTH, (verb, costs)


@pytest.mark.parametrize("keys", [0, 10_000])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_every_verb_at_its_largest(
    benchmark: BenchmarkFixture, server: Server, connection: Connection, bars: Bars, size: int, keys: int
) -> None:
    """With 100,000 waiting: the 99th percentile and the worst of each verb."""
    load = Load(server, connection, waiting=100_000, keys=keys)
    took: dict[str, list[float]] = defaultdict(list)

    def measure() -> None:
        same: dict[tuple[str, int], float] = {}
        for _ in range(ROUNDS):
            load.costs.clear()
            load.turn(size)
            for verb, costs in load.costs.items():
                for place, cost in enumerate(costs):
                    same[verb, place] = min(cost.ms, same.get((verb, place), cost.ms))
        for (verb, _), ms in same.items():
            took[verb].append(ms)

    benchmark.pedantic(measure, rounds=TURNS // ROUNDS)
    benchmark.extra_info.update(judge(bars, f"payloads of {size:,} bytes, {keys:,} keys", took))


def judge(bars: Bars, what: str, took: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Hold the calls of each verb to the bars, and say what they took."""
    found = {verb: Latency.of(ms) for verb, ms in took.items()}
    slow, slowest = (max(found, key=lambda verb: getattr(found[verb], name)) for name in ("p99", "worst"))
    p99, worst = found[slow].p99, found[slowest].worst
    bars.add(f"{what}: p99 of every verb below {MOST:g} ms", f"{p99:.2f} ms ({slow})", p99 < MOST)
    bars.add(f"{what}: no call above {WORST:g} ms", f"{worst:.2f} ms ({slowest})", worst < WORST)
    names = ("p99", "worst")
    return {f"{verb}_{name}_ms": round(getattr(one, name), 2) for verb, one in found.items() for name in names}

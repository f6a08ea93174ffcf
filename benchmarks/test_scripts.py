"""What the scripts cost Redis per job, and that it does not grow with the backlog.

The time is Redis' own (INFO commandstats), so a busy machine disturbs it less than a clock on our side would. Calls
carry 50 jobs, as in the tables of the design.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.measure import script_us
from heavylift.decide import Settlement
from heavylift.job import ClaimedJob, State, new_id
from heavylift.settings import Settings
from heavylift.store.connection import Connection, Target
from heavylift.store.jobs import Jobs, NewJob, SettleItem, batches
from heavylift.store.scripts import Scripts
from tests.servers import Server
from tests.store.loads import LARGE, SMALL, Load

PER_CALL = 50
ROUNDS = 40
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
    """Takes jobs through enqueue, claim and settle, `per_call` at a time, and adds up what each costs Redis."""

    per_call = PER_CALL

    def __init__(self, server: Server, connection: Connection) -> None:
        self.jobs = Jobs("heavylift", Scripts())
        self.numbers = itertools.count(1)
        self.us: dict[str, list[float]] = {"enqueue": [], "claim": [], "settle": []}
        self._server = server
        self._ask = connection.ask

    def fill(self, count: int) -> None:
        """Let `count` jobs wait."""
        for batch in batches(self.new(count)):
            self._ask(self.jobs.enqueue(QUEUE, batch, new_id()))

    def turn(self) -> None:
        """Enqueue, claim and settle so many: the backlog stays."""
        some = self.new(self.per_call)
        self._timed("enqueue", lambda: self._ask(self.jobs.enqueue(QUEUE, some, new_id())))
        claimed = self._timed("claim", self.claim)
        assert len(claimed) == self.per_call
        done = Settlement(State.COMPLETED, result=b"null")
        items = [SettleItem(job.id, job.token, done) for job in claimed]
        answers = self._timed("settle", lambda: self._ask(self.jobs.settle(QUEUE, "w", next(self.numbers), items)))
        assert set(answers) == {"ok"}

    def new(self, count: int) -> list[NewJob]:
        """Jobs to be enqueued."""
        return [NewJob(id=new_id(), spec=SPEC, handler="note_async") for _ in range(count)]

    def claim(self) -> list[ClaimedJob]:
        """Claim so many."""
        return self._ask(self.jobs.claim(QUEUE, "w", next(self.numbers), self.per_call, 30_000, 5_000)).jobs

    def _timed(self, verb: str, call: Callable[[], Any]) -> Any:
        before = script_us(self._server)
        answer = call()
        self.us[verb].append((script_us(self._server) - before) / self.per_call)
        return answer

    def medians(self) -> dict[str, float]:
        """Redis us per job of each verb."""
        return {verb: round(statistics.median(values), 2) for verb, values in self.us.items()}


@pytest.mark.parametrize("waiting", [1_000, 100_000])
def test_a_turn_of_fifty_jobs(
    benchmark: BenchmarkFixture, server: Server, connection: Connection, waiting: int
) -> None:
    """Enqueue, claim and settle 50 jobs, with this many waiting."""
    life = Life(server, connection)
    life.fill(waiting)
    benchmark.pedantic(life.turn, rounds=ROUNDS, warmup_rounds=5)
    benchmark.extra_info.update({f"redis_us_per_job_{verb}": us for verb, us in life.medians().items()})


def test_cost_is_flat(benchmark: BenchmarkFixture, server: Server, connection: Connection) -> None:
    """From 1,000 to 100,000 waiting jobs a claim or a settlement hardly costs more."""
    costs: dict[int, dict[str, float]] = {}

    def measure() -> None:
        life = Life(server, connection)
        life.fill(1_000)
        for waiting in (1_000, 100_000):
            life.fill(waiting - 1_000)
            life.us = {verb: [] for verb in life.us}
            for _ in range(ROUNDS):
                life.turn()
            costs[waiting] = life.medians()

    benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info["redis_us_per_job"] = {str(waiting): cost for waiting, cost in costs.items()}
    for verb in ("claim", "settle"):
        assert costs[100_000][verb] <= costs[1_000][verb] * GROWTH, (verb, costs)


@pytest.mark.parametrize("keys", [0, 10_000])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_every_verb_at_its_largest(
    benchmark: BenchmarkFixture, server: Server, connection: Connection, size: int, keys: int
) -> None:
    """With 100,000 waiting: the 99th percentile and the worst of each verb, in ms of Redis' own time."""
    load = Load(server, connection, waiting=100_000, keys=keys)
    benchmark.pedantic(load.turn, args=(size,), rounds=ROUNDS)
    for verb, costs in load.costs.items():
        took = [cost.ms for cost in costs]
        benchmark.extra_info[f"{verb}_p99_ms"] = round(statistics.quantiles(took, n=100)[-1], 2)
        benchmark.extra_info[f"{verb}_worst_ms"] = round(max(took), 2)

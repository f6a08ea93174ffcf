"""What limits and turns cost Redis, that it does not grow with jobs or keys, and that turns are even.

The time is Redis' own, of each call the quickest of several rounds (see test_scripts). The jobs of a turn are of as
many keys.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.bars import Bars
from benchmarks.measure import quickest
from benchmarks.test_scripts import GROWTH, QUEUE, ROUNDS, SPEC, TURNS, Life, judge
from benchmarks.test_scripts import connection as connection
from heavylift.job import new_id
from heavylift.limits import Rate
from heavylift.store.connection import Connection
from heavylift.store.jobs import NewJob
from tests.servers import Server

LIMITS = ["none", "concurrency", "concurrency and rate, in turns"]
SIZES = {1_000: 100, 100_000: 10_000}
"""Waiting jobs, and the keys they are of."""


class LimitedLife(Life):
    """The same with keys, limited or not."""

    def __init__(self, server: Server, connection: Connection, keys: Iterable[int], limits: str) -> None:
        super().__init__(server, connection)
        self._keys = iter(keys)
        rate = Rate(1_000, 1, 100) if "rate" in limits else None
        if "concurrency" in limits:
            connection.ask(self.jobs.limit(QUEUE, 1, rate, group="h", per_key=True))
        if "turns" in limits:
            connection.ask(self.jobs.order(QUEUE, "fair"))

    def new(self, count: int) -> list[NewJob]:
        return [NewJob(f"{key}.{new_id()}", SPEC, "h", key=f"k{key}") for key in itertools.islice(self._keys, count)]


@pytest.mark.parametrize("limits", LIMITS)
def test_cost_is_flat_in_jobs_and_keys(
    benchmark: BenchmarkFixture, server: Server, connection: Connection, bars: Bars, limits: str
) -> None:
    """From 1,000 jobs of 100 keys to 100,000 of 10,000: what a claim, a settlement and an enqueue cost for each job."""
    costs: dict[int, dict[str, float]] = {}

    def measure() -> None:
        for waiting, keys in SIZES.items():
            rounds = []
            for _ in range(ROUNDS):
                server.reset()
                life = LimitedLife(server, connection, itertools.cycle(range(keys)), limits)
                life.fill(waiting)
                for _ in range(TURNS):
                    life.turn()
                rounds.append(life)
            took = quickest([life.ms for life in rounds])
            life.us = quickest([life.us for life in rounds])
            costs[waiting] = life.medians()
            judge(bars, f"{waiting:,} jobs of {keys:,} keys, limits: {limits}", took)

    benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info["redis_us_per_job"] = {str(waiting): cost for waiting, cost in costs.items()}
    few, many = (costs[waiting] for waiting in SIZES)
    for verb in ("claim", "settle"):
        assert many[verb] <= few[verb] * GROWTH, (verb, costs)


@pytest.mark.parametrize("order", ["priority", "fair"])
def test_turns_of_a_thousand_keys(
    benchmark: BenchmarkFixture, server: Server, connection: Connection, bars: Bars, order: str
) -> None:
    """One key has 20,000 jobs, the others came later and have 20 each: how even are the first 10,000 starts?"""
    keys = itertools.chain([0] * 20_000, itertools.islice(itertools.cycle(range(1, 1_000)), 20 * 999))
    life = LimitedLife(server, connection, keys, "turns" if order == "fair" else "none")
    life.fill(20_000 + 20 * 999)
    starts: Counter[str] = Counter()

    def claim() -> None:
        while starts.total() < 10_000:
            taken = life.claim()
            assert taken
            starts.update(job.id.partition(".")[0] for job in taken)

    benchmark.pedantic(claim, rounds=1)
    index = jain([starts[str(key)] for key in range(1_000)])
    benchmark.extra_info["jain"] = round(index, 4)
    if order == "fair":
        bars.add("Jain's index of 1,000 keys in a fair queue, 0.99 or more", f"{index:.4f}", index >= 0.99)
        assert index >= 0.99


def jain(shares: list[int]) -> float:
    """How even shares are: 1 if all are equal, 1/n if one has all."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))

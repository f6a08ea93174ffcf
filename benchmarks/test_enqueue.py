"""Putting jobs in: one after the other, many at once, and many callers that share round trips."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.handlers_notes import note_async
from benchmarks.measure import Meter
from heavylift import AsyncClient, Client
from tests.servers import Server

ROUNDS = 7


def _measure(benchmark: BenchmarkFixture, server: Server, enqueue: Callable[[], None], count: int) -> None:
    """Several rounds of `count` jobs into an empty queue; what one of them cost is told beside the time."""

    def empty() -> None:
        server.command("FLUSHALL")

    enqueue()
    empty()
    meter = Meter(server)
    enqueue()
    cost = meter.per_job(count)
    benchmark.pedantic(enqueue, setup=empty, rounds=ROUNDS, warmup_rounds=1)
    assert server.command("ZCARD", "heavylift:{async}:line:") == count
    if benchmark.stats:
        benchmark.extra_info["jobs_per_s"] = round(count / benchmark.stats["median"])
    benchmark.extra_info["redis_us_per_job"] = round(cost.redis_us, 1)
    benchmark.extra_info["redis_commands_per_job"] = round(cost.commands, 2)


def test_one_by_one(benchmark: BenchmarkFixture, server: Server, client: Client) -> None:
    def enqueue() -> None:
        for n in range(500):
            client.enqueue(note_async.job(n))

    _measure(benchmark, server, enqueue, 500)


def test_in_bulk(benchmark: BenchmarkFixture, server: Server, client: Client) -> None:
    def enqueue() -> None:
        for first in range(0, 10_000, 1000):
            client.enqueue_many([note_async.job(n) for n in range(first, first + 1000)])

    _measure(benchmark, server, enqueue, 10_000)


def test_by_a_thousand_coroutines(benchmark: BenchmarkFixture, server: Server) -> None:
    async def crowd() -> None:
        async with AsyncClient(server.url) as client:
            await asyncio.gather(*(client.enqueue(note_async.job(n)) for n in range(1000)))

    _measure(benchmark, server, lambda: asyncio.run(crowd()), 1000)

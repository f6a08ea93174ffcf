"""Jobs that do nothing, in each way of running them: what the worker itself is worth."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.drive import spec
from benchmarks.measure import Meter, Records, wait_for
from benchmarks.sides import heavylift
from heavylift import Client
from tests.servers import Server


@pytest.mark.parametrize(("queue", "count"), [("async", 10_000), ("plain", 10_000), ("slots", 1_000)])
def test_noop(
    benchmark: BenchmarkFixture, server: Server, client: Client, folder: Path, queue: str, count: int
) -> None:
    """`count` jobs wait in a paused queue; from its resume until all are settled."""
    side = heavylift(queue)
    records = Records.create(folder, count)
    jobs = [spec(queue, n) for n in range(count)]

    def setup() -> None:
        records.clear()
        client.pause(queue)
        client.enqueue_many(jobs)

    def work() -> None:
        client.resume(queue)
        wait_for("all have started", records.done, pause=0.005)
        wait_for("all are settled", lambda: left() == 0)

    with side.counting(server) as left, side.worker(server, records.path) as worker:
        setup()
        work()
        setup()
        meter = Meter(server, worker.pid)
        work()
        cost = meter.per_job(count)
        benchmark.pedantic(work, setup=setup, rounds=5)
    assert records.done()
    assert worker.facts["locks_lost"] == 0
    if benchmark.stats:
        benchmark.extra_info["jobs_per_s"] = round(count / benchmark.stats["median"])
    benchmark.extra_info["redis_us_per_job"] = round(cost.redis_us, 1)
    benchmark.extra_info["redis_commands_per_job"] = round(cost.commands, 2)
    benchmark.extra_info["worker_us_per_job"] = round(cost.worker_us, 1)

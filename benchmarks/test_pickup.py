"""Pick-up latency: from the call that enqueues a job to the start of its handler, each in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import pictures
from benchmarks.bars import Bars
from benchmarks.measure import Latency, Records, wait_for
from benchmarks.sides import heavylift
from heavylift import Client
from tests.servers import Server

COUNT = 300
HEAVY = 1_000


def _tell(benchmark: BenchmarkFixture, latency: Latency) -> None:
    benchmark.extra_info["latency_ms"] = {
        name: round(getattr(latency, name), 2) for name in ("median", "p95", "p99", "worst")
    }


@pytest.mark.parametrize("queue", ["async", "plain", "slots"])
def test_idle_worker(benchmark: BenchmarkFixture, server: Server, folder: Path, queue: str) -> None:
    side = heavylift(queue)
    warm, records = Records.create(folder, 20), Records.create(folder, COUNT)
    with side.worker(server, warm.path):
        side.pickup(server, warm.path, 20)
    with side.worker(server, records.path):
        wait_for("the worker is idle", lambda: _idle(server, queue))
        latencies = benchmark.pedantic(side.pickup, args=(server, records.path, COUNT), rounds=1)
    _tell(benchmark, Latency.of(latencies))


@pytest.mark.parametrize("queue", ["async", "plain"])
def test_behind_a_heavy_backlog(
    benchmark: BenchmarkFixture, server: Server, client: Client, folder: Path, bars: Bars, queue: str
) -> None:
    """Every slot resizes and 1,000 more resizes wait; a light job on the io lane does not feel it."""
    pictures.lay_out(folder)
    side, heavy = heavylift(queue), heavylift(pictures.QUEUE)
    records = Records.create(folder, COUNT)
    client.enqueue_many(pictures.specs(HEAVY))
    with (
        heavy.counting(server) as left,
        side.worker(server, records.path, [queue, pictures.QUEUE], root=folder) as worker,
    ):
        wait_for("the slots are busy", lambda: left() < HEAVY)
        latencies = benchmark.pedantic(side.pickup, args=(server, records.path, COUNT), rounds=1)
        waiting = int(server.command("ZCARD", f"heavylift:{{{pictures.QUEUE}}}:line:"))
        server.command("DEL", f"heavylift:{{{pictures.QUEUE}}}:line:")
    assert waiting > 0, "the backlog was gone before the last light job came"
    assert worker.facts["locks_lost"] == 0
    latency = Latency.of(latencies)
    _tell(benchmark, latency)
    benchmark.extra_info["heavy_jobs_still_waiting"] = waiting
    bars.add(
        f"a heavy backlog does not delay a light {queue} job: p99 below 20 ms",
        f"{latency.p99:.1f} ms",
        latency.p99 < 20,
    )


def _idle(server: Server, queue: str) -> bool:
    return bool(server.command("ZCARD", f"heavylift:{{{queue}}}:idle"))

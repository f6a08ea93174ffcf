"""Resizes of a 12-megapixel photograph through the queue, against a bare pool running the same handler function."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import pictures
from benchmarks.bars import Bars
from benchmarks.measure import Records, wait_for
from benchmarks.sides import heavylift
from heavylift import Client
from heavylift.settings import Settings, processors
from tests.servers import Server

COUNT = 20
PAIRS = 15


def test_resize(benchmark: BenchmarkFixture, server: Server, client: Client, folder: Path, bars: Bars) -> None:
    """Alternating pairs; what counts is the median of their ratios."""
    pictures.lay_out(folder)
    side = heavylift(pictures.QUEUE)
    settings = Settings()

    def through_the_queue(count: int = COUNT) -> float:
        start = time.perf_counter()
        client.enqueue_many(pictures.specs(count))
        wait_for("all are resized", lambda: left() == 0, pause=0.01)
        return time.perf_counter() - start

    records = Records.create(folder, 1)
    ratios: list[float] = []
    with (
        pictures.bare_pool(settings.slots, folder, settings.nice) as pool,
        side.counting(server) as left,
        side.worker(server, records.path, root=folder) as worker,
    ):
        through_the_queue(2 * processors())

        def bare() -> float:
            start = time.perf_counter()
            pictures.run_bare(pool, COUNT)
            return time.perf_counter() - start

        for pair in range(PAIRS):
            if pair % 2:
                ours, theirs = through_the_queue(), bare()
            else:
                theirs, ours = bare(), through_the_queue()
            ratios.append(theirs / ours)
        benchmark.pedantic(through_the_queue, rounds=3)
    ratio = statistics.median(ratios)
    assert worker.facts["locks_lost"] == 0
    assert server.command("ZCARD", f"heavylift:{{{pictures.QUEUE}}}:failed") == 0
    benchmark.extra_info["ratios_to_bare_pool"] = [round(value, 3) for value in ratios]
    if benchmark.stats:
        benchmark.extra_info["images_per_s"] = round(COUNT / benchmark.stats["median"], 1)
    bars.add("resize through the queue reaches 95 % of a bare pool", f"{ratio:.1%}", ratio >= 0.95)

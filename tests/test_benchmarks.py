"""The programs behind the benchmarks still work: each with a few jobs, on a real server."""

from __future__ import annotations

from pathlib import Path

from benchmarks.compare import Comparison, Scale
from benchmarks.drive import HANDLERS
from benchmarks.measure import Records
from benchmarks.sides import heavylift
from tests.servers import Server
from tests.waiting import wait_until


def test_a_round_of_the_comparison_measures_every_row(any_server: Server, tmp_path: Path) -> None:
    """One by one, in bulk, worked and picked up: every command that a side is driven by."""
    side = heavylift()
    comparison = Comparison(any_server, tmp_path, Scale(single=3, bulk=20, noop=20, pickup=3))
    comparison.round([side])
    assert {title: len(row.values[side.name]) for title, row in comparison.rows.items()} == dict.fromkeys(
        [
            "Enqueue one by one",
            "Enqueue in bulk",
            "Enqueue in bulk: Redis CPU",
            "No-op jobs, one worker",
            "No-op: Redis CPU",
            "No-op: Redis commands",
            "No-op: worker CPU",
            "Pick-up by an idle worker, median",
            "Pick-up by an idle worker, p95",
            "Pick-up by an idle worker, p99",
        ],
        1,
    )
    rates = [row.median(side.name) for row in comparison.rows.values() if row.unit in ("jobs/s", "ms")]
    assert min(rates) > 0  # processor time of so few jobs may be none


def test_one_worker_serves_the_queues_it_is_told_to(any_server: Server, tmp_path: Path) -> None:
    """In each way of running; and it says at its end what it has seen."""
    records = Records.create(tmp_path, 5)
    with heavylift().worker(any_server, records.path, list(HANDLERS)) as worker:
        for queue in HANDLERS:
            records.clear()
            heavylift(queue).bulk(any_server, 5, 5)
            wait_until(f"the jobs of {queue} have started", records.done)
    assert worker.facts["locks_lost"] == 0

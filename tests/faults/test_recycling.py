"""Slots are renewed between jobs, however often and whatever else the worker does, and nobody notices."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from heavylift import Client
from tests.faults import heavy, oracle
from tests.faults.harness import WorkerProcess
from tests.faults.oracle import Vitals
from tests.faults.recycles import SETTINGS, TALKERS, batches, play, slots_of
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]

MIB = 1 << 20


@pytest.mark.row(14)
def test_a_slot_that_leaks_is_renewed_at_its_limit_between_two_jobs(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    limit, leak, seconds = 128 * MIB, 5 * MIB, 0.1
    worker = start_worker(**SETTINGS | {"recycle_jobs": 0, "recycle_rss": limit})
    before = Vitals.of(worker.pid)
    row.inject("80 jobs that leak 5 MB each, at a limit of 128 MiB")
    jobs = client.enqueue_many([heavy.leaks.job(ledger=row.book, size=leak, seconds=seconds) for _ in range(80)])
    row.acknowledged(list(jobs))
    highest = max(job.result(60) for job in jobs)
    row.measure("most that a slot had, MiB", highest / MIB)
    within_a_look = round(1 / seconds) + 2  # jobs: a slot is looked at once a second
    assert limit < highest < limit + within_a_look * leak
    slots = wait_until("it says how often", lambda: (it := slots_of(client))["recycled"] >= 2 and it, timeout=10)
    row.measure("slots renewed", slots["recycled"])
    assert slots["died"] == 0
    row.judge(any_server)
    assert row.facts.doubled == 0
    assert not oracle.hygiene(before, Vitals.of(worker.pid))


@pytest.mark.row(14)
def test_slots_that_are_renewed_after_every_second_job_run_each_once(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """The long form of it: `make recycles`."""
    start_worker(**SETTINGS)
    row.inject("a slot is renewed after every second job, 100 times")
    _renew(client, row, 100)
    row.judge(any_server)
    assert row.facts.doubled == 0


@pytest.mark.row(15)
def test_slots_are_renewed_while_many_threads_of_the_worker_log_and_hold_locks(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """A process forked from such a worker would come up with a lock that nobody opens again."""
    start_worker(**SETTINGS)
    talking = [row.hold(client, heavy.talks) for _ in range(TALKERS)]
    row.inject(f"100 processes are started while {TALKERS} threads of the worker log and take locks")
    _renew(client, row, 100)
    row.judge(any_server)
    assert all(int(job.result(1)) > 0 for job in talking)
    assert row.facts.doubled == 0


def _renew(client: Client, row: Row, times: int) -> None:
    began = time.monotonic()
    for batch in batches(client, row.book, times, until=inf):
        row.acknowledged(list(batch))
    row.measure("renewed a second", times / (time.monotonic() - began))
    at_least = times - SETTINGS["slots"]
    slots = wait_until("it says how often", lambda: (it := slots_of(client))["recycled"] >= at_least and it, timeout=10)
    assert slots["died"] == 0


def test_a_long_run_whose_time_was_over_too_soon_says_that_it_fell_short(any_server: Server, tmp_path: Path) -> None:
    came = play(1000, 0, 0.0, tmp_path / "worker", any_server)
    assert came.wrong == ["slots were renewed 0 times, not 1000: the time was over"]

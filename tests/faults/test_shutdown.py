"""Shutdown and deploy: however a worker is told to go, it goes in time, and its jobs run once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from heavylift import Client
from tests.faults import jobs
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]


@pytest.mark.row(19)
def test_term_ends_an_idle_worker_at_once(start_worker: StartWorker) -> None:
    worker = start_worker()
    worker.signal(signal.SIGTERM)
    told = time.monotonic()
    assert worker.wait() == 0
    assert time.monotonic() - told < 3.0


@pytest.mark.row(23)
@pytest.mark.parametrize(("times", "code"), [(1, 0), (2, 130), (3, 131)])
def test_each_interrupt_is_more_urgent(
    times: int, code: int, start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path
) -> None:
    """The first lets running jobs finish, the second puts them back, the third leaves them to their locks."""
    gate = tmp_path / "gate"
    worker = start_worker(slots=1)
    job = client.enqueue(jobs.until_told.job(ledger=str(ledger.path), gate=str(gate)))
    wait_until("it runs", lambda: ledger.starts(job.id))
    for number in range(times):
        worker.signal(signal.SIGINT)
        if number == 0:
            wait_until("it ends", lambda: "ending" in worker.log.read_text())
    if times == 1:
        gate.touch()
    assert worker.wait() == code
    expected = {0: ("completed", 0), 130: ("waiting", 1), 131: ("active", 0)}[code]
    record = job.record()
    if code == 131 and record.state == "waiting":
        return  # the second was heeded before the third came
    assert (record.state, record.counters.interruptions) == expected
    assert record.counters.attempts == record.counters.crashes == 0


@pytest.mark.row(24)
def test_term_while_redis_is_away_ends_in_time_and_the_job_comes_back(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    worker = start_worker(deadline=0.5, grace=0.5)
    job = client.enqueue(jobs.until_told.job(ledger=str(ledger.path), gate=str(gate)))
    wait_until("it runs", lambda: ledger.starts(job.id))
    any_server.pause()
    try:
        worker.signal(signal.SIGTERM)
        told = time.monotonic()
        worker.wait(30)
        assert time.monotonic() - told < 15.0
    finally:
        any_server.resume()
    gate.touch()
    start_worker()
    assert job.result(15) == "told"


@pytest.mark.row(25)
def test_a_quiet_worker_claims_nothing_until_it_is_told_again(
    start_worker: StartWorker, client: Client, ledger: Ledger
) -> None:
    worker = start_worker()
    worker.signal(signal.SIGUSR1)
    wait_until("it is quiet", lambda: client.workers()[0]["quiet"])
    job = client.enqueue(jobs.quick.job(ledger=str(ledger.path)))
    worker.signal(signal.SIGUSR1)
    assert job.result(10) == 1
    assert len(ledger.starts(job.id)) == 1


@pytest.mark.row(26)
def test_a_rolling_restart_under_load_loses_nothing_and_starts_nothing_twice(
    start_worker: StartWorker, client: Client, ledger: Ledger
) -> None:
    workers = [start_worker(slots=0) for _ in range(3)]
    placed = []
    for worker in workers:
        placed += client.enqueue_many([jobs.quick.job(ledger=str(ledger.path)) for _ in range(200)])
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
        start_worker(slots=0, ready=False)
    assert {job.result(20) for job in placed} == {1}
    starts = ledger.counts("start")
    assert {starts[job.id] for job in placed} == {1}

"""A child that not even SIGKILL ends: its slot is written off and replaced, its job is settled, the others go on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from heavylift import Client, Job, JobFailed
from tests.faults import jobs
from tests.faults.freezer import Freezer, freezer
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import running, wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def cold(start_worker: StartWorker) -> Iterator[Freezer]:
    """Thawed before the workers are ended."""
    with freezer() as made:
        yield made


def hang(row: Row, client: Client, ledger: Ledger, cold: Freezer, **options: Any) -> tuple[Job[str], int]:
    """A job whose process is made to hang, and that process."""
    job: Job[str] = client.enqueue(jobs.work_until_told.job(ledger=row.book, gate=str(row.gate)), **options)
    row.acknowledged([job])
    wait_until("the job runs", lambda: ledger.starts(job.id), timeout=10)
    pid = ledger.starts(job.id)[0].pid
    cold.freeze(pid)
    row.inject("a process in uninterruptible sleep (frozen control group)")
    return job, pid


def stuck(client: Client) -> list[int]:
    return [worker["lanes"]["cpu"]["stuck"] for worker in client.workers()]


@pytest.mark.row(62)
def test_a_process_that_does_not_die_is_settled_and_replaced_and_the_others_go_on(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, cold: Freezer, row: Row
) -> None:
    worker = start_worker(slots=2)
    neighbour = row.hold(client, jobs.work_until_told)
    job, pid = hang(row, client, ledger, cold, timeout=2, retries=0)
    began = time.monotonic()
    with pytest.raises(JobFailed) as failure:
        job.result(30)
    assert failure.value.cause == "timeout"
    assert running(pid), "it was killed, and lives"
    assert time.monotonic() - began < 2 + 0.5 + 2 + 10, "timeout, grace, the time to die, and a busy machine"
    row.clear()
    beside = row.hold(client, jobs.work_until_told)
    assert row.starts(neighbour) == 1, "both places are at work again, one of them by a new process"
    wait_until("the worker says that one is stuck", lambda: stuck(client) == [1], timeout=10)
    assert "does not end though it was killed" in worker.log.read_text()
    row.release()
    assert neighbour.result(10) == beside.result(10) == "told"
    cold.thaw()
    wait_until("it is gone", lambda: not running(pid), timeout=10)
    wait_until("none is stuck any more", lambda: stuck(client) == [0], timeout=10)
    row.judge(any_server)
    assert row.starts(job) == 1
    assert row.facts.doubled == 0


@pytest.mark.row(62)
def test_no_more_processes_are_made_up_for_than_the_lane_has_slots(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, cold: Freezer, row: Row
) -> None:
    start_worker(slots=1)
    for count in (1, 2):
        job, _ = hang(row, client, ledger, cold, timeout=2, retries=0)
        with pytest.raises(JobFailed):
            job.result(30)
        wait_until("it is counted", lambda count=count: stuck(client) == [count], timeout=10)
    row.release()
    last = client.enqueue(jobs.work_until_told.job(ledger=row.book, gate=str(row.gate)))
    row.acknowledged([last])
    (seen,) = client.workers()
    assert not seen["lanes"]["cpu"]["ready"], "it says that it has no place"
    assert last.record().state == "waiting"
    cold.thaw()
    row.clear()
    assert last.result(20) == "told"
    row.judge(any_server)


@pytest.mark.row(62)
def test_a_worker_that_is_told_to_end_does_not_wait_for_it(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, cold: Freezer, row: Row
) -> None:
    worker = start_worker(slots=2)
    job, pid = hang(row, client, ledger, cold)
    worker.signal(signal.SIGTERM)
    assert worker.wait(60) == 0, worker.log.read_text()
    assert "left behind" in worker.log.read_text()
    assert running(pid)
    assert job.record().counters.interruptions == 1
    row.clear()
    row.release()
    start_worker(slots=1)
    assert job.result(20) == "told"
    cold.thaw()
    wait_until("it is gone", lambda: not running(pid), timeout=10)
    row.judge(any_server)
    assert job.record().counters.crashes == 0

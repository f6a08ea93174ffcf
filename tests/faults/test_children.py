"""A child dies, hangs or leaves: its job is dealt with, its neighbour does not notice, its slot comes back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from heavylift import Client, JobFailed
from tests.faults import jobs
from tests.faults.harness import LOCK, WorkerProcess
from tests.faults.ledger import Ledger
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]


def test_a_killed_child_costs_its_neighbour_nothing_and_its_job_runs_again_at_once(
    start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path
) -> None:
    start_worker(slots=2)
    gate = tmp_path / "gate"
    book = str(ledger.path)
    victim = client.enqueue(jobs.work_until_told.job(ledger=book, gate=str(gate)))
    neighbour = client.enqueue(jobs.work_until_told.job(ledger=book, gate=str(gate)))
    wait_until("both run", lambda: ledger.starts(victim.id) and ledger.starts(neighbour.id))

    os.kill(ledger.starts(victim.id)[0].pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_until("the job runs again", lambda: len(ledger.starts(victim.id)) == 2)
    assert time.monotonic() - killed < LOCK, "it was not waited for the lock"
    gate.touch()

    assert victim.result(10) == neighbour.result(10) == "told"
    assert len(ledger.starts(neighbour.id)) == 1
    record = victim.record()
    assert (record.counters.crashes, record.counters.attempts) == (1, 0)
    assert [attempt.cause for attempt in record.attempts] == ["killed:SIGKILL", "completed"]


def test_a_job_that_always_kills_its_process_is_poison_at_the_third_start(
    start_worker: StartWorker, client: Client, ledger: Ledger
) -> None:
    start_worker()
    job = client.enqueue(jobs.kills_itself.job(ledger=str(ledger.path)), backoff=0.05)
    with pytest.raises(JobFailed) as failure:
        job.result(20)
    assert failure.value.reason == "poison"
    assert failure.value.cause == "killed:SIGKILL"
    assert len(ledger.starts(job.id)) == 3


def test_a_handler_that_never_returns_is_killed_at_its_timeout_and_its_slot_is_back_within_a_second(
    start_worker: StartWorker, client: Client, ledger: Ledger
) -> None:
    start_worker(slots=1)
    endless = client.enqueue(jobs.never_returns.job(ledger=str(ledger.path)))
    behind = client.enqueue(jobs.crunch.job(ledger=str(ledger.path)))
    with pytest.raises(JobFailed) as failure:
        endless.result(10)
    ended = time.monotonic()
    behind.result(10)
    assert time.monotonic() - ended < 5
    assert failure.value.cause == "timeout"


@pytest.mark.parametrize(
    ("how", "reason", "cause"),
    [
        ("os._exit", "poison", "exited:0"),
        ("sys.exit", "exhausted", "error"),
        ("keyboard", "exhausted", "error"),
        ("segfault", "poison", "killed:SIGSEGV"),
        ("unpicklable result", "exhausted", "error"),
        ("odd exception", "exhausted", "error"),
    ],
)
def test_however_a_handler_leaves_its_job_ends_with_the_cause_and_the_next_one_runs(
    how: str, reason: str, cause: str, start_worker: StartWorker, client: Client, ledger: Ledger
) -> None:
    start_worker(slots=1)
    job = client.enqueue(jobs.leaves.job(ledger=str(ledger.path), how=how), backoff=0.05)
    with pytest.raises(JobFailed) as failure:
        job.result(20)
    assert (failure.value.reason, failure.value.cause) == (reason, cause)
    assert client.enqueue(jobs.crunch.job(ledger=str(ledger.path))).result(10) == 0.0

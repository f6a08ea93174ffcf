"""A child dies, hangs or leaves: its job is dealt with, its neighbour does not notice, its slot comes back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from heavylift import Client, Job, JobFailed
from tests.faults import heavy, jobs
from tests.faults.groups import control_group, enter
from tests.faults.harness import LOCK, SWEEP, WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import running, wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]

MODULES = "tests.faults.jobs tests.faults.heavy"


def causes(job: Job[Any]) -> list[str]:
    return [attempt.cause for attempt in job.record().attempts]


def runs_next(client: Client, row: Row) -> int:
    """The process that the next job runs in."""
    job = client.enqueue(heavy.short.job(ledger=row.book))
    row.acknowledged([job])
    return job.result(20)


# --- killed ----------------------------------------------------------------------------------------------------


@pytest.mark.row(2, timing=True)
def test_a_killed_child_costs_its_neighbours_nothing_and_its_job_runs_again_at_once(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    """Every slot is taken, so it can only run again where it was, in a new process."""
    start_worker(slots=4)
    victim, *neighbours = [row.hold(client, jobs.work_until_told) for _ in range(4)]
    (begun,) = ledger.starts(victim.id)
    row.inject("kill -9 of one of four processes that run jobs")
    killed = time.monotonic_ns()
    os.kill(begun.pid, signal.SIGKILL)
    wait_until("the job runs again", lambda: row.starts(victim) == 2)
    row.recovered({begun.pid: killed}, 2 * LOCK)  # no lock is waited for: 200 ms, and a busy machine
    row.judge(any_server)
    assert {job.result(1) for job in (victim, *neighbours)} == {"told"}
    assert [row.starts(job) for job in (victim, *neighbours)] == [2, 1, 1, 1]
    counters = victim.record().counters
    assert (counters.crashes, counters.attempts) == (1, 0)
    assert causes(victim) == ["killed:SIGKILL", "completed"]


@pytest.mark.row(3)
def test_a_job_that_always_kills_its_process_is_poison_at_the_third_start(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    start_worker(slots=2)
    neighbour = row.hold(client, jobs.work_until_told)
    row.inject("a handler that always kills its process")
    job = client.enqueue(jobs.kills_itself.job(ledger=row.book), backoff=0.05)
    row.acknowledged([job])
    with pytest.raises(JobFailed) as failure:
        job.result(20)
    assert (failure.value.reason, failure.value.cause) == ("poison", "killed:SIGKILL")
    row.judge(any_server)
    assert (row.starts(job), row.starts(neighbour)) == (3, 1)


@pytest.mark.row(4, timing=True)
def test_a_child_killed_in_mid_result_has_crashed_and_holds_up_nobody(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """What is there of the result is thrown away, and light jobs run meanwhile as ever."""
    size = 50_000_000
    start_worker(module=MODULES, slots=1, max_result=64 << 20)
    before = slowest(client, row, lambda done: done == 50)
    row.inject("SIGKILL of a process with a part of its result of 50 MB in the pipe")
    any_server.command("CONFIG", "RESETSTAT")
    job = client.enqueue(heavy.dies_in_mid_result.job(ledger=row.book, size=size))
    row.acknowledged([job])
    during = slowest(client, row, lambda _: job.state() == "completed")
    row.measure("slowest light job before, s", before)
    row.measure("slowest light job meanwhile, s", during)
    assert during < LOCK
    assert job.result(1) == "small"
    assert causes(job) == ["killed:SIGKILL", "completed"]
    with any_server.client() as redis:
        assert redis.info("stats")["total_net_input_bytes"] < size / 10, "bytes that Redis was sent"
    row.judge(any_server)
    assert row.starts(job) == 2


def slowest(client: Client, row: Row, enough: Callable[[int], bool], timeout: float = 30.0) -> float:
    """Run light jobs, one after the other, until it is enough; seconds that the slowest took."""
    took: list[float] = []

    def one_more() -> bool:
        began = time.monotonic()
        (job,) = row.put(client, 1)
        job.result(20)
        took.append(time.monotonic() - began)
        return enough(len(took))

    wait_until("enough light jobs have run", one_more, timeout)
    return max(took)


# --- does not end ----------------------------------------------------------------------------------------------


@pytest.mark.row(6, timing=True)
def test_a_frozen_child_keeps_its_lock_and_is_killed_at_its_timeout_and_tried_again(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    """Its worker renews the lock all the while, so that no other takes the job over."""
    timeout, grace = LOCK + SWEEP + 1, 0.5
    for _ in range(2):
        start_worker(slots=1)
    job = client.enqueue(
        jobs.work_until_told.job(ledger=row.book, gate=str(row.gate)), timeout=timeout, grace=grace, backoff=0.05
    )
    row.acknowledged([job])
    wait_until("it runs", lambda: row.starts(job), timeout=10)
    (begun,) = ledger.starts(job.id)
    row.inject("SIGSTOP of the process that runs a job")
    os.kill(begun.pid, signal.SIGSTOP)
    wait_until("it is killed", lambda: not running(begun.pid), timeout=timeout + grace + 10)
    row.measure("killed, s after timeout and grace", (time.monotonic_ns() - begun.at) / 1e9 - timeout - grace)
    wait_until("it is tried again", lambda: row.starts(job) == 2, timeout=10)
    again = ledger.starts(job.id)[1]
    assert again.at - begun.at > (timeout + grace) * 1e9, "not before it was killed"
    row.judge(any_server)
    assert row.starts(job) == 2
    assert causes(job) == ["timeout", "completed"]
    assert job.record().counters.crashes == 0
    assert [worker["locks_lost"] for worker in client.workers()] == [0, 0]


@pytest.mark.row(8, timing=True)
def test_a_handler_that_never_returns_is_killed_at_its_timeout_and_its_slot_is_back_within_a_second(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    start_worker(module=MODULES, slots=1)
    row.inject("an endless loop that ignores SIGTERM and the stop")
    endless = client.enqueue(jobs.never_returns.job(ledger=row.book))
    behind = client.enqueue(heavy.short.job(ledger=row.book))
    row.acknowledged([endless, behind])
    with pytest.raises(JobFailed) as failure:
        endless.result(20)
    assert failure.value.cause == "timeout"
    behind.result(20)
    timeout, grace = 0.5, 0.3  # the handler's own
    took = (ledger.starts(behind.id)[0].at - ledger.starts(endless.id)[0].at) / 1e9
    row.measure("slot back, s after timeout and grace", took - timeout - grace)
    assert timeout + grace < took < timeout + grace + 5, "a second, and a busy machine"
    row.judge(any_server)
    assert row.starts(endless) == 1


# --- leaves ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "cause", "reused"),
    [
        pytest.param("os._exit", "exited:0", False, marks=pytest.mark.row(10)),
        pytest.param("sys.exit", "error", True, marks=pytest.mark.row(11)),
        pytest.param("keyboard", "error", True, marks=pytest.mark.row(11)),
        pytest.param("generator exit", "error", True, marks=pytest.mark.row(11)),
        pytest.param("unpicklable result", "error", True, marks=pytest.mark.row(16)),
        pytest.param("odd exception", "error", True, marks=pytest.mark.row(16)),
        pytest.param("ring of exceptions", "error", True, marks=pytest.mark.row(16)),
    ],
)
def test_however_a_handler_leaves_its_job_fails_with_the_cause_and_the_next_one_runs(
    how: str, cause: str, reused: bool, any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger,
    row: Row,
) -> None:  # fmt: skip
    """A process that is no worse for it runs the next job as well; the worker is the same in any case."""
    worker = start_worker(module=MODULES, slots=1)
    row.inject(how)
    job = client.enqueue(jobs.leaves.job(ledger=row.book, how=how), backoff=0.05)
    row.acknowledged([job])
    with pytest.raises(JobFailed) as failure:
        job.result(20)
    assert (failure.value.reason, failure.value.cause) == ("exhausted" if reused else "poison", cause)
    assert (runs_next(client, row) == ledger.starts(job.id)[-1].pid) == reused
    assert worker.process.poll() is None
    row.judge(any_server)
    assert row.starts(job) == (1 if reused else 3)


@pytest.mark.row(12)
@pytest.mark.parametrize("how", ["SIGSEGV", "SIGABRT", "SIGBUS"])
def test_a_native_crash_is_told_on_the_job_with_its_signal_and_where_it_was(
    how: str, any_server: Server, start_worker: StartWorker, client: Client, row: Row, tmp_path: Path
) -> None:
    start_worker(module=MODULES, slots=1)
    row.inject(f"{how} in native code")
    job = client.enqueue(heavy.crashes.job(ledger=row.book, how=how, folder=str(tmp_path)), backoff=0.05)
    row.acknowledged([job])
    with pytest.raises(JobFailed) as failure:
        job.result(20)
    assert (failure.value.reason, failure.value.cause) == ("poison", f"killed:{how}")
    for attempt in job.record().attempts:
        assert how in attempt.message
        assert "Fatal Python error" in attempt.traceback
        assert "in crashes" in attempt.traceback
    assert runs_next(client, row)
    row.judge(any_server)
    assert row.starts(job) == 3


# --- takes too much memory -------------------------------------------------------------------------------------


@pytest.mark.row(13)
@pytest.mark.parametrize(
    ("how", "handler"),
    [("1 GiB in one piece, refused by the system", jobs.takes_too_much), ("4 GiB bit by bit, seen by the watch",
     heavy.takes_bit_by_bit)],
    ids=["refused", "watched"],
)  # fmt: skip
def test_a_handler_that_takes_more_memory_than_it_may_fails_and_the_worker_lives(
    how: str, handler: Any, any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    worker = start_worker(module=MODULES, slots=1)
    row.inject(f"{how}, under a limit of 64 MB")
    more = {"size": 4 << 30} if handler is heavy.takes_bit_by_bit else {}
    job = client.enqueue(handler.job(ledger=row.book, **more))
    row.acknowledged([job])
    with pytest.raises(JobFailed) as failure:
        job.result(30)
    assert (failure.value.reason, failure.value.cause) == ("exhausted", "out_of_memory")
    assert runs_next(client, row)
    assert worker.process.poll() is None
    row.judge(any_server)
    assert row.starts(job) == 1


@pytest.mark.row(13)
def test_when_the_system_runs_out_of_memory_it_takes_the_handler_and_not_the_worker(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    worker = start_worker(module=MODULES, slots=2)
    neighbour = row.hold(client, jobs.work_until_told)
    with control_group("memory") as group:
        (group / "memory.limit_in_bytes").write_text(str(300 << 20))
        enter(group, worker.pid, *(process.pid for process in worker.family()))
        row.inject("4 GiB where the system has 300 MiB left for the worker and all its processes")
        job = client.enqueue(heavy.takes_all.job(ledger=row.book, size=4 << 30))
        row.acknowledged([job])
        assert job.result(60) == 0
        assert worker.process.poll() is None
        assert psutil.Process(worker.pid).is_running()
        row.judge(any_server)
        worker.end()
    assert causes(job) == ["killed:SIGKILL", "completed"]
    assert (row.starts(job), row.starts(neighbour)) == (2, 1)

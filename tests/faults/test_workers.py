"""A worker dies, freezes or starves: another takes over, nothing is lost, nothing counts twice."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heavylift import Client, Job
from tests.faults import heavy, jobs
from tests.faults.harness import APART, LOCK, SWEEP, WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import running, wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]

TAKEN_OVER = LOCK + SWEEP + 1.0
"""Seconds from a worker's death, within which all that it ran is started again."""

BOTH_LANES = (jobs.work_until_told, jobs.until_told)


def ran_by(job: Job[Any]) -> list[tuple[str, str]]:
    """What each attempt came to, and the worker that ran it."""
    return [(attempt.cause, attempt.worker) for attempt in job.record().attempts]


def within(rescuer: WorkerProcess) -> float:
    """The bound; a lock more if the machine was so busy that the rescuer reached nothing itself for a while."""
    return TAKEN_OVER + LOCK * ("leaving expired locks alone" in rescuer.log.read_text())


def said_by(client: Client, worker: WorkerProcess) -> Any:
    """What a worker says of itself."""
    return next(seen for seen in client.workers() if seen["pid"] == worker.pid)


@pytest.mark.row(1, timing=True)
def test_a_killed_worker_leaves_no_orphans_and_another_takes_over_within_lock_and_sweep(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    """Each of its jobs is charged a crash, and no attempt of the handler's own."""
    first = start_worker(slots=2)
    held = [row.hold(client, handler) for handler in BOTH_LANES * 2]
    pids = {ledger.starts(job.id)[0].pid for job in held}
    other = start_worker(slots=2)
    row.inject("kill -9 of a worker that runs four jobs")
    killed = time.monotonic_ns()
    first.kill9()
    wait_until("no orphan is left", lambda: not first.family(), timeout=10)
    row.measure("orphans gone, s", (time.monotonic_ns() - killed) / 1e9)
    wait_until("all run again", lambda: all(row.starts(job) == 2 for job in held), timeout=20)
    row.recovered(dict.fromkeys(pids, killed), within(other))
    row.judge(any_server)
    for job in held:
        counters = job.record().counters
        assert (counters.crashes, counters.attempts) == (1, 0)
        assert [cause for cause, _ in ran_by(job)] == ["abandoned", "completed"]
    wait_until("the other counts them", lambda: said_by(client, other)["recovered"] == 4, timeout=20)


@pytest.mark.row(5, timing=True)
def test_a_worker_frozen_past_its_locks_wakes_to_have_its_late_results_refused_and_ends_what_it_still_runs(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row, tmp_path: Path
) -> None:
    """It needs no restart: it goes on with other jobs."""
    frozen = start_worker(slots=2)
    late = [row.hold(client, handler) for handler in BOTH_LANES]
    endless = client.enqueue(jobs.steps.job(ledger=row.book, gate=str(tmp_path / "never")))
    row.acknowledged([endless])
    wait_until("it runs too", lambda: row.starts(endless))
    everything = [*late, endless]
    pids = {ledger.starts(job.id)[0].pid for job in everything}
    other = start_worker(slots=2)
    row.inject("SIGSTOP of a worker for three times its lock")
    frozen.signal(signal.SIGSTOP)
    stopped = time.monotonic_ns()
    wait_until("the other runs them", lambda: all(row.starts(job) == 2 for job in everything), timeout=20)
    row.recovered(dict.fromkeys(pids, stopped), within(other))
    row.release()
    assert [job.result(20) for job in everything][:2] == ["told", "told"]
    records = [job.record() for job in everything]
    child = ledger.starts(endless.id)[0].pid
    thrice = stopped + 3 * LOCK * 1e9
    wait_until("three locks are over", lambda: time.monotonic_ns() > thrice, timeout=3 * LOCK + 1)
    assert running(child), "nobody has told it yet"
    frozen.signal(signal.SIGCONT)
    heard = ("lost the lock of a running job", "a late settlement was refused")
    wait_until("it has heard of all three", lambda: sum(map(frozen.log.read_text().count, heard)) >= 3, timeout=10)
    wait_until("it runs none of them any more", lambda: not said_by(client, frozen)["running"], timeout=10)
    other.end()
    assert [job.result(10) for job in row.put(client, 5)] == [1] * 5, "without a restart"
    row.judge(any_server)
    assert [job.record() for job in everything] == records
    assert {attempts[-1][1].split("-")[-2] for attempts in map(ran_by, everything)} == {str(other.pid)}


@pytest.mark.row(7, timing=True)
def test_a_handler_that_keeps_the_interpreter_beyond_the_lock_costs_starts_and_no_second_completion(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    """Its worker renews no lock meanwhile, so that another takes over all that it runs."""
    modules = "tests.faults.jobs tests.faults.heavy"
    starved = start_worker(module=modules, slots=1)
    held = [row.hold(client, handler) for handler in BOTH_LANES]
    rescuer = start_worker(module=modules, slots=1)
    other = said_by(client, rescuer)["id"]
    assert client.pause_worker(other)
    seconds = round(4 * LOCK)
    row.inject(f"C code that holds the GIL of a worker for {seconds} s, in a thread of the io lane")
    starving = client.enqueue(heavy.starves.job(ledger=row.book, seconds=seconds))
    row.acknowledged([starving])
    wait_until("it runs", lambda: row.starts(starving), timeout=10)
    assert client.resume_worker(other)
    everything = [*held, starving]
    wait_until("the other runs all three", lambda: all(row.starts(job) == 2 for job in everything), timeout=20)
    since = ledger.starts(starving.id)[0].at + 1
    row.recovered({ledger.starts(job.id)[0].pid: since for job in everything}, within(rescuer))
    assert starving.result(20) == "awake"
    row.release()
    wait_until(
        "the starved one has heard of it",
        lambda: "lost the lock" in (log := starved.log.read_text()) or "was refused" in log,
        timeout=20,
    )
    row.put(client, 5)
    row.judge(any_server)
    assert row.facts.double_completions == 0
    assert starving.record().counters.starts == 2


@pytest.fixture
def temporary() -> Iterator[str]:
    """A folder for what workers keep while they live: nothing of a container outlives it to tidy that up."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder


@pytest.fixture
def twins(temporary: str, start_worker: StartWorker, client: Client) -> Callable[[int], list[WorkerProcess]]:
    """`twins(2)` starts as many more workers that have the host's name and the process number in common."""
    if not shutil.which("unshare") or subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
        pytest.skip("process numbers cannot be counted anew for a process here")

    def start(count: int) -> list[WorkerProcess]:
        known = len(client.workers())
        own = {"TMPDIR": temporary}
        started = [start_worker(apart=True, ready=False, slots=1, extra=own) for _ in range(count)]
        wait_until("all are known", lambda: len(client.workers()) == known + count, timeout=30)
        assert len({(seen["host"], seen["pid"]) for seen in client.workers()}) == 1
        return started

    return start


@pytest.mark.row(18)
def test_workers_with_the_same_host_name_and_process_number_are_told_apart(
    any_server: Server, twins: Callable[[int], list[WorkerProcess]], client: Client, ledger: Ledger, row: Row
) -> None:
    """One of three is killed: what it ran is taken over, what the other ran goes on."""
    row.inject("three workers with the same host name and process number")
    first, _ = twins(2)
    held = [row.hold(client, jobs.work_until_told) for _ in range(2)]  # one each
    twins(1)
    assert [job.result(20) for job in row.put(client, 100)] == [1] * 100
    assert ledger.counts("start").most_common(1)[0][1] == 1
    assert [seen["locks_lost"] for seen in client.workers()] == [0, 0, 0]
    row.inject("kill -9 of one that runs a job")
    first.kill9()
    wait_until("what it ran runs again", lambda: sorted(map(row.starts, held)) == [1, 2], timeout=20)
    row.judge(any_server)
    assert sorted(map(row.starts, held)) == [1, 2]
    assert row.facts.doubled == 1

"""Clocks are wrong, or jump: Redis' says what is due, the monotonic one what has taken too long, and nobody's else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heavylift import Client, Job
from tests.faults import jobs
from tests.faults.clocks import HOUR, Clock, needs_faketime, off
from tests.faults.harness import LOCK, REPOSITORY, SWEEP, WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.rows import Row
from tests.servers import Server, valkey_binary
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, needs_faketime()]

StartWorker = Callable[..., WorkerProcess]

DELAY = 2.0
TIMEOUT = 0.5
"""Of `jobs.never_returns` and `jobs.idles`."""

SOON = 10.0
"""Seconds. What is not late comes within them, though the machine be busy; what is, in an hour."""


def produce(url: str, ledger: Ledger, clock: int) -> tuple[str, int]:
    """Have a producer whose clock is off enqueue something; the id of its job, and when (monotonic ns)."""
    env = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'src'}", **off(clock)}
    command = [sys.executable, "-m", "tests.faults.clocks", url, str(ledger.path), str(DELAY)]
    said = subprocess.run(command, env=env, timeout=30, check=True, capture_output=True, text=True).stdout
    id, at = said.split()
    return id, int(at)


@pytest.mark.row(63)
@pytest.mark.parametrize("hours", [1, -1], ids=["ahead", "behind"])
def test_nothing_is_early_or_late_by_the_clock_of_a_worker_or_a_producer(
    hours: int, any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    """Two workers, one an hour ahead and one an hour behind; the first of them is killed with a job."""
    first = start_worker(extra=off(hours * HOUR))
    held = row.hold(client)
    start_worker(extra=off(-hours * HOUR))
    row.inject("workers and a producer with clocks an hour ahead and behind; then kill -9 of one of these")
    id, at = produce(any_server.url, ledger, hours * HOUR)
    row.acknowledged([client.job(id)])
    late = row.acknowledged(
        [client.enqueue(handler.job(ledger=row.book)) for handler in (jobs.never_returns, jobs.idles)]
    )
    wait_until("ticks come", lambda: sum("beat@" in job for job in ledger.counts("finish")) >= 3, timeout=SOON)
    client.pause_schedule("beat")
    wait_until("the delayed one runs", lambda: ledger.starts(id), timeout=SOON)
    assert DELAY <= (ledger.starts(id)[0].at - at) / 1e9 < DELAY + SOON
    for job in late:
        wait_until("it has timed out", lambda job=job: job.state() == "failed", timeout=SOON)  # type: ignore[misc]
        (attempt,) = job.record().attempts
        assert attempt.cause == "timeout"
        assert 1000 * TIMEOUT <= attempt.ended_at - attempt.started_at < 1000 * SOON
    assert row.starts(held) == 1, "nobody took its lock"

    ticks = [id for id in ledger.counts("finish") if "beat@" in id]
    row.acknowledged([client.job(id) for id in ticks])  # the last may have finished and not been settled
    first.kill9()
    row.clear()
    wait_until("the other has it", lambda: row.starts(held) == 2, timeout=LOCK + SWEEP + SOON)
    row.judge(any_server)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def jumping(clock: Clock) -> Iterator[Server]:
    """A server whose clock is `clock`: Valkey, for Debian's Redis has an allocator that asks for the time."""
    with Server(valkey_binary(), env=clock.env) as server:
        yield server


@pytest.mark.row(64, timing=True)
@pytest.mark.parametrize("hours", [1, -1], ids=["forwards", "backwards"])
def test_a_jump_of_redis_clock_takes_no_lock_and_holds_nothing_up(
    hours: int, clock: Clock, jumping: Server, start_worker: StartWorker, row: Row
) -> None:
    """Jobs run in both lanes of two workers; one is killed just before the jump, and its jobs come back in time."""
    with Client(jumping.url) as client:
        workers = [start_worker(url=jumping.url, ready=False, slots=2) for _ in range(2)]
        for worker in workers:
            worker.await_ready(client)
        held = [row.hold(client, handler) for handler in (jobs.until_told, jobs.work_until_told) for _ in range(2)]
        row.put(client, 50)
        row.inject(f"kill -9 of a worker, then Redis' clock set an hour {'forwards' if hours > 0 else 'backwards'}")
        dead = _worker_of(held[-1])
        with_it = [job for job in held if _worker_of(job) == dead]
        next(worker for worker in workers if worker.pid == dead).kill9()
        clock.set(hours * HOUR)
        row.clear()
        row.put(client, 50)
        row.await_running()
        wait_until(
            "what died with the worker runs again",
            lambda: all(row.starts(job) == 2 for job in with_it),
            timeout=2 * LOCK + SWEEP + SOON,
        )
        row.judge(jumping)
    assert all(row.starts(job) == 1 for job in held if job not in with_it), "what lives keeps its lock"


def _worker_of(job: Job[str]) -> int:
    """Pid of the worker that has claimed a job."""
    worker = job.record().worker
    assert worker is not None
    return int(worker.split("-")[-2])


@pytest.mark.row(64, timing=True)
def test_what_is_delayed_is_due_by_redis_clock_whatever_that_does(
    clock: Clock, jumping: Server, start_worker: StartWorker, row: Row, ledger: Ledger
) -> None:
    """Set forward, it is due at once; set back, it waits until that clock has come so far."""
    with Client(jumping.url) as client:
        start_worker(url=jumping.url, ready=False).await_ready(client)
        job = client.enqueue(jobs.quick.job(ledger=row.book), delay=HOUR)
        row.acknowledged([job])
        row.inject("Redis' clock set an hour backwards, then two forwards")
        clock.set(-HOUR)
        assert [it.result(SOON) for it in row.put(client, 5)] == [1] * 5
        assert not ledger.starts(job.id)
        clock.set(HOUR)
        row.clear()
        row.judge(jumping)

"""A handler's own processes: they go with an attempt that is stopped or dies, and else with their slot's process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heavylift import Client, JobCancelled
from tests.faults import heavy
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import running, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.row(9)]

StartWorker = Callable[..., WorkerProcess]

MODULES = "tests.faults.jobs tests.faults.heavy"


def bred(folder: Path, *names: str) -> list[int]:
    """The processes of these names, once they have written themselves down."""
    found = wait_until(
        "its own processes run",
        lambda: all(numbers := [heavy.written_down(folder / name) for name in names]) and numbers,
        timeout=10,
    )
    assert all(map(running, found))
    return found


def runs_next(client: Client, row: Row) -> int:
    """The process that the next job runs in."""
    job = client.enqueue(heavy.short.job(ledger=row.book))
    row.acknowledged([job])
    return job.result(20)


@pytest.mark.parametrize("heeds", [False, True], ids=["killed", "heeded"])
def test_nothing_that_an_attempt_has_started_outlives_its_stop_whether_it_is_killed_or_heeds_it(
    heeds: bool, any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row, tmp_path: Path
) -> None:
    """Nor what its own processes have started and left."""
    worker = start_worker(module=MODULES, slots=1)
    job = client.enqueue(heavy.breeds.job(ledger=row.book, folder=str(tmp_path), heeds=heeds))
    row.acknowledged([job])
    family = bred(tmp_path, "child", "orphan")
    row.inject(f"a handler with processes of its own is stopped and {'heeds it' if heeds else 'must be killed'}")
    assert job.cancel() == "asked"
    with pytest.raises(JobCancelled):
        job.result(20)
    wait_until("none is left", lambda: not any(map(running, family)), timeout=10)
    assert worker.process.poll() is None
    assert runs_next(client, row) != ledger.starts(job.id)[0].pid
    row.judge(any_server)
    assert row.starts(job) == 1


def test_a_handler_that_ends_its_own_when_it_is_stopped_costs_no_process(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row, tmp_path: Path
) -> None:
    """As `subprocess.run` does."""
    start_worker(module=MODULES, slots=1)
    job = client.enqueue(heavy.waits_for_its_own.job(ledger=row.book, folder=str(tmp_path)))
    row.acknowledged([job])
    (child,) = bred(tmp_path, "child")
    row.inject("a handler that waits for a program is stopped")
    assert job.cancel() == "asked"
    with pytest.raises(JobCancelled):
        job.result(20)
    assert not running(child)
    assert runs_next(client, row) == ledger.starts(job.id)[0].pid
    row.judge(any_server)


def test_what_a_handler_that_returns_leaves_running_ends_with_its_slots_process(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row, tmp_path: Path
) -> None:
    start_worker(module=MODULES, slots=1, recycle_jobs=3)
    row.inject("a handler returns and leaves a process running")
    job = client.enqueue(heavy.leaves_one.job(ledger=row.book, folder=str(tmp_path)))
    row.acknowledged([job])
    (child,) = bred(tmp_path, "child")
    first = job.result(20)
    assert runs_next(client, row) == first
    assert running(child)
    assert runs_next(client, row) == first, "its last job"
    wait_until("it has gone with the slot's process", lambda: not running(child), timeout=10)
    assert runs_next(client, row) != first
    row.judge(any_server)


def test_nothing_of_an_attempt_outlives_the_worker_when_that_is_killed(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row, tmp_path: Path
) -> None:
    worker = start_worker(module=MODULES, slots=1)
    job = client.enqueue(heavy.breeds.job(ledger=row.book, folder=str(tmp_path), heeds=False))
    row.acknowledged([job])
    family = bred(tmp_path, "child", "orphan")
    row.inject("kill -9 of a worker whose handler has processes of its own")
    worker.kill9()
    wait_until("none is left", lambda: not any(map(running, family)), timeout=10)
    assert job.cancel() == "asked"
    start_worker(module=MODULES, slots=1)
    with pytest.raises(JobCancelled):
        job.result(20)
    row.judge(any_server)
    assert row.starts(job) == 1

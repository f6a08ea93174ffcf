"""A job goes on from its last checkpoint, whatever ended the attempt that saved it."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heavylift import Client, Job
from heavylift.store.keys import Keys
from tests.faults import jobs
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]

KINDS = [jobs.steps, jobs.steps_lightly, jobs.steps_async]


def at_the_gate(client: Client, handler: Any, ledger: Ledger, gate: Path) -> Job[int]:
    """A job that has saved step 1 and waits in its first attempt."""
    job: Job[int] = client.enqueue(handler.job(ledger=str(ledger.path), gate=str(gate)))
    wait_until("the first step", lambda: ledger.counts("step-1"))
    return job


def stored(server: Server, job: Job[int]) -> bytes | None:
    with server.client() as redis:
        found: bytes | None = redis.hget(Keys("heavylift", job.queue).job(job.id), "checkpoint")
        return found


def goes_on(job: Job[int], ledger: Ledger) -> None:
    assert job.result(20) == 3
    assert [ledger.counts(f"step-{n}")[job.id] for n in (1, 2, 3)] == [1, 1, 1], "each step once"


def test_after_its_process_was_killed(
    start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path, any_server: Server
) -> None:
    start_worker()
    job = at_the_gate(client, jobs.steps, ledger, tmp_path / "gate")
    wait_until("the checkpoint is stored", lambda: stored(any_server, job) == b"1")
    os.kill(ledger.starts(job.id)[0].pid, signal.SIGKILL)
    goes_on(job, ledger)


def test_after_its_process_killed_itself_with_the_checkpoint_still_on_its_way(
    start_worker: StartWorker, client: Client, ledger: Ledger
) -> None:
    """The pipe is emptied before the attempt is settled."""
    start_worker()
    job = client.enqueue(jobs.saves_and_dies.job(ledger=str(ledger.path)))
    assert job.result(20) == 2


@pytest.mark.parametrize("handler", KINDS, ids=lambda handler: handler.name)
def test_after_its_worker_was_killed(
    handler: Any, start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path, any_server: Server
) -> None:
    first = start_worker()
    job = at_the_gate(client, handler, ledger, tmp_path / "gate")
    wait_until("the checkpoint is stored", lambda: stored(any_server, job) == b"1")
    first.kill9()
    start_worker()
    goes_on(job, ledger)


KILLS = 4
TWICE = 10
"""Steps that may be done twice for one death: checkpoints are sent every 100 ms, two steps, and the machine is slow."""


@pytest.mark.parametrize(
    ("handler", "victim"),
    [(jobs.marches, "process"), (jobs.marches, "worker"), (jobs.marches_lightly, "worker")],
    ids=lambda it: getattr(it, "name", it),
)
def test_a_job_that_is_killed_again_and_again_ends_and_little_of_it_is_done_twice(
    handler: Any, victim: str, start_worker: StartWorker, client: Client, ledger: Ledger, any_server: Server
) -> None:
    """More often than makes a poison job of one that does not get on."""
    worker = start_worker()
    job: Job[int] = client.enqueue(handler.job(ledger=str(ledger.path)))
    for times in range(1, KILLS + 1):
        wait_until(
            "it was started again and has got on",
            lambda n=times: len(ledger.starts(job.id)) == n and int(stored(any_server, job) or 0) >= n * 12,
            timeout=20,
        )
        if victim == "process":
            os.kill(ledger.starts(job.id)[-1].pid, signal.SIGKILL)
        else:
            worker.kill9()
            worker = start_worker()
    assert job.result(30) == jobs.MARCH
    counters = job.record().counters
    assert (counters.starts, counters.crashes) == (KILLS + 1, KILLS)
    done = Counter(entry.event for entry in ledger.entries() if entry.event.startswith("step-"))
    assert len(done) == jobs.MARCH
    assert done.total() - jobs.MARCH <= KILLS * TWICE


@pytest.mark.parametrize("handler", KINDS, ids=lambda handler: handler.name)
def test_after_a_shutdown_took_it_away(
    handler: Any, start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path
) -> None:
    first = start_worker(deadline=0.2)
    job = at_the_gate(client, handler, ledger, tmp_path / "gate")
    first.signal(signal.SIGTERM)
    first.wait()
    start_worker()
    goes_on(job, ledger)

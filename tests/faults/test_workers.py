"""A worker dies or freezes: another takes over, nothing is lost, nothing counts twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from heavylift import Client
from tests.faults import jobs
from tests.faults.harness import LOCK, SWEEP, WorkerProcess
from tests.faults.ledger import Ledger
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]


def test_a_killed_worker_leaves_no_orphans_and_another_takes_over_within_lock_and_sweep(
    start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    first = start_worker(slots=1)
    book = str(ledger.path)
    heavy = client.enqueue(jobs.work_until_told.job(ledger=book, gate=str(gate)))
    light = client.enqueue(jobs.until_told.job(ledger=book, gate=str(gate)))
    wait_until("both run", lambda: ledger.starts(heavy.id) and ledger.starts(light.id))
    start_worker(slots=1)

    first.kill9()
    killed = time.monotonic()
    wait_until("no orphan is left", lambda: not first.family(), timeout=3)
    wait_until("both run again", lambda: len(ledger.starts(heavy.id)) == len(ledger.starts(light.id)) == 2, timeout=10)
    assert time.monotonic() - killed < LOCK + SWEEP + 1.0
    gate.touch()

    assert heavy.result(10) == light.result(10) == "told"
    record = heavy.record()
    assert (record.counters.crashes, record.counters.attempts) == (1, 0)
    assert [attempt.cause for attempt in record.attempts] == ["abandoned", "completed"]


def test_a_worker_frozen_past_its_lock_has_its_late_completion_refused(
    start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path
) -> None:
    """One effective completion: the frozen worker, continued, may not write over the second run."""
    gate = tmp_path / "gate"
    frozen = start_worker(slots=1)
    job = client.enqueue(jobs.until_told.job(ledger=str(ledger.path), gate=str(gate)))
    wait_until("it runs", lambda: ledger.starts(job.id))
    frozen.signal(signal.SIGSTOP)
    other = start_worker(slots=1)
    wait_until("the other runs it", lambda: len(ledger.starts(job.id)) == 2, timeout=10)

    gate.touch()
    assert job.result(10) == "told"
    record = job.record()
    frozen.signal(signal.SIGCONT)
    wait_until("the late one noticed", lambda: "lost the lock" in (log := frozen.log.read_text()) or "refused" in log)
    assert job.record() == record
    assert record.attempts[-1].worker.split("-")[-2] == str(other.pid)

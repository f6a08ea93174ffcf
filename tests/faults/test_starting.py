"""A worker whose slots cannot be started, or take long: it says so, tries again without a storm, and can be ended."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from heavylift import Client, JobFailed
from tests.faults import reluctant
from tests.faults.harness import WorkerProcess
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import running, wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]

MODULES = "tests.faults.jobs tests.faults.reluctant"


def slots_of(client: Client) -> Any:
    """What the one worker says of its slots."""
    (worker,) = client.workers()
    return worker["lanes"]["cpu"]


def failed_starts(worker: WorkerProcess) -> list[tuple[float, float]]:
    """When a start failed (seconds since 1970), and how long the worker said it would rest."""
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
    return [
        (datetime.fromisoformat(line["timestamp"]).timestamp(), line["pause"])
        for line in lines
        if line["event"] == "a slot cannot be started"
    ]


@pytest.mark.row(17, timing=True)
def test_handlers_that_no_slot_can_import_are_tried_ever_more_rarely_and_the_worker_says_so(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row, tmp_path: Path
) -> None:
    """Light jobs go on meanwhile, and heavy ones once the module is mended, without a restart."""
    (tmp_path / "broken").touch()
    row.inject("a module with handlers that no slot can import")
    worker = start_worker(module=MODULES, slots=2)
    heavy = client.enqueue(reluctant.plain.job(ledger=row.book))
    row.acknowledged([heavy])
    assert [job.result(10) for job in row.put(client, 5)] == [1] * 5
    wait_until("it has tried three times", lambda: len(failed_starts(worker)) >= 3, timeout=30)
    failed = failed_starts(worker)[:3]
    assert [pause for _, pause in failed] == [1.0, 2.0, 4.0]
    assert all(later - earlier >= pause - 0.01 for (earlier, pause), (later, _) in pairwise(failed))
    row.measure("failed starts/s", 2 / (failed[2][0] - failed[0][0]))
    seen = slots_of(client)
    assert not seen["ready"]
    assert "this module cannot be imported in a slot" in seen["problem"]
    assert heavy.state() == "waiting"
    (tmp_path / "broken").unlink()
    row.clear()
    heavy.result(40)
    row.judge(any_server)
    assert row.facts.doubled == 0
    wait_until("it says that all is well", lambda: slots_of(client)["ready"] and not slots_of(client)["problem"])


@pytest.mark.row(17)
def test_a_setup_that_ends_its_process_is_a_failed_attempt_with_its_backoff_and_no_storm(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row, tmp_path: Path
) -> None:
    (tmp_path / "deadly").touch()
    row.inject("a setup that ends its process")
    start_worker(module=MODULES, slots=1)
    job = client.enqueue(reluctant.needs_a_model.job(ledger=row.book))
    row.acknowledged([job])
    with pytest.raises(JobFailed) as failure:
        job.result(30)
    assert (failure.value.reason, failure.value.cause) == ("exhausted", "setup")
    assert "exited:3" in job.record().attempts[-1].message
    assert len((tmp_path / "loads").read_text().splitlines()) == 4, "one attempt and three retries"
    seen = wait_until("the slot is up again", lambda: (it := slots_of(client))["started"] > 4 and it["free"] and it)
    assert seen["started"] == 5, "the first process, and one for each that has died"
    (tmp_path / "deadly").unlink()
    row.clear()
    mended = client.enqueue(reluctant.needs_a_model.job(ledger=row.book))
    row.acknowledged([mended])
    assert mended.result(20) == "loaded"
    row.judge(any_server)
    assert row.starts(job) == 0, "the handler was never called"


HEEDED = 20.0
"""Seconds from the signal to the end of the process, on a busy machine. The import takes a minute."""


@pytest.mark.skipif(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="children are deaf to Ctrl-C here")
@pytest.mark.parametrize(
    ("where", "how", "code"),
    [
        ("slots", signal.SIGINT, 0),
        ("slots", signal.SIGTERM, 0),
        ("everywhere", signal.SIGINT, 130),
        ("everywhere", signal.SIGTERM, -signal.SIGTERM),
    ],
)
def test_a_worker_that_is_told_to_end_while_handlers_are_imported_ends_at_once_and_leaves_nothing(
    where: str, how: signal.Signals, code: int, start_worker: StartWorker, tmp_path: Path
) -> None:
    (tmp_path / "slow").write_text(where)
    worker = start_worker(module=MODULES, slots=4, ready=False)
    wait_until("the import is under way", lambda: (tmp_path / "importing").exists(), timeout=20)
    family = [process.pid for process in worker.family()]
    worker.signal(how)
    told = time.monotonic()
    assert worker.wait(60) == code
    assert time.monotonic() - told < HEEDED
    assert "cannot be started" not in worker.log.read_text()
    wait_until("nothing is left of it", lambda: not any(map(running, family)))

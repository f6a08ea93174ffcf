"""Workers and producers of the last release and of the working tree together: each goes on with the other's jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heavylift import Client, State
from tests.faults.harness import REPOSITORY, WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.release import LAST_RELEASE, last_release
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

PRODUCER = """
import sys
from heavylift import Client
from tests.faults import jobs
with Client(sys.argv[1]) as client:
    for job in client.enqueue_many([jobs.quick.job(ledger=sys.argv[2]) for _ in range(100)]):
        print(job.id)
"""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = last_release(tmp_path_factory.mktemp("release"))
    if found is None:
        pytest.skip(f"the last release ({LAST_RELEASE}) is not in this repository")
    return found


@pytest.mark.row(27)
def test_old_and_new_workers_and_producers_share_the_jobs(
    old: Path,
    any_server: Server,
    client: Client,
    start_worker: Callable[..., WorkerProcess],
    ledger: Ledger,
    row: Row,
) -> None:
    workers = {start_worker(source=old).pid, start_worker().pid}
    row.inject(f"a worker and a producer of {LAST_RELEASE} beside those of the working tree")
    env = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{old}"}
    command = [sys.executable, "-c", PRODUCER, any_server.url, row.book]
    said = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=60).stdout
    row.acknowledged([client.job(id, "light") for id in said.split()])
    row.put(client, 1000)
    row.judge(any_server)
    assert row.facts.jobs == 1100
    assert row.facts.doubled == 0
    assert {entry.pid for entry in ledger.entries()} == workers, "both had a part"


@pytest.mark.row(27)
@pytest.mark.parametrize("shape", [{}, {"args": ["in", "order"], "tags": {"by": "name"}}], ids=["as now", "another"])
def test_a_job_that_says_it_needs_a_newer_worker_is_left_to_one(
    shape: dict[str, Any],
    any_server: Server,
    client: Client,
    start_worker: Callable[..., WorkerProcess],
    ledger: Ledger,
    row: Row,
) -> None:
    (job,) = row.put(client, 1)
    key = f"heavylift:{{light}}:job:{job.id}"
    understood = any_server.command("HGET", key, "spec")
    row.inject("a version of the envelope that the workers do not understand, as it is now or in another shape")
    changed = json.loads(understood) | {"v": 2, **shape}
    any_server.command("HSET", key, "spec", json.dumps(changed))
    start_worker()
    wait_until("it is put back", lambda: job.state() == State.DELAYED)
    assert [attempt.cause for attempt in job.record().attempts] == ["too_new"]
    assert json.loads(any_server.command("HGET", key, "spec")) == changed
    assert not ledger.entries(), "nothing was called"
    any_server.command("HSET", key, "spec", understood)  # a worker that understands it has come
    job.promote()
    assert job.result(20) == 1
    row.judge(any_server)


@pytest.mark.row(27)
def test_an_old_worker_keeps_what_a_newer_producer_says_beside(
    old: Path, any_server: Server, client: Client, start_worker: Callable[..., WorkerProcess], row: Row
) -> None:
    (job,) = row.put(client, 1)
    key = f"heavylift:{{light}}:job:{job.id}"
    row.inject("fields that the last release does not know, in the envelope and in the hash")
    envelope = json.loads(any_server.command("HGET", key, "spec")) | {"colour": "red"}
    any_server.command("HSET", key, "spec", json.dumps(envelope), "flavour", "sweet")
    start_worker(source=old)
    assert job.result(20) == 1
    assert json.loads(any_server.command("HGET", key, "spec"))["colour"] == "red"
    assert any_server.command("HGET", key, "flavour") == b"sweet"
    row.judge(any_server)

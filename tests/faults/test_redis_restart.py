"""Redis goes away and comes back: nothing that was acknowledged is lost, and nobody needs a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heavylift import Client
from tests.faults import jobs
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def any_server(redis_or_valkey: str) -> Iterator[Server]:
    """A server of this test's own, with an append-only file, because it is killed."""
    with Server(redis_or_valkey, config={"appendonly": "yes", "appendfsync": "everysec"}) as server:
        yield server


@pytest.fixture(params=["redis", "valkey"])
def redis_or_valkey(request: pytest.FixtureRequest) -> str:
    from tests.conftest import KINDS

    return KINDS[request.param]()


@pytest.mark.parametrize("how", ["restart", "kill9"])
def test_nothing_is_lost_when_redis_restarts_under_load(
    how: str, any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path
) -> None:
    worker = start_worker()
    gate = tmp_path / "gate"
    book = str(ledger.path)
    held = client.enqueue(jobs.until_told.job(ledger=book, gate=str(gate)))
    wait_until("one job runs through it all", lambda: ledger.starts(held.id))
    acknowledged = client.enqueue_many([jobs.quick.job(ledger=book) for _ in range(2000)])
    wait_until("some are done", lambda: len(ledger.counts("finish")) > 100, timeout=20)

    if how == "restart":
        any_server.restart()
    else:
        any_server.kill9()
        any_server.start()
    acknowledged += client.enqueue_many([jobs.quick.job(ledger=book) for _ in range(200)])
    gate.touch()

    assert {job.result(30) for job in acknowledged} == {1}
    assert held.result(10) == "told"
    assert len(ledger.starts(held.id)) == 1, "the running job kept its lock"
    assert worker.process.poll() is None

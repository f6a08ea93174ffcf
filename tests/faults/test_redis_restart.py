"""Redis goes away and comes back, with its data or without: what was kept is not lost, and nobody needs a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from heavylift import Client
from heavylift.errors import JobNotFound
from tests.conftest import KINDS
from tests.faults import jobs
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture(params=["redis", "valkey"])
def any_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of this row's own, because it is killed; with an append-only file, if the row does not take it away."""
    keeps = request.node.get_closest_marker("forgets") is None
    with Server(KINDS[request.param](), appendonly=keeps, config={"appendfsync": "everysec"}) as server:
        yield server


@pytest.mark.row(28, timing=True)
@pytest.mark.parametrize("how", ["restart", "kill9"])
def test_nothing_is_lost_when_redis_restarts_under_load(
    how: str, any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    worker = start_worker()
    if how == "kill9":  # while its disk is behind, `everysec` keeps writes back for up to two seconds
        any_server.config("appendfsync", "always")
    held = row.hold(client)
    with row.steady(client):
        row.put(client, 2000)
        before = len(ledger.counts("finish"))
        wait_until("some are done", lambda: len(ledger.counts("finish")) > before + 100, timeout=20)
        row.inject(f"{'SHUTDOWN' if how == 'restart' else 'kill -9'} with an append-only file, under load")
        if how == "restart":
            any_server.restart()
        else:
            any_server.kill9()
            any_server.start()
        row.clear()
    row.put(client, 200)
    row.await_running()
    row.judge(any_server)
    assert row.starts(held) == 1, "the running job kept its lock"
    assert worker.process.poll() is None


@pytest.mark.row(42)
def test_a_redis_that_is_still_loading_is_waited_for(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    worker = start_worker()
    with row.steady(client):
        client.pause("light")
        row.put(client, 1000)
        row.inject("LOADING: a restart that takes a second to read its file")
        any_server.command("CONFIG", "SET", "aof-use-rdb-preamble", "yes")
        any_server.options |= {"key-load-delay": "1000", "loading-process-events-interval-bytes": "1024"}
        any_server.command("BGREWRITEAOF")
        wait_until("rewritten", lambda: _rewritten(any_server), timeout=10)
        any_server.kill9()
        any_server.start()
        row.clear()
        client.resume("light")
    row.await_running()
    assert "LOADING" in worker.log.read_text()
    row.judge(any_server)
    assert row.facts.doubled == 0


def _rewritten(server: Server) -> bool:
    with server.client() as redis:
        info = redis.info("persistence")
    return not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]


@pytest.mark.forgets
@pytest.mark.parametrize(
    "how", [pytest.param("restart", marks=pytest.mark.row(29)), pytest.param("FLUSHALL", marks=pytest.mark.row(47))]
)
def test_a_redis_that_forgets_everything_is_gone_on_with(
    how: str, any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    """What it forgot is gone, and the end of a job that is not there any more does not bring back half of it.

    What handlers declare is soon there again, and the worker says what has happened.
    """
    worker = start_worker()
    declared = client.limits("light").limits
    assert declared
    gone = client.enqueue(jobs.until_told.job(ledger=row.book, gate=str(row.gate)))
    wait_until("it runs", lambda: ledger.starts(gone.id))
    with row.steady(client, lossy=True):
        client.pause("light")
        client.enqueue_many([jobs.quick.job(ledger=row.book)] * 50)
        row.inject("restart without persistence" if how == "restart" else "FLUSHALL in mid-run")
        if how == "restart":
            any_server.restart()
        else:
            any_server.command("FLUSHALL")
        row.clear()
    row.put(client, 20)
    row.await_running()
    wait_until("the worker lets go of what is gone", lambda: "lost the lock" in worker.log.read_text())
    with pytest.raises(JobNotFound):
        gone.record()
    worker.await_ready(client)
    wait_until("its limits are there again", lambda: client.limits("light").limits == declared)
    wait_until("it is said", lambda: client.workers()[0].get("forgotten") == 2, timeout=10)  # of two queues
    assert worker.log.read_text().count("redis had forgotten the queue") == 2
    row.judge(any_server)
    assert len(ledger.starts(gone.id)) == 1
    assert any_server.command("EXISTS", f"heavylift:{{light}}:job:{gone.id}") == 0

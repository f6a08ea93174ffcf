"""The way to Redis is bad: connections cut, replies lost, bytes swallowed, everything slow."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from heavylift import Client
from heavylift.event import Kind
from heavylift.store.scripts import Scripts
from tests.faults import jobs
from tests.faults.harness import LOCK, WorkerProcess
from tests.faults.proxy import Direction, Proxy
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def proxy(any_server: Server) -> Iterator[Proxy]:
    """Between the worker and Redis; the client goes straight."""
    assert any_server.socket is not None
    with Proxy(any_server.socket) as proxy:
        yield proxy


@pytest.fixture
def worker(proxy: Proxy, start_worker: StartWorker) -> WorkerProcess:
    return start_worker(url=proxy.url, command_timeout=1)


@pytest.mark.row(32, timing=True)
def test_jobs_go_on_while_every_connection_is_killed_ten_times_a_second(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    worker = start_worker(lock=6)  # a renewal needs two round trips in peace, which it may not find at once
    held = row.hold(client)
    with row.steady(client):
        row.inject("CLIENT KILL TYPE normal and pubsub every 100 ms for 3 s")
        until = time.monotonic() + 3.0
        with any_server.client() as redis:
            while time.monotonic() < until:
                row.put(client, 20)
                for kind in ("normal", "pubsub"):
                    redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
                time.sleep(0.1)
        row.clear()
    row.put(client, 20)
    row.await_running()
    assert worker.process.poll() is None
    row.judge(any_server)
    assert row.starts(held) == 1


@pytest.mark.row(33, timing=True)
def test_a_reply_lost_after_the_script_ran_costs_nothing(
    proxy: Proxy, worker: WorkerProcess, any_server: Server, client: Client, row: Row
) -> None:
    held = row.hold(client)
    with row.steady(client):
        for lost, verb in enumerate(("claim", "settle", "extend"), 1):
            row.inject(f"the reply to {verb} lost")
            proxy.drop_reply(Scripts()[verb].script.sha.encode())
            row.put(client, 50)
            wait_until("a reply was lost", lambda lost=lost: proxy.dropped == lost)  # type: ignore[misc]
            row.clear()
            row.put(client, 5)
            row.await_running()
    row.judge(any_server)
    assert row.starts(held) == 1
    assert row.facts.doubled == 0


@pytest.mark.row(34, timing=True)
def test_a_half_open_connection_is_noticed_and_made_anew(
    proxy: Proxy, worker: WorkerProcess, any_server: Server, client: Client, row: Row
) -> None:
    with row.steady(client):
        ways: tuple[Direction, ...] = ("up", "down")
        for losses, way in enumerate(ways, 1):
            row.inject(f"half-open TCP: everything {way} swallowed")
            proxy.black_hole(way)
            row.put(client, 20)
            wait_until("the dispatcher notices", lambda n=losses: _losses(worker) >= n, timeout=8)  # type: ignore[misc]
            row.clear()
            proxy.pass_on()
            row.put(client, 5)
            row.await_running()
    row.judge(any_server)


def _losses(worker: WorkerProcess) -> int:
    """How often its dispatcher has lost contact."""
    lines = worker.log.read_text().splitlines()
    return sum("lost contact" in line and "dispatcher" in line for line in lines)


@pytest.mark.row(35, timing=True)
def test_locks_hold_over_a_slow_network(
    proxy: Proxy, worker: WorkerProcess, any_server: Server, client: Client, row: Row
) -> None:
    row.put(client, 20)
    held = row.hold(client)
    with row.steady(client):
        row.inject("50 ms ± 30 each way, 10 KB/s")
        proxy.delay(0.05, 0.03)
        proxy.throttle(10_000)
        row.put(client, 30)
        time.sleep(LOCK * 1.5)  # the fault itself: longer than a lock that nobody renews would last
        proxy.pass_on()
        row.clear()
    row.put(client, 5)
    row.await_running()
    row.judge(any_server)
    assert row.starts(held) == 1
    assert client.workers()[0]["locks_lost"] == 0


@pytest.mark.row(48)
def test_without_pubsub_jobs_start_by_the_poll_and_watchers_see_the_end(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """Nobody may subscribe, so that nobody hears of a new job; once they may again, wake-ups are back by themselves."""
    poll = 1.0
    worker = start_worker(poll=poll)
    held = row.hold(client)
    seen = client.watch(held, timeout=30)
    assert next(seen) is not None
    row.inject("nobody may subscribe, CLIENT KILL TYPE pubsub")
    with deaf(any_server):
        wait_until("the worker says so", lambda: "no wake-ups: cannot subscribe" in worker.log.read_text(), timeout=10)
        waits = []
        for _ in range(5):
            assert not any_server.command("PUBSUB", "CHANNELS"), "nobody listens"
            (job,) = row.put(client, 1)
            put = time.monotonic()
            wait_until("it starts by the poll", lambda job=job: row.starts(job), timeout=poll + 2.0)  # type: ignore[misc]
            waits.append(time.monotonic() - put)
            assert job.result(10) == 1
        row.measure("waited for the poll, s", max(waits))
        row.release()
        assert [event.event for event in seen][-1] == Kind.COMPLETED
        assert not any_server.command("PUBSUB", "CHANNELS")
    row.clear()
    wait_until("wake-ups are back", lambda: "wake-ups are back" in worker.log.read_text(), timeout=10)
    row.put(client, 20)
    row.await_running()
    row.judge(any_server)
    assert row.facts.doubled == 0


@contextlib.contextmanager
def deaf(server: Server) -> Iterator[None]:
    """No client may subscribe to anything."""
    words = ("subscribe", "psubscribe", "ssubscribe")
    server.command("ACL", "SETUSER", "default", *(f"-{word}" for word in words))
    try:
        server.command("CLIENT", "KILL", "TYPE", "pubsub")
        yield
    finally:
        server.command("ACL", "SETUSER", "default", "+@all")


@pytest.mark.row(49)
def test_a_storm_of_progress_reports_is_coalesced(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    start_worker()
    before = _published(any_server)
    row.inject("progress reported as fast as the handler can, for 2 s")
    (job,) = row.acknowledged([client.enqueue(jobs.reports.job(ledger=row.book, seconds=2.0))])
    assert job.result(20) > 10_000, "as many reports as that"
    assert _published(any_server) - before < 40, "about ten a second"
    progress = job.progress()
    assert progress is not None
    assert progress.done == job.result()
    row.judge(any_server)


def _published(server: Server) -> int:
    with server.client() as redis:
        return int(redis.info("commandstats").get("cmdstat_publish", {"calls": 0})["calls"])

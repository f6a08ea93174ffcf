"""Redis answers with a no: full, read-only, cannot save, busy, scripts gone, too many clients, another password."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from heavylift import Client
from heavylift.errors import PermissionMissing, ServerFull, StoreError, Unavailable
from tests.faults import jobs, refusals
from tests.faults.harness import BOTH_KINDS, LOCK, WorkerProcess
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]


@pytest.mark.row(36)
@BOTH_KINDS
def test_a_full_redis_refuses_new_jobs_and_drains_those_it_has(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    start_worker()
    held = row.hold(client)
    with row.steady(client):
        client.pause("light")
        row.put(client, 300)
        row.inject("maxmemory below what is used, noeviction")
        with refusals.full(any_server):
            with pytest.raises(ServerFull, match="maxmemory"):
                row.put(client, 1)
            client.resume("light")
            wait_until("all are done but the held", lambda: _active(any_server) == 1 and not _waiting(any_server), 20)
            time.sleep(LOCK)  # the fault itself: longer than the held job's lock
            row.release()
            assert held.result(10) == "told"
        row.clear()
    row.put(client, 5)
    row.await_running()
    row.judge(any_server)
    assert row.starts(held) == 1


def _active(server: Server) -> int:
    return int(server.command("ZCARD", "heavylift:{light}:locks"))


def _waiting(server: Server) -> int:
    return int(server.command("ZCARD", "heavylift:{light}:line:"))


@pytest.mark.row(37)
def test_a_redis_that_would_delete_jobs_is_refused_at_the_start(
    any_server: Server, client: Client, start_worker: StartWorker, row: Row
) -> None:
    row.inject("maxmemory-policy allkeys-lru with a maxmemory")
    any_server.config("maxmemory", str(1 << 30))
    any_server.config("maxmemory-policy", "allkeys-lru")
    refused = start_worker(ready=False)
    assert refused.wait() != 0
    assert "maxmemory-policy noeviction" in refused.log.read_text()
    any_server.config("maxmemory", "0")
    warned = start_worker()
    assert "maxmemory-policy is allkeys-lru" in warned.log.read_text()


@pytest.mark.row(38)
def test_a_server_made_read_only_is_waited_for(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    start_worker()
    row.put(client, 20)
    with row.steady(client):
        with impatient(any_server.url) as hasty:
            row.inject("REPLICAOF on the live server for 1 s")
            with refusals.read_only(any_server):
                with pytest.raises(Unavailable, match="READONLY"):
                    row.put(hasty, 1)
                time.sleep(1.0)
            row.clear()
    row.put(client, 20)
    row.await_running()
    row.judge(any_server)


@pytest.mark.row(41, timing=True)
def test_scripts_flushed_again_and_again_are_loaded_again(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    start_worker()
    with row.steady(client):
        row.inject("SCRIPT FLUSH without a pause for 2 s")
        stop = threading.Event()

        def flush() -> None:
            with any_server.client() as redis:
                while not stop.wait(0.001):
                    redis.script_flush()

        flushing = threading.Thread(target=flush)
        flushing.start()
        try:
            until = time.monotonic() + 2.0
            puts = 0
            while time.monotonic() < until and puts < 400:  # not so many that the oldest are no longer kept
                row.put(client, 20)
                puts += 1
        finally:
            stop.set()
            flushing.join()
        row.clear()
    row.put(client, 5)
    row.await_running()
    row.judge(any_server)
    assert row.facts.doubled == 0


@pytest.mark.row(43)
@BOTH_KINDS
def test_a_redis_that_cannot_save_is_named_and_waited_for(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """Longer than the lock: what runs is stopped in time, or goes on alone if it may, and nobody takes it over."""
    workers = [start_worker(), start_worker()]
    alone, stopped = row.hold(client, jobs.until_told_alone), row.hold(client)
    with row.steady(client):
        row.inject(f"MISCONF for {LOCK + 1:g} s: the dump cannot be written, with two workers")
        with refusals.unable_to_save(any_server):
            with pytest.raises(StoreError, match="cannot save to disk"):
                row.put(client, 1)
            time.sleep(LOCK + 1)
        row.clear()
    row.put(client, 20)
    row.await_running()
    wait_until("what was stopped runs again", lambda: row.starts(stopped) >= 2, timeout=10)
    time.sleep(LOCK)  # long enough for a janitor that takes what it should not
    assert [worker.process.poll() for worker in workers] == [None, None]
    row.judge(any_server)
    assert (row.starts(alone), row.starts(stopped)) == (1, 2)
    assert [attempt.cause for attempt in stopped.record().attempts] == ["lost_contact", "completed"]
    counters = stopped.record().counters
    assert (counters.crashes, counters.attempts, counters.interruptions) == (0, 0, 1)
    assert [said["recovered"] for said in client.workers()] == [0, 0]


@pytest.mark.row(44)
@BOTH_KINDS
def test_an_endless_foreign_script_is_waited_for(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    start_worker(lock=6)  # of a shorter one the script may cost two renewals in a row
    held = row.hold(client)
    row.put(client, 20)
    with row.steady(client):
        row.inject("BUSY: a foreign script that runs for 1.2 s")
        with refusals.busy(any_server):
            with impatient(any_server.url) as hasty, pytest.raises(Unavailable):
                row.put(hasty, 1)
            time.sleep(1.0)
        row.clear()
    row.put(client, 20)
    row.await_running()
    row.judge(any_server)
    assert row.starts(held) == 1


@pytest.mark.row(50)
def test_too_many_clients_is_said_and_waited_for(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    start_worker()
    row.put(client, 5)
    with row.steady(client):
        row.inject("maxclients at what is connected; then every connection killed")
        with any_server.client() as redis:
            redis.config_set("maxclients", len(redis.client_list()))
            with impatient(any_server.url) as hasty, pytest.raises(Unavailable, match="max number of clients"):
                row.put(hasty, 1)
            redis.config_set("maxclients", 1000)
        with refusals.crowded(any_server):
            time.sleep(1.0)
        row.clear()
    row.put(client, 20)
    row.await_running()
    row.judge(any_server)


@pytest.mark.row(50)
def test_another_password_is_named_and_its_return_is_enough(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    worker = start_worker()
    row.put(client, 5)
    with row.steady(client):
        row.inject("the password changed, every connection killed; changed back after 1 s")
        with any_server.client() as redis:
            redis.config_set("requirepass", "another")
            redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            try:
                with impatient(any_server.url) as hasty, pytest.raises(PermissionMissing):
                    row.put(hasty, 1)
                wait_until("the worker says so", lambda: "lost contact" in worker.log.read_text())
                time.sleep(0.5)
            finally:
                redis.execute_command("AUTH", "another")
                redis.config_set("requirepass", "")
        row.clear()
    row.put(client, 20)
    row.await_running()
    row.judge(any_server)


@pytest.mark.row(50)
@pytest.mark.parametrize("taken", ["resetchannels", "-hmget", "-evalsha", "resetkeys"])
def test_rights_that_a_running_worker_loses_are_named_and_their_return_is_enough(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row, taken: str
) -> None:
    with refusals.user(any_server, "some") as url:
        worker = start_worker(url=url, lock=6)  # of a shorter one two renewals in a row may be refused
        held = row.hold(client)
        with row.steady(client):
            row.inject(f"rights taken from the worker's user for 1 s: {taken}")
            with refusals.narrowed(any_server, "some", taken):
                wait_until("the worker says so", lambda: "heavylift acl" in worker.log.read_text())
                time.sleep(0.5)
            row.clear()
        row.put(client, 20)
        row.await_running()
        row.judge(any_server)
        assert row.starts(held) == 1
        assert row.facts.doubled == 0
        worker.end()


@contextlib.contextmanager
def impatient(url: str) -> Iterator[Client]:
    """A client that does not try again."""
    with Client(url, patience=0.0) as client:
        yield client

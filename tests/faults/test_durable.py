"""What was asked to be on disk is not said to be there while the disk fails, and goes on when it is well again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heavylift import Client
from heavylift.errors import ServerUnsupported, Unavailable
from heavylift.settings import Settings
from tests.failing_disk import FailingDisk
from tests.faults import jobs
from tests.faults.harness import WorkerProcess
from tests.faults.rows import Row
from tests.servers import Server, valkey_binary

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def disk(tmp_path: Path) -> FailingDisk:
    return FailingDisk(tmp_path, valkey_binary())


@contextlib.contextmanager
def served(disk: FailingDisk, appendfsync: str) -> Iterator[tuple[Server, Client]]:
    with Server(disk.binary, appendonly=True, config={"appendfsync": appendfsync}) as server:
        settings = Settings.load(env={}, redis_url=server.url, command_timeout=2.0)
        with Client(settings=settings, patience=2.0) as client:
            yield server, client


@pytest.mark.row(28)
def test_what_could_not_be_synced_is_never_said_to_be_kept_and_what_was_is_there(
    disk: FailingDisk, start_worker: StartWorker, row: Row
) -> None:
    """The server gives up when it cannot sync; whoever watches over it starts it again."""
    with served(disk, "always") as (server, client):
        spec = jobs.quick.job(ledger=row.book)
        row.acknowledged([client.enqueue(spec, durable="fsync") for _ in range(20)])
        row.inject("fsync fails with EIO, appendfsync always")
        disk.fail()
        with pytest.raises(Unavailable):
            client.enqueue(spec, id="in-doubt", durable="fsync")
        disk.heal()
        server.revive()
        row.clear()
        again = client.enqueue(spec, id="in-doubt", durable="fsync")
        row.acknowledged([again])
        assert client.job("in-doubt", "light").state() == "waiting", "its fate is known"
        start_worker(url=server.url, ready=False)
        assert again.result(20) == 1
        row.judge(server)
        assert row.facts.doubled == 0


@pytest.mark.row(28)
def test_a_server_that_confirms_what_is_not_on_disk_is_not_asked(disk: FailingDisk, row: Row) -> None:
    """That it does is seen here too: when that fails, the server is mended, and `store/durable.py` may know it."""
    with served(disk, "everysec") as (server, client):
        row.inject("fsync fails with EIO, appendfsync everysec")
        with server.client() as redis:
            redis.set("other:one", 1)
            redis.execute_command("WAITAOF", 1, 0, 3000)
            disk.fail()
            redis.set("other:two", 2)
            assert redis.execute_command("WAITAOF", 1, 0, 3000) == [1, 0], "nothing can have been synced"
            with pytest.raises(ServerUnsupported, match="on disk before it is"):
                client.enqueue(jobs.quick.job(ledger=row.book), durable="fsync")
            disk.heal()

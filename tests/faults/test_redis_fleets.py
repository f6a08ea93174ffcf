"""Several Redis servers that belong together: a primary is lost or cut off, a slot moves under load."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from heavylift import Client
from heavylift.errors import StoreError
from heavylift.settings import Settings
from tests.faults import jobs
from tests.faults.harness import WorkerProcess
from tests.faults.rows import Row
from tests.fleets import Cluster, Sentinel
from tests.servers import Server, any_binary
from tests.waiting import wait_until

pytestmark = pytest.mark.fault


class Whole:
    """A Cluster as one store."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        client = redis_py.RedisCluster.from_url(self._cluster.url)
        try:
            yield client
        finally:
            for node in client.get_nodes():
                node.redis_connection.connection_pool.disconnect()
            client.close()


@pytest.fixture
def sentinel() -> Iterator[Sentinel]:
    with Sentinel(any_binary(), down_after_ms=500) as sentinel:
        yield sentinel


@contextlib.contextmanager
def working(url: str, folder: Path, **how: Any) -> Iterator[tuple[Client, WorkerProcess]]:
    """A client that is patient enough for a failover, and a worker."""
    settings = Settings.load(env={}, redis_url=url, command_timeout=1.0, **how)
    with Client(settings=settings, patience=15.0) as client:
        worker = WorkerProcess(url, folder, command_timeout=1, **how)
        try:
            worker.await_ready(client)
            yield client, worker
        finally:
            worker.end()


@pytest.mark.row(39, timing=True)
def test_a_sentinel_failover_loses_nothing_that_a_replica_has_confirmed(
    sentinel: Sentinel, tmp_path: Path, row: Row
) -> None:
    with working(sentinel.url, tmp_path, sentinel=sentinel.name) as (client, worker):
        held = row.hold(client, jobs.until_told_alone)
        with row.steady(client, lossy=True):
            client.pause("light")
            row.acknowledged([client.enqueue(jobs.quick.job(ledger=row.book), durable="replicated") for _ in range(50)])
            row.inject("kill -9 of the primary of a Sentinel set")
            sentinel.primary.kill9()
            wait_until("another is primary", lambda: sentinel.address() == sentinel.replica.port, timeout=20)
            row.clear()
            client.resume("light")
        row.put(client, 20)
        row.await_running(15)
        row.judge(sentinel.replica)
        assert worker.process.poll() is None
        assert row.starts(held) == 1


@pytest.mark.row(40, timing=True)
def test_after_a_split_brain_one_completion_counts(sentinel: Sentinel, tmp_path: Path, row: Row) -> None:
    """The old primary is frozen while another is made; awake again, it takes no writes that would count."""
    for server in (sentinel.primary, sentinel.replica):
        server.config("min-replicas-max-lag", "1")
        server.config("min-replicas-to-write", "1")
    with working(sentinel.url, tmp_path, sentinel=sentinel.name) as (client, worker):
        held = row.hold(client, jobs.until_told_alone)
        row.acknowledged([client.enqueue(jobs.quick.job(ledger=row.book), durable="replicated") for _ in range(20)])
        row.inject("SIGSTOP of the primary, another promoted, SIGCONT")
        sentinel.primary.pause()
        wait_until("another is primary", lambda: sentinel.address() == sentinel.replica.port, timeout=20)
        row.clear()
        sentinel.primary.resume()
        wait_until("the old one follows", lambda: _role(sentinel.primary) == "slave", timeout=20)
        row.put(client, 20)
        row.await_running(15)
        row.judge(sentinel.replica)
        assert worker.process.poll() is None
        assert row.starts(held) == 1


def _role(server: Server) -> str:
    with server.client() as redis:
        return str(redis.info("replication")["role"])


@pytest.mark.cluster
@pytest.mark.row(45, timing=True)
def test_a_slot_that_moves_under_load_loses_nothing(cluster: Cluster, tmp_path: Path, row: Row) -> None:
    with working(cluster.url, tmp_path, cluster=True) as (client, _):
        held = row.hold(client, jobs.until_told_alone)  # no lock can be renewed while its key is on the way
        row.inject("the queue's slot moved to another node, key by key, under load")
        stop = threading.Event()

        def produce() -> None:
            while not stop.wait(0.02):
                row.put(client, 5)

        load = threading.Thread(target=produce)
        load.start()
        try:
            move = cluster.begin_move(cluster.slot("{light}"))
            move.finish()
        finally:
            stop.set()
            load.join()
        row.clear()
        row.put(client, 20)
        row.await_running()
        row.judge(Whole(cluster))
        assert row.starts(held) == 1
        assert row.facts.doubled == 0


@pytest.mark.cluster
@pytest.mark.row(46)
def test_a_lost_primary_stops_its_queues_and_no_others(tmp_path: Path, row: Row) -> None:
    config = {"cluster-require-full-coverage": "no", "appendonly": "yes", "appendfsync": "always"}
    with Cluster(any_binary(), config=config) as cluster:
        home = _apart(cluster, "light", "heavy")
        with working(cluster.url, tmp_path, cluster=True) as (client, _):
            with row.steady(client):
                row.put(client, 20)
                row.inject("kill -9 of the primary that has the queue")
                home.kill9()
                crunched = client.enqueue_many([jobs.crunch.job(ledger=row.book) for _ in range(5)])
                assert [job.result(15) for job in row.acknowledged([*crunched])] == [0.0] * 5
                with Client(
                    settings=Settings.load(env={}, redis_url=_alive(cluster), cluster=True), patience=0.0
                ) as hasty:
                    with pytest.raises(StoreError):
                        hasty.enqueue(jobs.quick.job(ledger=row.book))
                home.start()
                cluster.await_ok()
                row.clear()
            row.put(client, 20)
            row.await_running(15)
            row.judge(Whole(cluster))


def _apart(cluster: Cluster, queue: str, other: str) -> Server:
    """Put two queues on two nodes; the one that has `queue`."""
    home = cluster.owner(cluster.slot(f"{{{queue}}}"))
    if cluster.owner(cluster.slot(f"{{{other}}}")) is home:
        cluster.begin_move(cluster.slot(f"{{{other}}}")).finish()
    return home


def _alive(cluster: Cluster) -> str:
    return next(node.url for node in cluster.nodes if node.process is not None)

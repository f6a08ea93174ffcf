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
from tests.faults.ledger import Ledger
from tests.faults.proxy import Proxy
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
        wait_until("the old one follows", lambda: _role(sentinel.primary) == "slave", timeout=45)
        row.put(client, 20)
        row.await_running(15)
        row.judge(sentinel.replica)
        assert worker.process.poll() is None
        assert row.starts(held) == 1


@pytest.mark.row(40, timing=True)
def test_what_was_taken_over_on_the_other_side_of_a_split_is_not_completed_by_who_ran_it_first(
    sentinel: Sentinel, tmp_path: Path, ledger: Ledger, row: Row
) -> None:
    """The first worker knows the old primary only: no sentinel answers it until the other has taken its job over.

    The old primary asks for a replica that confirms; the new one has none as yet, and so must not.
    """
    sentinel.primary.config("min-replicas-max-lag", "1")
    sentinel.primary.config("min-replicas-to-write", "1")
    how = {"sentinel": sentinel.name, "command_timeout": 1}
    with (
        contextlib.ExitStack() as proxies,
        working(sentinel.url, tmp_path, sentinel=sentinel.name) as (client, other),
    ):
        between = [proxies.enter_context(Proxy(("127.0.0.1", it.port))) for it in sentinel.sentinels]
        (seen,) = client.workers()
        assert client.pause_worker(seen["id"])
        first = WorkerProcess("redis://" + ",".join(f"127.0.0.1:{it.port}" for it in between), tmp_path, **how)
        try:
            first.await_ready(client)
            held = row.hold(client, jobs.until_its_turn)
            assert client.resume_worker(seen["id"])
            _confirmed(client, row)
            row.inject("SIGSTOP of the primary, another promoted, of which one worker hears later; SIGCONT")
            for proxy in between:
                proxy.refuse()
            sentinel.primary.pause()
            wait_until("another is primary", lambda: sentinel.address() == sentinel.replica.port, timeout=20)
            row.clear()
            wait_until("the other runs the job too", lambda: row.starts(held) == 2, timeout=20)
            assert [it.event for it in ledger.entries() if it.job == held.id] == ["start", "start"], "both run it"
            row.gate.with_name("gate.1").touch()
            wait_until("the first has its result", lambda: (held.id, 1) in _finished(ledger))
            sentinel.primary.resume()
            wait_until("the old one follows", lambda: _role(sentinel.primary) == "slave", timeout=45)
            for proxy in between:
                proxy.pass_on()
            wait_until("it is refused", lambda: "a late settlement was refused" in first.log.read_text(), timeout=30)
            assert held.state() == "active", "the other still runs it"
            row.put(client, 20)
            row.judge(sentinel.replica)
            assert held.result(1) == 2, "of the second attempt"
            record = held.record()
            assert [attempt.cause for attempt in record.attempts] == ["abandoned", "completed"]
            assert record.attempts[-1].worker.split("-")[-2] == str(other.pid)
            assert row.starts(held) == record.counters.starts == 2
            assert [worker.process.poll() for worker in (first, other)] == [None, None]
        finally:
            first.end()


def _confirmed(client: Client, row: Row) -> None:
    """What was said up to now is at the replica, the held job's start too."""
    row.acknowledged([client.enqueue(jobs.quick.job(ledger=row.book), durable="replicated")])


def _finished(ledger: Ledger) -> set[tuple[str, int]]:
    return {(it.job, it.attempt) for it in ledger.entries() if it.event == "finish"}


def _role(server: Server) -> str:
    """What it is. A sentinel that makes a server follow closes its connections: whoever asks just then is cut off."""
    with server.client() as redis, contextlib.suppress(redis_py.ConnectionError):
        return str(redis.info("replication")["role"])
    return "cut off"


LOAD = 50
"""Jobs at the least that are done before the slot moves, and after it."""


@pytest.mark.cluster
@pytest.mark.row(45, timing=True)
def test_a_slot_that_moves_under_load_loses_nothing(cluster: Cluster, tmp_path: Path, row: Row) -> None:
    with working(cluster.url, tmp_path, cluster=True) as (client, _):
        held = row.hold(client, jobs.until_told_alone)  # no lock can be renewed while its key is on the way
        row.inject("the queue's slot moved to another node, key by key, under load")
        stop = threading.Event()
        done: list[int] = []

        def produce() -> None:
            while not stop.wait(0.02):
                done.extend(job.result(20) for job in row.put(client, 5))

        load = threading.Thread(target=produce)
        load.start()
        try:
            wait_until("there is a load", lambda: len(done) >= LOAD, timeout=30)
            move = cluster.begin_move(cluster.slot("{light}"))
            assert len(move.keys()) > LOAD, "what ended is kept, and moves too"
            move.finish()
            moved = len(done)
            wait_until("the load goes on", lambda: len(done) >= moved + LOAD, timeout=30)
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

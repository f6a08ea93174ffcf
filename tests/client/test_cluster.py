"""In a Cluster the names of queues lie on one node: no call for another queue waits for it, and it may forget."""

from __future__ import annotations

import pytest

from heavylift import Client, JobSpec, handler
from heavylift.registry import Registry
from heavylift.settings import Settings
from heavylift.worker.worker import Worker
from tests.fleets import Cluster
from tests.servers import Server
from tests.waiting import wait_until
from tests.worker.conftest import FAST

pytestmark = pytest.mark.cluster

FOR_EVER = 600.0


def names(cluster: Cluster) -> Server:
    return cluster.owner(cluster.slot("heavylift:queues"))


def elsewhere(cluster: Cluster) -> str:
    """A queue that is not on the node of the names."""
    home = names(cluster)
    some = (f"q{n}" for n in range(100))
    return next(queue for queue in some if cluster.owner(cluster.slot(f"{{{queue}}}")) is not home)


def test_an_enqueue_is_done_without_the_node_of_the_queues_names(patchy_cluster: Cluster) -> None:
    queue = elsewhere(patchy_cluster)
    seeds = ",".join(f"127.0.0.1:{node.port}" for node in patchy_cluster.nodes)
    settings = Settings.load(env={}, redis_url=f"redis://{seeds}", cluster=True)
    names(patchy_cluster).kill9()
    with Client(settings=settings, patience=FOR_EVER) as client:
        job = client.enqueue(JobSpec("echo", {"value": 1}, queue=queue))
        assert job.state() == "waiting"


def test_the_names_of_served_queues_are_written_again_when_they_are_forgotten(cluster: Cluster) -> None:
    queue = elsewhere(cluster)

    @handler(queue=queue)
    def served() -> None: ...

    worker = Worker(Settings.load(env={}, redis_url=cluster.url, cluster=True, **FAST), Registry([served]), modules=[])
    worker.start()
    try:
        with names(cluster).client() as redis:

            def known() -> bool:
                return redis.smembers("heavylift:queues") == {queue.encode()}

            wait_until("the worker has named it", known)
            redis.flushall()
            wait_until("it is named again", known)
    finally:
        assert worker.stop()

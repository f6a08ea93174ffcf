"""`place`: where Redis is, four times over. Everything in this folder runs on each.

The fourth is a Cluster whose client and worker may do no more than `heavylift acl` prints for what they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from heavylift import Client, Settings
from heavylift.handler import Handler
from heavylift.registry import Registry
from heavylift.store.roles import rules
from heavylift.worker.worker import Worker
from tests.contract import handlers
from tests.fleets import Cluster
from tests.servers import Server
from tests.waiting import wait_until

MODULE = "tests.contract.handlers"

Work = Callable[..., AbstractContextManager[Worker]]


KINDS = {"plain Redis": "redis_server", "embedded Valkey": "valkey_server", "cluster": "cluster", "rights": "cluster"}
WORKER, CLIENT = ("worker",), ("producer", "reader", "operator")


@pytest.fixture(
    params=[pytest.param(kind, marks=pytest.mark.cluster if KINDS[kind] == "cluster" else ()) for kind in KINDS]
)
def places(request: pytest.FixtureRequest) -> Iterator[tuple[Settings, Settings]]:
    """Settings of clients and of workers for one kind of Redis, as new."""
    found: Server | Cluster = request.getfixturevalue(KINDS[request.param])
    fast: dict[str, Any] = {"lock": 2.0, "sweep": 0.2, "poll": 1.0, "slots": 1, "places": 4, "grace": 0.5}
    place = Settings.load(env={}, redis_url=found.url, cluster=isinstance(found, Cluster), **fast)
    if request.param != "rights":
        yield place, place
        return
    assert isinstance(found, Cluster)
    with users(found) as (client, worker):
        yield replace(place, redis_url=client), replace(place, redis_url=worker)


@contextmanager
def users(cluster: Cluster) -> Iterator[list[str]]:
    """URLs of two users: one may do what each of the three roles of a client may, the other what workers may."""
    made = {"client": CLIENT, "worker": WORKER}
    for name, roles in made.items():
        selectors = [f"({' '.join(rules(role, 'heavylift', cluster=True))})" for role in roles]
        for node in cluster.nodes:
            node.command("ACL", "SETUSER", name, "reset", "on", ">pw", *selectors)
    try:
        yield [cluster.url.replace("://", f"://{name}:pw@") for name in made]
    finally:
        for name in made:
            for node in cluster.nodes:
                node.command("ACL", "DELUSER", name)


@pytest.fixture
def place(places: tuple[Settings, Settings]) -> Settings:
    """Settings of clients."""
    return places[0]


@pytest.fixture
def client(place: Settings) -> Iterator[Client]:
    with Client(settings=place) as client:
        yield client


@pytest.fixture
def work(places: tuple[Settings, Settings]) -> Work:
    """`with work():` has a worker at it; with `lanes="io"` only, unless it is said otherwise."""
    for notes in (handlers.order, handlers.at_work, handlers.peak):
        notes.clear()

    @contextmanager
    def working(lanes: str = "io") -> Iterator[Worker]:
        known = [h for h in vars(handlers).values() if isinstance(h, Handler) and h.lane in lanes.split()]
        worker = Worker(places[1], Registry(known), modules=[MODULE])
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(2.0)
            wait_until("the worker's loops have ended", worker.stop, timeout=10)
            assert worker.crashed is None

    return working

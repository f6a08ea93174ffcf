"""`place`: where Redis is, three times over. Everything in this folder runs on each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from heavylift import Client, Settings
from heavylift.handler import Handler
from heavylift.registry import Registry
from heavylift.worker.worker import Worker
from tests.contract import handlers
from tests.fleets import Cluster
from tests.servers import Server

MODULE = "tests.contract.handlers"

Work = Callable[..., AbstractContextManager[Worker]]


@pytest.fixture(
    params=["redis", "valkey", pytest.param("cluster", marks=pytest.mark.cluster)],
    ids=["plain Redis", "embedded Valkey", "cluster"],
)
def place(request: pytest.FixtureRequest) -> Settings:
    """Settings of one kind of Redis, as new."""
    found: Server | Cluster = request.getfixturevalue(
        "cluster" if request.param == "cluster" else f"{request.param}_server"
    )
    fast: dict[str, Any] = {"lock": 2.0, "sweep": 0.2, "poll": 1.0, "slots": 1, "places": 4, "grace": 0.5}
    return Settings.load(env={}, redis_url=found.url, cluster=isinstance(found, Cluster), **fast)


@pytest.fixture
def client(place: Settings) -> Iterator[Client]:
    with Client(settings=place) as client:
        yield client


@pytest.fixture
def work(place: Settings) -> Work:
    """`with work():` has a worker at it; with `lanes="io"` only, unless it is said otherwise."""
    for notes in (handlers.order, handlers.at_work, handlers.peak):
        notes.clear()

    @contextmanager
    def working(lanes: str = "io") -> Iterator[Worker]:
        known = [h for h in vars(handlers).values() if isinstance(h, Handler) and h.lane in lanes.split()]
        worker = Worker(place, Registry(known), modules=[MODULE])
        worker.start()
        try:
            yield worker
        finally:
            assert worker.stop(2.0), "the worker's loops have ended"
            assert worker.crashed is None

    return working

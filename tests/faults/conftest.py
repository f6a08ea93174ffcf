"""Fixtures of the fault tests: a ledger, a client, and workers that are ended whatever happened."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heavylift import Client
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.rows import Row
from tests.servers import Server


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def any_server(request: pytest.FixtureRequest) -> Server:
    """One server as new, the machine's Redis if there is one; of the kind that `BOTH_KINDS` says."""
    kind = getattr(request, "param", "redis" if shutil.which("redis-server") else "valkey")
    found = request.getfixturevalue(f"{kind}_server")
    assert isinstance(found, Server)
    return found


@pytest.fixture
def row(request: pytest.FixtureRequest, ledger: Ledger) -> Iterator[Row]:
    """The row of the matrix that the test's mark `row` names."""
    mark = request.node.get_closest_marker("row")
    assert mark is not None, "a test of a row has its number as a mark"
    row = Row(mark.args[0], request.node.name, ledger)
    yield row
    row.write()


@pytest.fixture
def client(any_server: Server) -> Iterator[Client]:
    with Client(any_server.url) as client:
        yield client


@pytest.fixture
def start_worker(any_server: Server, client: Client, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """`start_worker(slots=1)` gives a worker that is ready to claim; `ready=False` does not wait for that."""
    workers: list[WorkerProcess] = []

    def start(*, url: str = any_server.url, ready: bool = True, **settings: object) -> WorkerProcess:
        workers.append(WorkerProcess(url, tmp_path, **settings))
        if ready:
            workers[-1].await_ready(client)
        return workers[-1]

    yield start
    for worker in workers:
        worker.end()

"""Fixtures of the fault tests: a ledger, a client, and workers that are ended whatever happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heavylift import Client
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.servers import Server


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def client(any_server: Server) -> Iterator[Client]:
    with Client(any_server.url) as client:
        yield client


@pytest.fixture
def start_worker(any_server: Server, client: Client, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """`start_worker(slots=1)` gives a worker that is ready to claim."""
    workers: list[WorkerProcess] = []

    def start(**settings: object) -> WorkerProcess:
        workers.append(WorkerProcess(any_server.url, tmp_path, **settings))
        workers[-1].await_ready(client)
        return workers[-1]

    yield start
    for worker in workers:
        worker.end()

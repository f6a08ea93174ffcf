"""Fixtures of the benchmarks: one server on a loopback port, empty and without persistence, for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.bars import Bars
from benchmarks.measure import scratch
from heavylift import Client
from tests.servers import Server

BARS = pytest.StashKey[Bars]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BARS] = Bars()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if found := config.stash[BARS].found:
        terminalreporter.section("bars")
        for bar in found:
            terminalreporter.write_line(str(bar))


@pytest.fixture
def bars(request: pytest.FixtureRequest) -> Bars:
    """Where to note what was promised and what was measured."""
    return request.config.stash[BARS]


@pytest.fixture(scope="session")
def lasting_server() -> Iterator[Server]:
    with Server(tcp=True) as server:
        yield server


@pytest.fixture
def server(lasting_server: Server) -> Server:
    """A server as new. Loopback, as peers are measured, and no persistence."""
    lasting_server.reset()
    return lasting_server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A producer in this process."""
    with Client(server.url) as client:
        yield client


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder on tmpfs."""
    with scratch() as path:
        yield path

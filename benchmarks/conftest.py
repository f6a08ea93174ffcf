"""Fixtures of the benchmarks: one server on a loopback port, empty and without persistence, for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.measure import scratch
from tests.servers import Server


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
def folder() -> Iterator[Path]:
    """A folder on tmpfs."""
    with scratch() as path:
        yield path

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heavylift.store.connection import Connection, Target
from tests.servers import Server


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    """A connection to the server, named as a test's."""
    connection = Connection(Target.from_url(server.url), name="test")
    yield connection
    connection.close()

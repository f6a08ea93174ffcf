from __future__ import annotations

import pytest

from heavylift.errors import ServerUnsupported
from heavylift.store.connection import Connection, Target
from heavylift.store.facts import ServerFacts
from heavylift.store.server import _check_version, check_server
from tests.fleets import Cluster
from tests.servers import Server


def test_a_plain_server_is_as_it_should_be(connection: Connection) -> None:
    assert check_server(connection) == []


def test_a_server_that_deletes_jobs_when_full_is_refused_with_the_remedy(
    server: Server, connection: Connection
) -> None:
    server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", "100mb")
    with pytest.raises(ServerUnsupported, match="noeviction"):
        check_server(connection)


def test_a_policy_that_may_delete_is_warned_of(server: Server, connection: Connection) -> None:
    server.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    [warning] = check_server(connection)
    assert "volatile-lru" in warning
    assert "noeviction" in warning


@pytest.mark.cluster
def test_a_cluster_node_needs_the_setting(cluster: Cluster) -> None:
    connection = Connection(Target.from_url(cluster.url), name="test")
    with pytest.raises(ServerUnsupported, match="HEAVYLIFT_CLUSTER"):
        check_server(connection)
    connection.close()


@pytest.mark.parametrize(("kind", "version", "good"), [
    ("redis", "6.2.14", False), ("redis", "7.0.15", True), ("redis", "8.2.1", True),
    ("valkey", "7.2.5", True), ("valkey", "9.1.2", True),
])  # fmt: skip
def test_versions(kind: str, version: str, good: bool) -> None:
    facts = ServerFacts(kind, version, 0, 0, 0, 0, "", "")
    if good:
        _check_version(facts)
    else:
        with pytest.raises(ServerUnsupported, match=r"needs 7\.0"):
            _check_version(facts)

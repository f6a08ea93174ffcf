"""How surely a job is kept: real servers that can tell, that cannot, and a replica that stops answering."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from heavylift import Client, JobSpec, NotDurable, handler
from heavylift.errors import InvalidArgument, ServerUnsupported
from heavylift.settings import Settings
from heavylift.store.connection import Connection
from tests.client.conftest import MakeClient
from tests.servers import Server, redis_binary, valkey_binary
from tests.waiting import wait_until

SPEC: JobSpec[Any] = JobSpec("h", {})


@pytest.fixture
def kept() -> Iterator[Server]:
    """A Valkey that writes an append-only file, and syncs it."""
    with Server(valkey_binary(), appendonly=True, config={"appendfsync": "always"}) as server:
        yield server


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    """A primary and its replica, connected."""
    with Server(valkey_binary(), tcp=True) as primary, Server(valkey_binary(), tcp=True) as replica:
        replica.command("REPLICAOF", "127.0.0.1", primary.port)
        wait_until("the replica is online", lambda: _online(primary))
        yield primary, replica


def _online(server: Server) -> bool:
    with server.client() as client:
        return bool(client.info("replication").get("slave0", {}).get("state") == "online")


def test_fsync_returns_once_the_job_is_on_disk(make_client: MakeClient, kept: Server) -> None:
    client = make_client(kept.url)
    before = int(_stat(kept, "WAITAOF"))
    job = client.enqueue(SPEC, durable="fsync")
    assert not job.duplicate
    assert _stat(kept, "WAITAOF") > before, "the server was asked"
    assert len({job.id for job in client.enqueue_many([SPEC] * 250, durable="fsync")}) == 250


def _stat(server: Server, command: str) -> int:
    with server.client() as client:
        said = client.info("commandstats").get(f"cmdstat_{command.lower()}", {"calls": 0})
    return int(said["calls"])


def _blocked(server: Server) -> int:
    with server.client() as client:
        return int(client.info("clients")["blocked_clients"])


def test_a_server_is_asked_what_it_can_do_once_on_each_connection(make_client: MakeClient, kept: Server) -> None:
    client = make_client(kept.url)

    def asked() -> tuple[int, int]:
        """INFOs but for these of our own, and CONFIG GETs."""
        nonlocal ours
        with kept.client() as plain:
            said = plain.info("commandstats")
        ours += 1
        return said["cmdstat_info"]["calls"] - ours, said["cmdstat_config|get"]["calls"]

    ours = 0
    client.enqueue(SPEC, durable="fsync")
    first = asked()
    for _ in range(5):
        client.enqueue(SPEC, durable="fsync")
        client.enqueue_many([SPEC, SPEC], durable="fsync")
    assert asked() == (first[0], first[1] + 10), "behind each write the policy alone, in the same round trip"
    before = asked()
    kept.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    for _ in range(3):
        assert not client.enqueue(SPEC, durable="fsync").duplicate
    assert asked()[0] == before[0] + 1, "and once after a reconnect"


def test_a_policy_that_is_changed_meanwhile_makes_it_unsure(make_client: MakeClient, kept: Server) -> None:
    client = make_client(kept.url)
    client.enqueue(SPEC, durable="fsync")
    kept.config("appendfsync", "everysec")
    with pytest.raises(NotDurable) as unsure:
        client.enqueue(SPEC, durable="fsync")
    assert client.job(unsure.value.job.id).state() == "waiting"


def test_a_repeated_id_is_confirmed_as_well(make_client: MakeClient, kept: Server) -> None:
    make_client(kept.url).enqueue(SPEC, id="mine")
    assert make_client(kept.url).enqueue(SPEC, id="mine", durable="fsync").duplicate
    with kept.client() as client:
        assert client.pttl("heavylift:{default}:durable") > 0


@pytest.mark.parametrize("appendfsync", ["everysec", "no"])
def test_a_server_that_says_so_before_it_is_on_disk_is_refused(
    make_client: MakeClient, kept: Server, appendfsync: str
) -> None:
    """Valkey answers WAITAOF before it has synced anything, unless it always does; the fault tests show it."""
    kept.config("appendfsync", appendfsync)
    client = make_client(kept.url)
    with pytest.raises(ServerUnsupported, match="appendfsync always"):
        client.enqueue(SPEC, durable="fsync")
    with pytest.raises(ServerUnsupported, match="appendfsync always"):
        client.enqueue_many([SPEC, SPEC], durable="fsync")
    assert client.queues() == []


def test_a_server_whose_policy_may_not_be_seen_is_refused(make_client: MakeClient, kept: Server) -> None:
    kept.command("ACL", "SETUSER", "half", "on", ">pw", "~*", "&*", "+@all", "-config")
    client = make_client(kept.url.replace("unix://", "unix://half:pw@"))
    with pytest.raises(ServerUnsupported, match=r"appendfsync always .* cannot be seen"):
        client.enqueue(SPEC, durable="fsync")
    assert client.queues() == []


def test_the_projects_own_server_is_made_to_sync(tmp_path: Path) -> None:
    with Client(settings=Settings.load(env={}, root=tmp_path)) as client:
        assert not client.enqueue(SPEC, durable="fsync").duplicate
        with closing(Connection(client.place.find(), name="test")) as connection:
            reply = connection.command("CONFIG", "GET", "appendfsync")
        assert b"always" in (reply.values() if isinstance(reply, dict) else reply)


@pytest.mark.parametrize("level", ["fsync", "replicated"])
def test_a_server_that_cannot_tell_is_refused_before_anything_is_sent(
    make_client: MakeClient, url: str, level: str
) -> None:
    client = make_client(url)
    for enqueue in (lambda: client.enqueue(SPEC, durable=level), lambda: client.enqueue_many([SPEC], durable=level)):
        with pytest.raises(ServerUnsupported, match=f"durable='{level}' needs"):
            enqueue()
    assert client.queues() == []


def test_redis_7_0_has_no_way_to_tell_of_its_disk(make_client: MakeClient) -> None:
    with Server(redis_binary(), appendonly=True) as server:
        if not str(server.command("INFO", "server")["redis_version"]).startswith("7.0"):
            pytest.skip("this Redis is newer")
        with pytest.raises(ServerUnsupported, match=r"needs Redis 7\.2 or Valkey, and this is Redis 7\.0"):
            make_client(server.url).enqueue(SPEC, durable="fsync")


def test_replicated_returns_once_a_replica_has_the_job(make_client: MakeClient, pair: tuple[Server, Server]) -> None:
    primary, replica = pair
    job = make_client(primary.url).enqueue(SPEC, durable="replicated")
    with replica.client() as client:
        assert client.exists(f"heavylift:{{default}}:job:{job.id}")


def test_a_replica_that_does_not_answer_makes_it_unsure(make_client: MakeClient, pair: tuple[Server, Server]) -> None:
    primary, replica = pair
    client = make_client(primary.url, command_timeout=1.0)
    replica.pause()
    try:
        with pytest.raises(NotDurable, match="not known to be kept") as unsure:
            client.enqueue(SPEC, durable="replicated")
    finally:
        replica.resume()
    assert client.job(unsure.value.job.id).state() == "waiting"


def test_a_replica_that_is_gone_is_named_once_it_was_missed(
    make_client: MakeClient, pair: tuple[Server, Server]
) -> None:
    primary, replica = pair
    client = make_client(primary.url, command_timeout=2.0)
    client.enqueue(SPEC, durable="replicated")
    replica.close()
    wait_until("the primary knows", lambda: not _online(primary))
    with pytest.raises(NotDurable):
        client.enqueue(SPEC, durable="replicated")
    with pytest.raises(ServerUnsupported, match="none is connected"):
        client.enqueue(SPEC, durable="replicated")


def test_of_many_those_that_are_unsure_are_named(make_client: MakeClient, pair: tuple[Server, Server]) -> None:
    primary, replica = pair
    client = make_client(primary.url, command_timeout=1.0)
    replica.pause()
    try:
        with pytest.raises(NotDurable) as many:
            client.enqueue_many([SPEC, JobSpec("h", {}, queue="b")], durable="replicated")
    finally:
        replica.resume()
    assert (len(many.value.jobs), many.value.unsure) == (2, [0, 1])
    assert [client.job(job.id).state() for job in many.value.jobs] == ["waiting", "waiting"]
    wait_until("the replica has caught up", lambda: _is_kept(client), timeout=20)


def _is_kept(client: Any) -> bool:
    try:
        return bool(client.enqueue(SPEC, durable="replicated"))
    except NotDurable:
        return False


def test_many_producers_share_one_wait_and_hold_up_nobody_else(
    make_client: MakeClient, pair: tuple[Server, Server]
) -> None:
    """While one waits for the replica, which never answers, others gather to wait together; who need not is served."""
    primary, replica = pair
    client = make_client(primary.url, command_timeout=2.0)
    client.enqueue(SPEC, durable="replicated")
    before = _stat(primary, "WAIT")
    with ThreadPoolExecutor(41) as pool:
        replica.pause()
        try:
            slow = [pool.submit(client.enqueue, SPEC, durable="replicated")]
            wait_until("the first waits", lambda: _blocked(primary) == 1)
            slow += [pool.submit(client.enqueue, SPEC, durable="replicated") for _ in range(20)]
            fast = [pool.submit(client.enqueue, SPEC) for _ in range(20)]
            assert len({future.result(10).id for future in fast}) == 20
            for future in slow:
                with pytest.raises(NotDurable):
                    future.result(30)
        finally:
            replica.resume()
    assert _stat(primary, "WAIT") - before < 20


def test_a_handler_and_the_settings_can_ask_for_it(make_client: MakeClient, url: str) -> None:
    @handler(durable="fsync")
    def careful() -> None: ...

    with pytest.raises(ServerUnsupported):
        make_client(url).enqueue(careful.job())
    make_client(url).enqueue(careful.job(), durable="fast")
    with pytest.raises(ServerUnsupported):
        make_client(url, durable="replicated").enqueue(SPEC)
    with pytest.raises(InvalidArgument, match="durable"):
        make_client(url).enqueue(SPEC, durable="sure")
    with pytest.raises(InvalidArgument, match="durable"):
        make_client(url, durable="sure")


@pytest.mark.cluster
def test_a_cluster_is_refused_what_its_nodes_cannot_give(make_client: MakeClient, cluster: Any) -> None:
    client = make_client(cluster.url, cluster=True)
    with pytest.raises(ServerUnsupported, match="needs"):
        client.enqueue_many([JobSpec("h", {}, queue=f"q{n}") for n in range(10)], durable="replicated")
    assert client.queues() == []

"""A channel hears what is published once its subscription is confirmed, and notices when the other end is gone."""

from __future__ import annotations

import select
import socket
import threading

import pytest

from heavylift.errors import Unavailable
from heavylift.store.channel import Channel
from heavylift.store.connection import Connection, Target
from tests.fleets import Cluster
from tests.servers import Server, redis_binary
from tests.waiting import wait_until


def confirmed(channel: Channel) -> bool:
    return not channel.read() and channel.confirmed == channel.asked


def test_it_hears_by_name_and_by_pattern(connection: Connection) -> None:
    channel = Channel(connection.target)
    channel.subscribe(["one", "two"])
    channel.psubscribe(["p*"])
    wait_until("subscribed", lambda: confirmed(channel))
    for name in ("one", "two", "three", "part"):
        connection.command("PUBLISH", name, b"\x00" + name.encode())
    heard: list[tuple[str, bytes]] = []
    wait_until("three messages", lambda: heard.extend(channel.read()) or len(heard) == 3)
    assert heard == [("one", b"\x00one"), ("two", b"\x00two"), ("p*", b"\x00part")]
    channel.unsubscribe(["one"])
    channel.punsubscribe(["p*"])
    wait_until("unsubscribed", lambda: confirmed(channel))
    assert connection.command("PUBLISH", "one", "x") == 0
    channel.close()


def test_select_says_when_there_is_something_to_read(connection: Connection) -> None:
    channel = Channel(connection.target)
    channel.subscribe(["one"])
    wait_until("subscribed", lambda: confirmed(channel))
    assert select.select([channel.fileno()], [], [], 0)[0] == []
    connection.command("PUBLISH", "one", "x")
    assert select.select([channel.fileno()], [], [], 5)[0] == [channel.fileno()]
    assert channel.read() == [("one", b"x")]
    channel.close()


def test_a_large_burst_is_read_whole(connection: Connection) -> None:
    channel = Channel(connection.target)
    channel.subscribe(["one"])
    wait_until("subscribed", lambda: confirmed(channel))
    heard: list[tuple[str, bytes]] = []
    for n in range(200):
        connection.command("PUBLISH", "one", b"%d" % n * 1000)
    wait_until("all", lambda: heard.extend(channel.read()) or len(heard) == 200)
    assert [message for _, message in heard] == [b"%d" % n * 1000 for n in range(200)]
    channel.close()


def test_a_cut_connection_is_noticed(server: Server, connection: Connection) -> None:
    channel = Channel(connection.target)
    channel.subscribe(["one"])
    wait_until("subscribed", lambda: confirmed(channel))
    server.command("CLIENT", "KILL", "TYPE", "pubsub")
    with pytest.raises(Unavailable):
        wait_until("it notices", channel.read)
    channel.close()


def test_an_end_that_went_silent_is_noticed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def greet() -> None:
            peer, _ = listener.accept()
            while peer.recv(4096):  # answers the greeting, and nothing after it
                peer.sendall(b"+OK\r\n" * 5) if not greeted.is_set() else None
            peer.close()

        greeted = threading.Event()
        thread = threading.Thread(target=greet)
        thread.start()
        channel = Channel(Target.from_url(f"redis://127.0.0.1:{port}"), ping_after=0.1)
        channel.connect()
        greeted.set()
        with pytest.raises(Unavailable, match="ping"):
            wait_until("it notices", lambda: channel.read() and None)
        thread.join(5)


def test_a_quiet_connection_is_kept_by_pings(connection: Connection) -> None:
    channel = Channel(connection.target, ping_after=0.05)
    channel.subscribe(["one"])
    wait_until("subscribed", lambda: confirmed(channel))

    def pinged() -> bool:
        channel.read()
        return b"cmd=ping" in connection.command("CLIENT", "LIST", "TYPE", "pubsub")

    wait_until("it has asked", pinged)
    connection.command("PUBLISH", "one", "x")
    assert wait_until("it still hears", channel.read) == [("one", b"x")]
    channel.close()


def test_tls() -> None:
    with Server(redis_binary(), tls=True) as server:
        connection, channel = Connection(Target.from_url(server.url), name="test"), Channel(Target.from_url(server.url))
        channel.subscribe(["one"])
        wait_until("subscribed", lambda: confirmed(channel))
        connection.command("PUBLISH", "one", b"x" * 100_000)
        assert wait_until("a message", channel.read) == [("one", b"x" * 100_000)]
        channel.close()
        connection.close()


@pytest.mark.cluster
def test_in_a_cluster_any_node_will_do(cluster: Cluster) -> None:
    channel = Channel(Target.from_url(f"redis://127.0.0.1:1,127.0.0.1:{cluster.nodes[1].port}", cluster=True))
    channel.subscribe(["one"])
    wait_until("subscribed", lambda: confirmed(channel))
    cluster.nodes[2].command("PUBLISH", "one", "x")
    assert wait_until("a message of another node", channel.read) == [("one", b"x")]
    channel.close()

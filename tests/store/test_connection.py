"""What a connection does when something is wrong: with scripts, with the server, with the wire."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from heavylift.errors import InvalidArgument, PermissionMissing, StoreError, Unavailable
from heavylift.settings import Settings
from heavylift.store.call import Call
from heavylift.store.connection import Connection, Target
from heavylift.store.jobs import Jobs, NewJob
from tests.fleets import Sentinel
from tests.servers import Server, redis_binary
from tests.waiting import wait_until

JOBS = Jobs("heavylift")


def enqueue(id: str) -> Call[object]:
    return JOBS.enqueue("q", [NewJob(id, b"{}", "h")], f"n-{id}")


def names(server: Server) -> set[str]:
    with server.client() as client:
        return {entry["name"] for entry in client.client_list()}


def test_a_script_the_server_has_forgotten_is_loaded_and_only_its_calls_are_sent_again(
    server: Server, connection: Connection
) -> None:
    connection.ask(enqueue("a"))
    server.command("SCRIPT", "FLUSH")
    connection.command("CONFIG", "RESETSTAT")
    answers = connection.round_trip([JOBS.queues(), *(enqueue(id) for id in "bcd"), JOBS.counts("q")])
    assert [answer[0].duplicate for answer in answers[1:4]] == [False] * 3
    assert answers[4].waiting == 4
    stats = connection.command("INFO", "commandstats").decode()
    assert "cmdstat_smembers:calls=1," in stats
    assert "cmdstat_script|load:calls=2," in stats, "each script once, however many calls need it"


def test_scripts_forgotten_all_the_time_cost_no_error(server: Server, connection: Connection) -> None:
    stop = threading.Event()

    def forget() -> None:
        while not stop.is_set():
            server.command("SCRIPT", "FLUSH")

    thread = threading.Thread(target=forget)
    thread.start()
    try:
        for n in range(100):
            assert connection.ask(enqueue(f"{n}"))[0].duplicate is False  # type: ignore[index]
    finally:
        stop.set()
        thread.join()


def test_a_refused_call_does_not_take_its_neighbours_along(connection: Connection) -> None:
    bad: Call[object] = Call(("x",), ("HGET", "x"), lambda reply: reply)
    answers = connection.round_trip([enqueue("a"), bad, enqueue("b")])
    assert isinstance(answers[1], StoreError)
    assert [answers[0][0].id, answers[2][0].id] == ["a", "b"]


def test_a_reply_that_is_not_understood_is_an_error_of_that_call_alone(connection: Connection) -> None:
    odd: Call[int] = Call(("x",), ("PING",), int)
    answers = connection.round_trip([odd, enqueue("a")])
    assert isinstance(answers[0], StoreError)
    assert answers[1][0].id == "a"


def test_a_cut_connection_is_said_and_made_anew_at_the_next_use(server: Server, connection: Connection) -> None:
    connection.ask(enqueue("a"))
    with server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(Unavailable):
        connection.ask(enqueue("b"))
    connection.ask(enqueue("b"))
    assert connection.ask(JOBS.counts("q")).waiting == 2


def test_a_frozen_server_is_given_up_on_in_time(server: Server) -> None:
    impatient = Connection(Target.from_url(server.url, command_timeout=1.0), name="test")
    impatient.ask(enqueue("a"))
    server.pause()
    try:
        with pytest.raises(Unavailable, match="no answer in time"):
            impatient.ask(enqueue("b"))
    finally:
        server.resume()
    assert impatient.ask(enqueue("b"))[0].duplicate is False, "it ran when the server woke up, or now; not twice"  # type: ignore[index]
    impatient.close()


def test_every_connection_is_named_for_its_role(server: Server, connection: Connection) -> None:
    connection.connect()
    assert "heavylift:test" in names(server)
    connection.close()
    wait_until("it is gone", lambda: "heavylift:test" not in names(server))


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where connections are taken and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_somebody_who_never_greets_is_given_up_on(silent: int) -> None:
    target = Target.from_url(f"redis://127.0.0.1:{silent}", connect_timeout=0.2, command_timeout=0.2)
    with pytest.raises(Unavailable):
        Connection(target, name="test").connect()


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        Connection(Target.from_url("unix:///nowhere/socket"), name="test").connect()


def test_a_wrong_password_is_a_missing_permission_and_is_not_shown() -> None:
    with Server(config={"requirepass": "right"}) as server:
        good = Connection(Target.from_url(server.url), name="test")
        assert good.command("PING") == b"PONG"
        good.close()
        wrong = server.url.replace("right", "wr0ng")
        with pytest.raises(PermissionMissing) as refused:
            Connection(Target.from_url(wrong), name="test").connect()
        assert "wr0ng" not in str(refused.value) + repr(Target.from_url(wrong))


def test_a_user_without_the_right_is_told_which_one_is_missing(server: Server) -> None:
    with Server(tcp=True) as own:
        own.command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "&*", "+@read", "+client", "+select", "+ping")
        limited = Connection(Target.from_url(f"redis://reader:pw@127.0.0.1:{own.port}"), name="test")
        with pytest.raises(PermissionMissing, match="evalsha"):
            limited.ask(enqueue("a"))
        limited.close()


def test_tls() -> None:
    with Server(redis_binary(), tls=True) as server:
        connection = Connection(Target.from_url(server.url), name="test")
        assert connection.ask(enqueue("a"))[0].duplicate is False  # type: ignore[index]
        connection.close()


@pytest.mark.fault
def test_after_a_failover_the_new_primary_is_found() -> None:
    with Sentinel() as sentinel:
        target = Target.from_url(sentinel.url, sentinel=sentinel.name, connect_timeout=1, command_timeout=1)
        connection = Connection(target, name="test")
        connection.ask(enqueue("a"))
        sentinel.primary.kill9()

        def works() -> bool:
            try:
                return bool(connection.ask(enqueue("b")))
            except StoreError:
                return False

        wait_until("the new primary takes jobs", works, timeout=20)
        assert connection.target.primary()["port"] == sentinel.replica.port
        connection.close()


def test_a_server_that_became_a_replica_is_dropped(server: Server, connection: Connection) -> None:
    connection.ask(enqueue("a"))
    server.command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(Unavailable, match="READONLY"):
            connection.ask(enqueue("b"))
    finally:
        server.command("REPLICAOF", "NO", "ONE")
    connection.ask(enqueue("b"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h", "h:6379"),
        ("redis://user:secret@h:7000/3", "h:7000"),
        ("rediss://h:1", "h:1"),
        ("redis://a:1,b:2,[::1]:3", "a:1,b:2,::1:3"),
        ("unix:///tmp/s?db=2", "unix:///tmp/s"),
    ],
)
def test_urls(url: str, shown: str) -> None:
    assert str(Target.from_url(url)) == shown


def test_a_url_that_cannot_be_read_is_refused_without_showing_the_password() -> None:
    for url in ("http://user:secret@h", "redis://user:secret@h:port"):
        with pytest.raises(InvalidArgument) as refused:
            Target.from_url(url)
        assert "secret" not in str(refused.value)


def test_no_url_is_refused_with_the_remedy() -> None:
    with pytest.raises(InvalidArgument, match="embedded"):
        Target.from_settings(Settings())


def test_what_is_broken_off_between_sending_and_hearing_leaves_no_replies_behind(connection: Connection) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        connection.round_trip([enqueue("a"), JOBS.queues()], meanwhile=interrupted)
    assert connection.ask(JOBS.counts("q")).completed == 0, "the reply is that of this call"

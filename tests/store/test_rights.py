"""Rights are taken from users, and given to them, while their connections live.

Redis refuses one command of a script, and keeps what the script did before. So the scripts that the jobs of a queue
pass through tell before they write, and take no refusal for an answer about a job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from heavylift.decide import Settlement
from heavylift.errors import PermissionMissing
from heavylift.job import AttemptRecord, Reason, State
from heavylift.store.call import Call
from heavylift.store.connection import Connection, Target
from heavylift.store.jobs import Jobs, NewJob, ProgressItem, SettleItem
from heavylift.store.roles import rules
from heavylift.store.scripts import Scripts
from tests.servers import Server
from tests.waiting import wait_until

JOBS = Jobs("heavylift")
LATER = Jobs("heavylift", Scripts(offset_ms=100_000))
EVERYTHING = ("~*", "&*", "+@all")


@pytest.fixture
def user(server: Server) -> Iterator[Callable[..., Connection]]:
    """`user(*rules)`: the connection of a user with these rights, who knows by now what they are."""
    made: list[Connection] = []

    def make(*given: str) -> Connection:
        server.command("ACL", "SETUSER", "some", "reset", "on", ">pw", *given)
        made.append(Connection(Target.from_url(server.url.replace("://", "://some:pw@")), name="test"))
        made[-1].ask(JOBS.counts("other"))
        return made[-1]

    yield make
    for connection in made:
        connection.close()
    server.command("ACL", "DELUSER", "some")


def dump(server: Server) -> dict[bytes, bytes]:
    with server.client() as client:
        return {key: client.dump(key) for key in client.scan_iter()}


def settle(state: State, **more: Any) -> Call[Any]:
    record = AttemptRecord(1, "w", 1, 2, "completed")
    return JOBS.settle("q", "w", 9, [SettleItem("held", "w.1", Settlement(state, **more), record)])


def enqueue(id: str, **options: Any) -> Call[Any]:
    return JOBS.enqueue("q", [NewJob(id, b"{}", "h", **options)], id)


TELLING = {
    "enqueue": enqueue("new"),
    "enqueue delayed": enqueue("new", delay_ms=50_000),
    "enqueue with its own expiry": enqueue("new", expires_ms=50_000),
    "claim": JOBS.claim("q", "w", 9, 10, 30_000, 1000),
    "claim of what became due": LATER.claim("q", "w", 9, 10, 30_000, 1000),
    "settle as completed": settle(State.COMPLETED),
    "settle as failed": settle(State.FAILED, reason=Reason.EXHAUSTED),
    "settle for a retry": settle(State.DELAYED, delay=1.0),
    "settle as interrupted": settle(State.WAITING),
    "cancel": JOBS.cancel("q", "waiting"),
    "remove": JOBS.remove("q", "waiting"),
    "reschedule": JOBS.reschedule("q", "waiting", 50_000, relative=True, nonce="n"),
}


def fill(server: Server, own: Connection, limited: bool) -> None:
    """A job that is held, one that waits, one that is delayed; and nobody sleeps whom a new one would wake."""
    if limited:
        own.ask(JOBS.limit("q", 100, group="h"))
    own.ask(enqueue("held"))
    assert [job.id for job in own.ask(JOBS.claim("q", "w", 1, 1, 200_000, 0)).jobs] == ["held"]
    own.ask(enqueue("waiting"))
    own.ask(enqueue("delayed", delay_ms=50_000))
    server.command("DEL", JOBS.keys("q").idle)


@pytest.mark.parametrize("limited", [False, True], ids=["one line", "lines"])
@pytest.mark.parametrize("what", TELLING)
def test_whoever_may_tell_nobody_any_more_changes_nothing(
    server: Server, connection: Connection, user: Callable[..., Connection], what: str, limited: bool
) -> None:
    fill(server, connection, limited)
    some = user(*EVERYTHING)
    server.command("ACL", "SETUSER", "some", "resetchannels")
    before = dump(server)
    with pytest.raises(PermissionMissing, match=r"publish|channel"):
        some.ask(TELLING[what])
    assert dump(server) == before
    with pytest.raises(PermissionMissing, match="to PUBLISH to"):
        some.ask(TELLING[what])
    assert dump(server) == before


READING: dict[str, Call[Any]] = {
    "extend": JOBS.extend("q", [("held", "w.1")], 30_000),
    "progress": JOBS.progress("q", [ProgressItem("held", "w.1", b"1")]),
    "settle": settle(State.COMPLETED),
    "claim": JOBS.claim("q", "w", 9, 10, 30_000, 1000),
    "claim of what became due": LATER.claim("q", "w", 9, 10, 30_000, 1000),
    "takeover": Jobs("heavylift", Scripts(offset_ms=500_000)).takeover("q", "v", 1, 30_000, 10),
}


@pytest.mark.parametrize("limited", [False, True], ids=["one line", "lines"])
@pytest.mark.parametrize("what", READING)
def test_a_job_that_may_not_be_read_is_not_taken_for_one_that_is_gone_or_broken(
    server: Server, connection: Connection, user: Callable[..., Connection], what: str, limited: bool
) -> None:
    fill(server, connection, limited)
    some = user(*EVERYTHING)
    server.command("ACL", "SETUSER", "some", "-hmget")
    before = dump(server)
    for _ in range(2):
        with pytest.raises(PermissionMissing):
            some.ask(READING[what])
    assert dump(server) == before


@pytest.mark.parametrize("role", ["producer", "worker"])
def test_what_is_granted_is_noticed_by_a_connection_that_lives(
    server: Server, user: Callable[..., Connection], role: str
) -> None:
    given = rules(role, "heavylift")
    some = user("~*", "&*", "+@all", "-publish")
    call = {"producer": enqueue("new"), "worker": JOBS.claim("q", "w", 1, 1, 30_000, 0)}[role]
    with pytest.raises(PermissionMissing):
        some.ask(call)
    server.command("ACL", "SETUSER", "some", "resetkeys", "resetchannels", "nocommands", *given)

    def allowed() -> bool:
        try:
            some.ask(call)
        except PermissionMissing:
            return False
        return True

    wait_until("the right is seen", allowed)

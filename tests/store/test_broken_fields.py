"""Numbers in Redis that are none, and what is left of workers and jobs that are gone: nothing jams, nothing stays."""

from __future__ import annotations

import pytest

from heavylift.decide import Settlement
from heavylift.job import AttemptRecord, State
from heavylift.store.connection import Connection
from heavylift.store.jobs import Jobs, NewJob, SettleItem
from heavylift.store.scripts import Scripts
from tests.servers import Server
from tests.store import census

JOBS = Jobs("heavylift")
LATER = Jobs("heavylift", Scripts(offset_ms=100_000))
KEYS = JOBS.keys("q")
NUMBERS = ["many", "", "1.5", "nan", "9" * 40]
POLICY = {"keep_completed_ms": 10**7, "keep_failed_ms": 10**7, "most_completed": 10, "most_failed": 10}


def enqueue(connection: Connection, *ids: str, **options: object) -> None:
    connection.ask(JOBS.enqueue("q", [NewJob(id, b"{}", "h", **options) for id in ids], ids[0]))  # type: ignore[arg-type]


def check(server: Server) -> None:
    with server.client() as client:
        census.check(census.read(client, KEYS))


def claim(connection: Connection, number: int, verbs: Jobs = JOBS) -> list[str]:
    return [job.id for job in connection.ask(verbs.claim("q", "w", number, 10, 30_000, 1000)).jobs]


def settle(connection: Connection, number: int, token: str, settlement: Settlement, id: str = "a") -> None:
    record = AttemptRecord(1, "w", 1, 2, "error", message="x")
    assert connection.ask(JOBS.settle("q", "w", number, [SettleItem(id, token, settlement, record)])) == ["ok"]


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("field", ["expires", "starts", "attempts", "crashes", "interruptions", "unknown", "unbegun"])
def test_a_job_whose_numbers_are_none_is_a_dead_letter_and_its_neighbours_run(
    server: Server, connection: Connection, field: str, number: str, limited: bool
) -> None:
    if limited:
        connection.ask(JOBS.limit("q", 100, group="h"))
    enqueue(connection, "first", "bad", "last", expires_ms=60_000)
    if field != "expires":
        server.command("HSET", KEYS.job("bad"), "starts", "1")
    server.command("HSET", KEYS.job("bad"), field, number)
    assert claim(connection, 1) == ["first", "last"]
    stored = connection.ask(JOBS.raw("q", "bad"))
    assert (stored[b"state"], stored[b"reason"]) == (b"failed", b"malformed")
    assert stored[field.encode()] == number.encode(), "all of it is kept"
    check(server)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_keep_that_is_no_number_is_the_queues(server: Server, connection: Connection, number: str) -> None:
    enqueue(connection, "a", "b")
    for id in "ab":
        server.command("HSET", KEYS.job(id), "keep", number)
    server.command("HSET", KEYS.meta, "keep:completed", number, "keep:cancelled", number)
    connection.ask(JOBS.cancel("q", "b"))
    assert claim(connection, 1) == ["a"]
    settle(connection, 1, "w.1", Settlement(State.COMPLETED))
    connection.ask(JOBS.sweep("q", 10, **POLICY))
    check(server)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_settlement_and_a_takeover_put_up_with_numbers_that_are_none(
    server: Server, connection: Connection, number: str
) -> None:
    enqueue(connection, "a")
    assert claim(connection, 1) == ["a"]
    fields = ("starts", "attempts", "crashes", "interruptions", "unknown", "unbegun", "started_at", "prio", "rank")
    for field in fields:
        server.command("HSET", KEYS.job("a"), field, number)
    for _ in range(2):
        [job] = connection.ask(LATER.takeover("q", "w", 1, 30_000, 10))
        assert (job.id, job.counters.starts, job.started_at) == ("a", 0, 0)
    settle(connection, 1, job.token, Settlement(State.WAITING, count="attempts", keep_rank=True))
    assert connection.ask(JOBS.raw("q", "a"))[b"attempts"] == b"1"
    check(server)


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("number", NUMBERS)
def test_a_delayed_job_whose_numbers_are_none_is_promoted(
    server: Server, connection: Connection, number: str, by_hand: bool
) -> None:
    enqueue(connection, "a", "b", delay_ms=1000)
    server.command("HSET", KEYS.job("a"), "prio", number, "due", number)
    if by_hand:
        assert connection.ask(JOBS.promote("q", "a"))
    assert sorted(claim(connection, 1, LATER)) == ["a", "b"]


def test_a_sweep_forgets_idle_workers_that_never_came_back(server: Server, connection: Connection) -> None:
    for number in range(5):
        connection.ask(JOBS.claim("q", f"dead{number}", 1, 1, 30_000, 1000))
    connection.ask(LATER.claim("q", "alive", 1, 1, 30_000, 1000))
    connection.ask(LATER.sweep("q", 3, **POLICY))
    assert server.command("ZCARD", KEYS.idle) == 3, "no more than it may do at once"
    connection.ask(LATER.sweep("q", 3, **POLICY))
    assert server.command("ZRANGE", KEYS.idle, 0, -1) == [b"alive"]


@pytest.mark.parametrize("anew", ["waiting", "cancelled"])
def test_a_sweep_ends_though_ids_of_deleted_jobs_are_used_anew(
    server: Server, connection: Connection, anew: str
) -> None:
    ids = [f"{n}" for n in range(10)]
    enqueue(connection, *ids)
    for id in ids:
        if anew == "cancelled":
            connection.ask(JOBS.cancel("q", id))
        server.command("ZADD", KEYS.completed, 1, id)
    policy = POLICY | {"most_completed": 0} | ({"most_completed": 5} if anew == "cancelled" else {})
    replies = [connection.ask(JOBS.sweep("q", 5, **policy)) for _ in range(5)]
    assert not replies[-1].more
    assert server.command("ZCARD", KEYS.completed) == (0 if anew == "waiting" else 5)
    counts = connection.ask(JOBS.counts("q"))
    assert (counts.waiting, counts.cancelled) == ((10, 0) if anew == "waiting" else (0, 5))

"""Redis' clock was set back by an hour: what was to be over soon is over soon all the same."""

from __future__ import annotations

from heavylift.decide import Settlement
from heavylift.job import State
from heavylift.store.connection import Connection
from heavylift.store.jobs import Jobs, NewJob, SettleItem
from heavylift.store.scripts import Scripts
from tests.servers import Server

HOUR = 3_600_000
LEASE = 30_000
JOBS = Jobs()
KEYS = JOBS.keys("q")
POLICY = {"keep_completed_ms": HOUR, "keep_failed_ms": HOUR, "most_completed": 10_000, "most_failed": 10_000}


def back(seconds: int = 0) -> Jobs:
    """An hour before, and so many seconds later."""
    return Jobs("heavylift", Scripts(offset_ms=seconds * 1000 - HOUR))


def claim(connection: Connection, *ids: str) -> list[tuple[str, str]]:
    connection.ask(JOBS.enqueue("q", [NewJob(id, b"{}", "h") for id in ids], ids[0]))
    return [(job.id, job.token) for job in connection.ask(JOBS.claim("q", "w", 1, len(ids), LEASE, 1000)).jobs]


def test_the_lock_of_a_dead_worker_still_expires_within_its_life(connection: Connection) -> None:
    claim(connection, "a")
    connection.ask(JOBS.sweep("q", 25, **POLICY))
    connection.ask(back().sweep("q", 25, **POLICY))
    assert connection.ask(back(1).takeover("q", "other", 1, LEASE, 10)) == []
    assert [job.id for job in connection.ask(back(31).takeover("q", "other", 2, LEASE, 10))] == ["a"]


def test_a_lock_that_was_renewed_since_is_its_holders(connection: Connection) -> None:
    claimed = claim(connection, "a")
    connection.ask(JOBS.sweep("q", 25, **POLICY))
    connection.ask(back(25).extend("q", claimed, LEASE))
    connection.ask(back(26).sweep("q", 25, **POLICY))
    assert connection.ask(back(50).takeover("q", "other", 1, LEASE, 10)) == []


def test_a_rest_that_a_handler_asked_for_ends_when_it_would_have(connection: Connection) -> None:
    ((id, token),) = claim(connection, "a")
    rests = Settlement(State.DELAYED, delay=1.0, rest=20.0)
    connection.ask(JOBS.settle("q", "w", 2, [SettleItem(id, token, rests)]))
    connection.ask(JOBS.enqueue("q", [NewJob("b", b"{}", "h")], "b"))
    connection.ask(JOBS.sweep("q", 25, **POLICY))
    connection.ask(back().sweep("q", 25, **POLICY))
    assert connection.ask(back(10).claim("q", "w", 3, 1, LEASE, 1000)).jobs == []
    assert [job.id for job in connection.ask(back(21).claim("q", "w", 4, 1, LEASE, 1000)).jobs] == ["b"]


def test_many_entries_are_brought_forward_a_page_at_a_time_each_once(server: Server, connection: Connection) -> None:
    with server.client() as redis:
        now = int(redis.time()[0]) * 1000
        redis.zadd(KEYS.outbox, {f"job-{number}": now + 60_000 for number in range(1000)})
        redis.hset(KEYS.meta, "swept", now)
        pages = 1
        while connection.ask(back().sweep("q", 25, **POLICY)).more:
            pages += 1
        scores = {int(score) - now + HOUR for _, score in redis.zrange(KEYS.outbox, 0, -1, withscores=True)}
        redis.delete(KEYS.outbox)
    assert pages == 4
    assert max(scores) <= 60_000 + 10_000, "but for the time that passed between the pages"
    assert min(scores) >= 60_000 - 10_000


def test_a_due_time_of_day_is_waited_for(connection: Connection) -> None:
    connection.ask(JOBS.enqueue("q", [NewJob("a", b"{}", "h", delay_ms=10_000)], "a"))
    connection.ask(JOBS.sweep("q", 25, **POLICY))
    connection.ask(back().sweep("q", 25, **POLICY))
    assert connection.ask(back(20).claim("q", "w", 1, 1, LEASE, 1000)).jobs == []

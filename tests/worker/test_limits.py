"""What a worker says of its handlers' limits when it starts, and a handler that has its queue rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from heavylift import Client, Limit, Rate, Settings, handler
from heavylift.handler import Handler
from heavylift.job import State
from heavylift.registry import Registry
from heavylift.store.limiting import Limiting
from heavylift.worker.worker import Worker
from tests.servers import Server
from tests.waiting import wait_until
from tests.worker import handlers
from tests.worker.conftest import FAST, StartWorker, Store

ASKING: list[tuple[Handler[..., Any], str]] = [
    (handlers.asks_for_rest_here, "light"),
    (handlers.asks_for_rest_there, "heavy"),
]


@pytest.fixture
def client(any_server: Server) -> Iterator[Client]:
    with Client(any_server.url) as client:
        yield client


@contextmanager
def release(server: Server, *, url: str = "", **options: Any) -> Iterator[Worker]:
    """A worker whose handler `fetch` is declared with these options."""

    @handler(**options)
    def fetch(host: str = "a") -> None: ...

    worker = Worker(Settings.load(env={}, redis_url=url or server.url, **FAST), Registry([fetch]), modules=[])
    worker.start()
    yield worker
    assert worker.stop()


def started(server: Server, **options: Any) -> None:
    with release(server, **options):
        pass


def limits(client: Client) -> tuple[Limit, ...]:
    return client.limits("default").limits


# --- declarations ----------------------------------------------------------------------------------------


def test_a_worker_declares_the_limits_of_its_handlers_when_it_starts(any_server: Server, client: Client) -> None:
    with release(any_server, key=lambda host: host, concurrency=1, rate="5/s", group_concurrency=9):
        assert limits(client) == (
            Limit("fetch", False, 9, declared=True),
            Limit("fetch", True, 1, Rate(5, 1), declared=True),
        )


def test_a_handler_without_limits_leaves_its_queue_on_the_fast_path(any_server: Server, store: Store) -> None:
    with release(any_server, group="web", key=lambda host: host):
        meta = store.connection.command("HGETALL", store.jobs.keys("default").meta)
        assert not {b"mode", b"limits"} & set(meta)


def test_what_was_set_by_hand_stays_until_the_code_says_something_else(any_server: Server, client: Client) -> None:
    started(any_server, concurrency=2)
    client.limit("default", group="fetch", concurrency=7)
    started(any_server, concurrency=2)
    assert limits(client) == (Limit("fetch", False, 7),)
    started(any_server, concurrency=3)
    assert limits(client) == (Limit("fetch", False, 3, declared=True),)


def test_a_limit_that_the_code_does_not_declare_any_more_is_lifted(any_server: Server, client: Client) -> None:
    started(any_server, concurrency=2)
    started(any_server)
    assert limits(client) == ()
    client.limit("default", group="fetch", concurrency=7)
    started(any_server)
    assert limits(client) == (Limit("fetch", False, 7),), "by hand, where the code never says anything"


def test_what_redis_has_forgotten_is_said_again_by_each_worker_and_once(any_server: Server, client: Client) -> None:
    """Else jobs would go on without limits, and no schedule would tick, until a worker is started."""
    declared = {"concurrency": 2, "schedule": "@yearly"}
    with release(any_server, **declared) as one, release(any_server, **declared) as other:

        def said() -> tuple[Any, ...]:
            return limits(client), [schedule.name for schedule in client.schedules("default")]

        before = wait_until("all is there", lambda: said() if said()[1] else None)
        for times in (1, 2):
            any_server.command("FLUSHALL")
            wait_until("all is there again", lambda: said() == before)
            wait_until("both have noticed", lambda: [it.announcing.forgotten for it in (one, other)] == [times] * 2)  # noqa: B023
        assert client.queues() == ["default"]


def test_what_redis_refused_is_said_again_once_it_is_allowed(any_server: Server, client: Client) -> None:
    any_server.command("ACL", "SETUSER", "some", "reset", "on", ">pw", "~*", "&*", "+@all", "-publish")
    url = any_server.url.replace("://", "://some:pw@")
    try:
        with release(any_server, url=url, concurrency=2, schedule="@yearly") as worker:
            wait_until("it was refused", lambda: worker.announcing._refused.get("default"))
            assert limits(client) == ()
            any_server.command("ACL", "SETUSER", "some", "+publish")
            wait_until("the limit is there", lambda: limits(client) == (Limit("fetch", False, 2, declared=True),))
            wait_until("the schedule is there", lambda: client.schedules("default"))
    finally:
        any_server.command("ACL", "DELUSER", "some")


def test_it_is_said_again_to_a_redis_that_came_back_with_older_data(any_server: Server, client: Client) -> None:
    """Of before the limit was declared: the last sweep that it knows of is older than one that went through."""
    with release(any_server, concurrency=2) as worker, any_server.client() as redis:
        before = limits(client)
        meta = worker.jobs.keys("default").meta
        wait_until("a sweep is noted", lambda: worker.janitor._noted.get("default"))
        redis.hdel(meta, "limit:fetch", "declared:fetch", "limits", "mode")
        redis.hset(meta, "swept", 1)
        wait_until("it is noticed", lambda: worker.announcing.forgotten == 1)
        assert limits(client) == before


def test_of_two_releases_the_last_to_start_decides_and_the_other_does_not_take_it_back(
    any_server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Limit] = []
    declare = Limiting.declare
    monkeypatch.setattr(
        Limiting, "declare", lambda self, queue, limit: said.append(limit) or declare(self, queue, limit)
    )
    with release(any_server, concurrency=2), release(any_server, concurrency=5):
        assert [limit.concurrency for limit in said if not limit.per_key] == [2, 5], "each says it once"
        assert limits(client) == (Limit("fetch", False, 5, declared=True),)


# --- a queue that rests ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("asking", "queue"), ASKING, ids=["io", "cpu"])
def test_a_handler_has_its_whole_queue_rest_and_uses_no_attempt(
    start_worker: StartWorker, store: Store, client: Client, asking: Any, queue: str
) -> None:
    start_worker(queues={queue: 1})
    first = store.enqueue(asking.job(1.5), queue=queue)
    wait_until("the queue rests", lambda: store.connection.ask(store.jobs.counts(queue)).held_ms)
    second = store.enqueue(asking.job(0.01), queue=queue)
    assert store.state(second, queue) == State.WAITING
    ended = store.ended(first, queue)
    assert (ended.result, ended.counters.attempts, ended.counters.starts) == ("done", 0, 2)
    told, done = ended.attempts
    assert done.started_at - told.started_at >= 1500
    assert store.ended(second, queue).attempts[0].started_at - told.started_at >= 500


@pytest.mark.parametrize(("asking", "queue"), ASKING, ids=["io", "cpu"])
def test_a_rest_is_ended_by_hand(
    start_worker: StartWorker, store: Store, client: Client, asking: Any, queue: str
) -> None:
    start_worker(queues={queue: 1})
    job = store.enqueue(asking.job(600), queue=queue)
    wait_until("the queue rests", lambda: store.connection.ask(store.jobs.counts(queue)).held_ms)
    client.resume(queue)
    assert store.ended(job, queue).result == "done"

"""Schedules with real workers: one job for a tick, however many workers look, and whatever they missed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from heavylift import Client, Cron, Every, Schedule, State, handler
from heavylift.registry import Registry
from heavylift.request import Requests
from heavylift.settings import Settings
from heavylift.store.connection import Connection
from heavylift.store.jobs import Jobs
from heavylift.store.target import Target
from heavylift.worker.contact import Contact
from heavylift.worker.scheduler import Scheduler
from tests.servers import Server
from tests.waiting import wait_until
from tests.worker import handlers
from tests.worker.conftest import StartWorker

NAMES = "heavylift:{light}:schedules"


@pytest.fixture
def client(any_server: Server) -> Iterator[Client]:
    with Client(settings=Settings.load(env={}, redis_url=any_server.url)) as client:
        yield client


def made(server: Server) -> list[str]:
    """Ids of all jobs, in the order of their ticks."""
    with server.client() as redis:
        return sorted(key.decode().partition(":job:")[2] for key in redis.scan_iter("*:job:*"))


def test_each_tick_is_one_job_though_three_workers_look(
    client: Client, start_worker: StartWorker, any_server: Server
) -> None:
    for _ in range(3):
        start_worker(poll=1)
    client.schedule("beat", handlers.when.job(), Every(seconds=1))
    wait_until("three ticks", lambda: len(made(any_server)) >= 3, timeout=10)
    client.unschedule("beat")
    ids = made(any_server)
    ticks = [int(id.removeprefix("beat@")) for id in ids]
    assert ticks == list(range(ticks[0], ticks[0] + 1000 * len(ticks), 1000)), "every second, each once"
    for id, tick in zip(ids, ticks, strict=True):
        job = client.job(id)
        assert job.result(timeout=10) == tick / 1000, "its handler can tell which tick it is for"
        assert job.record().counters.starts == 1


def test_what_was_missed_is_made_up_for_once_or_not_at_all(
    client: Client, start_worker: StartWorker, any_server: Server
) -> None:
    """Two months without workers, of a schedule that ticks every ten days."""
    for name, catch_up in (("once", "once"), ("skip", "skip")):
        client.schedule(name, handlers.echo.job(1), Every(days=10), catch_up=catch_up)  # type: ignore[arg-type]
    (one, other) = client.schedules("light")
    due = one.upcoming[0]
    period = 10 * 86_400_000
    long_ago = int(due.timestamp() * 1000) - 6 * period
    with any_server.client() as redis:
        redis.zadd(NAMES, {"once": long_ago, "skip": long_ago})
    start_worker(poll=1)

    def caught_up() -> Any:
        return [(at.fired, at.skipped) for at in client.schedules("light")] == [(1, 0), (0, 1)]

    wait_until("both have gone on", caught_up, timeout=20)
    (one, other) = client.schedules("light")
    assert one.upcoming[0] == other.upcoming[0] == due
    assert made(any_server) == [f"once@{int(due.timestamp() * 1000) - period}"], "the latest of those missed"


def test_a_tick_is_left_out_while_the_job_of_the_one_before_goes_on(
    client: Client, start_worker: StartWorker, any_server: Server
) -> None:
    start_worker(poll=1)
    client.schedule("alone", handlers.wait_for.job("alone"), Every(seconds=1), overlap=False)
    wait_until("ticks were left out", lambda: client.schedules("light")[0].skipped >= 2, timeout=10)
    assert len(made(any_server)) == 1
    handlers.gates["alone"].set()
    wait_until("it goes on", lambda: client.schedules("light")[0].fired >= 2, timeout=10)


def test_a_paused_schedule_makes_no_job_but_one_that_is_asked_for(
    client: Client, start_worker: StartWorker, any_server: Server
) -> None:
    start_worker(poll=1)
    client.schedule("rare", handlers.echo.job(3), "@yearly")
    assert client.pause_schedule("rare")
    assert client.schedules()[0].upcoming == ()
    job = client.run_schedule("rare")
    assert job.result(timeout=10) == 3
    assert job.id.startswith("rare@run.")
    assert client.resume_schedule("rare")
    assert client.schedules()[0].upcoming[0] > datetime.now(UTC)
    assert made(any_server) == [job.id]


def test_one_that_cannot_be_read_does_not_keep_the_others(
    client: Client, start_worker: StartWorker, any_server: Server
) -> None:
    client.schedule("broken", handlers.echo.job(1), Every(seconds=1))
    client.schedule("whole", handlers.echo.job(2), Every(seconds=1))
    with any_server.client() as redis:
        redis.hset("heavylift:{light}:schedule:broken", "times", "nonsense")
    start_worker(poll=1)
    wait_until("the other is fired", lambda: any("whole@" in id for id in made(any_server)), timeout=10)


def test_one_that_cannot_be_read_does_not_put_off_the_next_look(client: Client, any_server: Server) -> None:
    """It stays due for ever; the others are still looked at when they tick, and not at the pace of `poll`."""
    client.schedule("broken", handlers.echo.job(1), Every(hours=1))
    client.schedule("whole", handlers.echo.job(2), Every(hours=1))
    with any_server.client() as redis:
        redis.hset("heavylift:{light}:schedule:broken", "times", "nonsense")
        redis.zadd(NAMES, {"broken": 1})
    connection = Connection(Target.from_url(any_server.url), name="scheduler")
    contact = Contact("scheduler", lambda role: connection)
    scheduler = Scheduler(Jobs(), contact, Registry(), queues=["light"], requests=Requests(1 << 18), poll=7200.0)
    first, second = scheduler.round(), scheduler.round()
    contact.close()
    assert first == 0.0, "what is due behind it"
    assert 0 < second <= 3601


@pytest.mark.parametrize("damage", ["not decoded", "of another type"])
def test_however_many_cannot_be_read_the_others_are_fired(client: Client, any_server: Server, damage: str) -> None:
    """One look reads a hundred; two hundred and fifty that stay due stand before the one that is whole."""
    client.schedule("whole", handlers.echo.job(2), Every(hours=1))
    with any_server.client() as redis, redis.pipeline() as pipeline:
        for number in range(250):
            key = f"heavylift:{{light}}:schedule:broken{number}"
            pipeline.hset(key, "times", "nonsense") if damage == "not decoded" else pipeline.set(key, "nonsense")
            pipeline.zadd(NAMES, {f"broken{number}": 1})
        pipeline.zadd(NAMES, {"whole": 2})
        pipeline.execute()
    connection = Connection(Target.from_url(any_server.url), name="scheduler")
    contact = Contact("scheduler", lambda role: connection)
    scheduler = Scheduler(Jobs(), contact, Registry(), queues=["light"], requests=Requests(1 << 18), poll=7200.0)
    pauses = []
    while not pauses or not pauses[-1]:
        pauses.append(scheduler.round())
    assert len(pauses) <= 6, "the look is bounded: those that are read once are passed over"
    assert [id.partition("@")[0] for id in made(any_server)] == ["whole"]
    if damage == "of another type":
        assert [one.name for one in client.schedules("light") if not one.unreadable] == ["whole"]
    contact.close()


def test_a_paused_queue_gets_its_ticks_and_runs_them_later(client: Client, start_worker: StartWorker) -> None:
    client.pause("light")
    start_worker(poll=1)
    client.schedule("held", handlers.echo.job(1), Every(seconds=1))
    held = wait_until("a tick", lambda: client.schedules()[0].last, timeout=10)
    client.unschedule("held")
    assert client.job(held).state() is State.WAITING
    client.resume("light")
    assert client.job(held).result(timeout=10) == 1


# --- declared by handlers ----------------------------------------------------------------------------------


def declare(**options: Any) -> Any:
    def report(kind: str = "short") -> str:
        return kind

    return handler(queue="light", **options)(report)


def at_start(server: Server, client: Client, *declared: Any) -> list[tuple[str, str, bool]]:
    """The schedules that are there once a worker with these handlers has looked: name, arguments, paused."""
    connection = Connection(Target.from_url(server.url), name="scheduler")
    contact = Contact("scheduler", lambda role: connection)
    scheduler = Scheduler(Jobs(), contact, Registry(declared), queues=["light"], requests=Requests(1 << 18), poll=5.0)
    scheduler.round()
    contact.close()
    return [(found.name, str(found.args.get("kind", "")), found.paused) for found in client.schedules("light")]


def test_what_handlers_declare_is_there_once_a_worker_has_started_and_gone_with_the_code(
    client: Client, any_server: Server
) -> None:
    nightly = declare(schedule="0 3 * * *")
    both = declare(
        schedule=[Cron("0 3 * * *"), Schedule(times="@weekly", name="weekly", args={"kind": "long"})],
    )
    assert at_start(any_server, client, nightly) == [("report", "", False)]
    assert at_start(any_server, client, both) == [("report", "", False), ("weekly", "long", False)]
    client.schedule("by-hand", nightly.job(), "@hourly")
    client.pause_schedule("report")
    again = at_start(any_server, client, both)
    assert again == [("by-hand", "", False), ("report", "", True), ("weekly", "long", False)], "still paused"
    assert at_start(any_server, client, declare()) == [("by-hand", "", False)]


def test_what_is_set_by_hand_stays_until_the_code_says_something_else(client: Client, any_server: Server) -> None:
    nightly = declare(schedule=Schedule(times="0 3 * * *", args={"kind": "code"}))
    at_start(any_server, client, nightly)
    client.schedule("report", nightly.job("hand"), "0 4 * * *")
    assert at_start(any_server, client, nightly) == [("report", "hand", False)]
    changed = declare(schedule=Schedule(times="0 5 * * *", args={"kind": "new code"}))
    assert at_start(any_server, client, changed) == [("report", "new code", False)]


def test_a_schedule_of_a_handler_that_this_worker_does_not_know_is_left_alone(
    client: Client, any_server: Server
) -> None:
    at_start(any_server, client, declare(schedule="@daily"))
    assert [name for name, _, _ in at_start(any_server, client, declare(name="another"))] == ["report"]


def test_a_worker_that_comes_up_keeps_the_next_tick(client: Client, any_server: Server) -> None:
    hourly = declare(schedule="@hourly")
    at_start(any_server, client, hourly)
    before = client.schedules("light")[0].upcoming
    at_start(any_server, client, hourly)
    assert client.schedules("light")[0].upcoming == before

"""Schedules by client, in both shells: written, listed, changed, refused."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heavylift import Client, Cron, Every, JobSpec, ScheduleChanging, ScheduleNotFound, Secret, handler
from heavylift.client.plan import Ask, Running
from heavylift.errors import InvalidArgument
from heavylift.store.connection import Connection, Target
from tests.client.conftest import settings
from tests.servers import Server

LOGIN = JobSpec("login", {"user": "ann"}, queue="light")


@handler(queue="light")
def sign_in(user: str, password: Secret[str]) -> None: ...


def test_a_schedule_is_listed_as_it_was_written_with_its_next_ticks(client: Any) -> None:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=400)
    times = Cron("0 3 * * *", tz="Europe/Berlin")
    record = client.schedule(
        "nightly", sign_in.job("ann", "hidden"), times, catch_up="skip", overlap=False, start=start, tags=["night"]
    )
    assert client.schedules() == [record] == client.schedules("light")
    assert (record.name, record.queue, record.handler, record.times) == ("nightly", "light", "sign_in", times)
    assert (record.catch_up, record.overlap, record.start, record.end) == ("skip", False, start, None)
    assert (record.paused, record.declared, record.last, record.fired, record.skipped) == (False, False, None, 0, 0)
    assert len(record.upcoming) == 3
    assert all(tick >= start for tick in record.upcoming)
    assert record.args["user"] == "ann"
    assert "hidden" not in str(record)


def test_a_change_keeps_the_pause_and_other_times_bring_other_ticks(client: Any) -> None:
    first = client.schedule("s", LOGIN, "@daily")
    assert client.pause_schedule("s") is True
    assert client.pause_schedule("s") is False
    changed = client.schedule("s", LOGIN, Every(hours=1))
    assert changed.paused
    assert changed.upcoming == ()
    assert client.resume_schedule("s") is True
    assert client.resume_schedule("s") is False
    (resumed,) = client.schedules()
    assert resumed.upcoming[1] - resumed.upcoming[0] == timedelta(hours=1)
    assert resumed.upcoming != first.upcoming


def test_a_schedule_that_others_change_all_the_time_is_said_to_be_there(url: str) -> None:
    with (
        Client(settings=settings(url)) as client,
        closing(Connection(Target.from_url(url), name="other")) as connection,
    ):
        client.schedule("s", LOGIN, "@daily")
        client.pause_schedule("s")

        def resume() -> None:
            going = Running(client.scheduling.resume("s", None))
            while isinstance(going.step, Ask):
                going.answer(connection.round_trip(going.step.calls))
                client.schedule("s", LOGIN, "@daily")

        with pytest.raises(ScheduleChanging, match="resume it once they are done"):
            resume()
        assert client.schedules()[0].paused


def test_a_deleted_schedule_is_gone(client: Any) -> None:
    client.schedule("s", LOGIN, "every 5 minutes")
    assert client.unschedule("s") is True
    assert client.unschedule("s") is False
    assert client.schedules() == []
    for verb in (client.pause_schedule, client.resume_schedule, client.run_schedule):
        with pytest.raises(ScheduleNotFound, match="no schedule s"):
            verb("s")


def test_which_of_two_queues_is_meant_must_be_said(client: Any) -> None:
    client.schedule("s", LOGIN, "@daily")
    client.schedule("s", LOGIN, "@daily", queue="other")
    with pytest.raises(InvalidArgument, match="light, other"):
        client.pause_schedule("s")
    assert client.pause_schedule("s", queue="other")
    assert [(one.queue, one.paused) for one in client.schedules()] == [("light", False), ("other", True)]


@pytest.mark.parametrize(
    ("times", "why"),
    [
        (b"nonsense", "malformed"),
        (b'{"times": {"kind": "tides", "port": "Dover"}}', "tides"),
        (b'{"times": {"kind": "cron", "expression": "@daily", "tz": "Mars/Olympus"}}', "Mars/Olympus"),
    ],
)
def test_one_that_cannot_be_read_is_listed_as_such_beside_the_others(
    client: Any, any_server: Server, times: bytes, why: str
) -> None:
    whole = client.schedule("whole", LOGIN, "@daily")
    client.schedule("broken", LOGIN, "@hourly")
    with any_server.client() as redis:
        redis.hset("heavylift:{light}:schedule:broken", "times", times)
    broken, other = client.schedules()
    assert other == whole
    assert (broken.name, broken.queue, broken.handler) == ("broken", "light", "login")
    assert (broken.times, broken.upcoming, broken.args) == (None, (), {"user": "ann"})
    assert why in broken.unreadable
    assert client.pause_schedule("broken")
    assert client.schedules()[0].paused
    with pytest.raises(InvalidArgument, match="write it anew"):
        client.resume_schedule("broken")
    assert client.schedule("broken", LOGIN, "@hourly").unreadable == ""
    assert client.unschedule("broken") is True
    assert client.schedules() == [whole]


@pytest.mark.parametrize("damage", ["gone", "of another type"])
def test_one_of_which_nothing_but_the_name_is_left_is_listed_and_can_be_deleted(
    client: Any, any_server: Server, damage: str
) -> None:
    whole = client.schedule("whole", LOGIN, "@daily")
    client.schedule("broken", LOGIN, "@hourly")
    with any_server.client() as redis:
        redis.delete("heavylift:{light}:schedule:broken")
        if damage == "of another type":
            redis.set("heavylift:{light}:schedule:broken", "nonsense")
    broken, other = client.schedules()
    assert other == whole
    assert (broken.name, broken.handler, bool(broken.unreadable)) == ("broken", "", True)
    client.unschedule("broken")
    assert client.schedules() == [whole]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"name": "two words"}, "name"),
        ({"times": "tomorrow"}, "expression"),
        ({"start": datetime(2030, 1, 1)}, "start"),
        ({"end": datetime(2020, 1, 1, tzinfo=UTC)}, "end"),
        ({"catch_up": "twice"}, "catch_up"),
        ({"id": "mine"}, "id"),
        ({"delay": 5}, "delay"),
        ({"durable": "fsync"}, "durable"),
        ({"queue": "no queue"}, "queue"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(client: Any, said: dict[str, Any], field: str) -> None:
    given = {"name": "s", "job": LOGIN, "times": "@daily"} | said
    with pytest.raises(InvalidArgument) as wrong:
        client.schedule(given.pop("name"), given.pop("job"), given.pop("times"), **given)
    assert wrong.value.field == field
    assert client.schedules() == []

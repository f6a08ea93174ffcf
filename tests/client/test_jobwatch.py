"""What watchers are told, as a table of what is read and heard. No server, no clock."""

from __future__ import annotations

from typing import Any

import pytest

from heavylift.client.jobwatch import JobWatch
from heavylift.errors import JobNotFound
from heavylift.event import Event, Kind
from heavylift.job import Counters, JobRecord, Progress, State


def record(state: State, **about: Any) -> JobRecord:
    """A job enqueued at 10."""
    return JobRecord("j", "q", state, "h", None, None, 0, Counters(), enqueued_at=10, **about)


WAITING = record(State.WAITING)
ACTIVE = record(State.ACTIVE, started_at=20, worker="w")
HALFWAY = record(State.ACTIVE, started_at=20, worker="w", progress=Progress(0.5))
DELAYED = record(State.DELAYED, started_at=20, due_at=99)
COMPLETED = record(State.COMPLETED, started_at=20, finished_at=30)
FAILED = record(State.FAILED, started_at=20, finished_at=30, reason="exhausted")


def event(kind: Kind, at: int, **about: Any) -> Event:
    return Event(kind, "j", "q", at, **about)


def told(*seen: JobRecord | Event | None) -> list[str]:
    """The kinds of all that is told when these are read (records, None) and heard (events), in this order."""
    watch = JobWatch("q", "j")
    found: list[Event] = []
    for item in seen:
        found += watch.heard(item) if isinstance(item, Event) else watch.read(item)
    return [str(one.event.value) for one in found]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        # A read tells where the job is, once.
        ([WAITING], ["waiting"]),
        ([WAITING, WAITING], ["waiting"]),
        ([HALFWAY], ["active", "progress"]),
        ([HALFWAY, HALFWAY], ["active", "progress"]),
        ([COMPLETED], ["completed"]),
        # Then the messages go on from there.
        ([WAITING, event(Kind.ACTIVE, 20), event(Kind.COMPLETED, 30)], ["waiting", "active", "completed"]),
        # A message about what has been read already is old news, however late.
        ([ACTIVE, event(Kind.WAITING, 10), event(Kind.ACTIVE, 20)], ["active"]),
        ([WAITING, event(Kind.WAITING, 10)], ["waiting"]),
        ([DELAYED, event(Kind.ACTIVE, 20), event(Kind.DELAYED, 25)], ["delayed"]),
        # A read tells what no message has told: messages were lost.
        ([WAITING, ACTIVE], ["waiting", "active"]),
        ([WAITING, COMPLETED], ["waiting", "completed"]),
        ([ACTIVE, record(State.ACTIVE, started_at=50)], ["active", "active"]),
        # and nothing that a message has told.
        ([WAITING, event(Kind.ACTIVE, 20), ACTIVE], ["waiting", "active"]),
        ([ACTIVE, event(Kind.COMPLETED, 30), COMPLETED], ["active", "completed"]),
        # Several changes within a millisecond are all told.
        ([WAITING, event(Kind.ACTIVE, 10), event(Kind.COMPLETED, 10)], ["waiting", "active", "completed"]),
        # Progress: each value once, none from before, the last one to whoever comes late.
        ([HALFWAY, event(Kind.PROGRESS, 25, progress=Progress(0.5))], ["active", "progress"]),
        ([HALFWAY, event(Kind.PROGRESS, 26, progress=Progress(0.6))], ["active", "progress", "progress"]),
        ([ACTIVE, event(Kind.PROGRESS, 15, progress=Progress(0.9))], ["active"]),
        ([COMPLETED, event(Kind.PROGRESS, 31, progress=Progress(0.9))], ["completed"]),
        # After the end there is nothing.
        ([FAILED, event(Kind.WAITING, 40)], ["failed"]),
        ([FAILED, None], ["failed"]),
        # Known and gone means ended.
        ([WAITING, None], ["waiting", "removed"]),
        ([WAITING, None, None], ["waiting", "removed"]),
        ([WAITING, event(Kind.REMOVED, 20)], ["waiting", "removed"]),
        ([event(Kind.ACTIVE, 20), None], ["active", "removed"]),
        # A stalled job is told as such; its state is whatever comes next.
        ([ACTIVE, event(Kind.STALLED, 50), event(Kind.ACTIVE, 51)], ["active", "stalled", "active"]),
    ],
)
def test_each_state_is_told_once_in_order(seen: list[Any], expected: list[str]) -> None:
    assert told(*seen) == expected


def test_an_end_ends_the_watch() -> None:
    for last in (COMPLETED, FAILED, record(State.CANCELLED, finished_at=30)):
        watch = JobWatch("q", "j")
        assert not watch.ended
        watch.read(last)
        assert watch.ended


def test_a_job_that_was_never_there_is_not_found() -> None:
    with pytest.raises(JobNotFound):
        JobWatch("q", "j").read(None)


def test_what_is_told_of_a_read_says_why_and_when() -> None:
    (failed,) = JobWatch("q", "j").read(FAILED)
    assert (failed.detail, failed.at) == ("exhausted", 30)
    (delayed,) = JobWatch("q", "j").read(DELAYED)
    assert delayed.due == 99
    (active,) = JobWatch("q", "j").read(ACTIVE)
    assert (active.detail, active.at) == ("w", 20)

"""Schedules as values: what a late tick comes to, and what cannot be meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heavylift import Cron, Every, HandlerError, Schedule, handler
from heavylift.codec import stamped
from heavylift.errors import InvalidArgument, InvalidJob
from heavylift.registry import Registry
from heavylift.schedule import ON_TIME, Ticks, Turn, next_turn

MINUTE = 60_000
EVERY_MINUTE = Ticks(Every(minutes=1))


@pytest.mark.parametrize(
    ("late", "catch_up", "turn"),
    [
        (0, "skip", Turn(10 * MINUTE, 11 * MINUTE)),
        (ON_TIME, "skip", Turn(10 * MINUTE, 11 * MINUTE)),
        (30_000, "once", Turn(10 * MINUTE, 11 * MINUTE)),
        (30_000, "skip", Turn(None, 11 * MINUTE)),
        (10 * MINUTE + 30_000, "once", Turn(20 * MINUTE, 21 * MINUTE)),
        (10 * MINUTE + 30_000, "skip", Turn(None, 21 * MINUTE)),
        (10 * MINUTE + 1, "skip", Turn(20 * MINUTE, 21 * MINUTE)),
    ],
)
def test_a_late_tick_is_fired_made_up_for_or_left_out(late: int, catch_up: Any, turn: Turn) -> None:
    assert next_turn(EVERY_MINUTE, 10 * MINUTE, 10 * MINUTE + late, catch_up) == turn


@given(st.integers(1, 10**6), st.integers(0, 10**7), st.sampled_from(["once", "skip"]))
def test_a_schedule_always_goes_on_and_never_fires_what_is_to_come(seconds: int, late: int, catch_up: Any) -> None:
    ticks = Ticks(Every(seconds=seconds))
    due = ticks.times.latest(1_800_000_000_000)
    assert due is not None
    turn = next_turn(ticks, due, due + late, catch_up)
    assert turn.next is not None
    assert turn.next > due
    assert turn.fire is None or due <= turn.fire <= due + late
    assert turn.next == ticks.after(turn.fire if turn.fire is not None else due + late)


def test_no_tick_is_before_the_start_or_after_the_end() -> None:
    ticks = Ticks(Every(minutes=1), start=5 * MINUTE, end=7 * MINUTE)
    assert ticks.after(0) == 5 * MINUTE
    assert ticks.ahead(0, 10) == [5 * MINUTE, 6 * MINUTE, 7 * MINUTE]
    assert ticks.after(7 * MINUTE) is None
    assert ticks.latest(100 * MINUTE) == 7 * MINUTE
    assert ticks.latest(4 * MINUTE) is None
    assert next_turn(ticks, 7 * MINUTE, 7 * MINUTE, "once") == Turn(7 * MINUTE, None)


def test_an_envelope_gets_another_time_and_keeps_what_is_not_known_here() -> None:
    assert stamped(b'{"handler":"h","enqueued_at":1,"later":{"a":[1]}}', 5) == (
        b'{"handler":"h","enqueued_at":5,"later":{"a":[1]}}'
    )
    with pytest.raises(InvalidJob):
        stamped(b"[1]", 5)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("every tuesday", "every tuesday"),
        ("61 * * * *", "61"),
        (3, "schedule"),
        (["@daily", "@hourly"], "give one a name="),
        (Schedule(times="@daily", args={"width": "wide"}), "width"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_when_it_is_declared(schedule: Any, said: str) -> None:
    with pytest.raises(HandlerError, match=said):

        @handler(schedule=schedule)
        def resize(width: int = 1) -> None: ...


def test_a_handler_that_needs_arguments_needs_them_from_its_schedule() -> None:
    with pytest.raises(HandlerError, match="width"):

        @handler(schedule="@daily")
        def resize(width: int) -> None: ...


def test_two_handlers_of_a_queue_cannot_have_schedules_of_one_name() -> None:
    @handler(schedule=Schedule(times="@daily", name="nightly"))
    def one() -> None: ...

    @handler(schedule=Schedule(times="@daily", name="nightly"))
    def two() -> None: ...

    with pytest.raises(HandlerError, match="nightly"):
        Registry([one, two])


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"times": "never"}, "expression"),
        ({"times": Cron("@daily"), "catch_up": "all"}, "catch_up"),
        ({"times": "@daily", "overlap": 1}, "overlap"),
        ({"times": "@daily", "name": "no spaces"}, "name"),
        ({"times": "@daily", "args": [1]}, "args"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(options: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as wrong:
        Schedule(**options)
    assert wrong.value.field == field

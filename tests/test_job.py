"""Jobs as values: options that cannot be meant are refused by name; ids sort by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heavylift.duration import seconds
from heavylift.errors import InvalidArgument, Retry
from heavylift.event import Kind
from heavylift.job import JobSpec, new_id
from heavylift.options import ID, NAME, Backoff, JobOptions, check_options
from heavylift.states import ENDED, State


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("delay", -1, "give seconds (zero or more) or a timedelta"),
        ("delay", timedelta(seconds=-1), "give seconds"),
        ("delay", float("nan"), "give seconds"),
        ("delay", float("inf"), "give seconds"),
        ("delay", True, "give seconds"),
        ("delay", "1", "give seconds"),
        ("expires", -0.5, "give seconds"),
        ("keep", "for ever", "give seconds"),
        ("timeout", 0, "give seconds above zero"),
        ("timeout", timedelta(0), "give seconds above zero"),
        ("grace", timedelta(seconds=-1), "give seconds"),
        ("grace", -1, "give seconds"),
        ("at", datetime(2026, 1, 1), "with a time zone"),
        ("at", "2026-01-01", "with a time zone"),
        ("priority", 1001, "within ±1000"),
        ("priority", True, "within ±1000"),
        ("priority", 0.5, "within ±1000"),
        ("retries", -1, "zero or more"),
        ("retries", "3", "zero or more"),
        ("backoff", 5, "Backoff.of makes one"),
        ("id", "", "use 1 to 200"),
        ("id", "a b", "use 1 to 200"),
        ("id", "x" * 201, "use 1 to 200"),
        ("id", "job:{1}", "use 1 to 200"),
        ("id", 7, "use 1 to 200"),
        ("queue", "a:b", "use 1 to 100"),
        ("queue", "new\nline", "use 1 to 100"),
        ("queue", "trailing\n", "use 1 to 100"),
        ("group", "{}", "use 1 to 100"),
        ("key", "*", "use 1 to 200"),
        ("tags", "images", "give a tuple of strings"),
        ("tags", ("",), "1 to 100 characters"),
        ("tags", ("x" * 101,), "1 to 100 characters"),
        ("correlation_id", "", "1 to 200 characters"),
        ("correlation_id", 7, "1 to 200 characters"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_by_name_and_value(field: str, value: Any, remedy: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_options(JobOptions(**{field: value}))
    assert refused.value.field == field
    assert remedy in str(refused.value)


def test_delay_and_at_exclude_each_other() -> None:
    with pytest.raises(InvalidArgument, match="either delay or at"):
        check_options(JobOptions(delay=1, at=datetime(2026, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    "options",
    [
        JobOptions(),
        JobOptions(delay=0, expires=timedelta(days=1), keep=1.5, timeout=0.001, grace=0),
        JobOptions(at=datetime(2026, 1, 1, tzinfo=UTC), priority=-1000, retries=0, backoff=Backoff()),
        JobOptions(id="order:42@shop-1.a_b", key="user@example.org", group="a.b-c_d", queue="x" * 100),
        JobOptions(tags=("a", "Größe"), correlation_id="x"),
    ],
)
def test_options_that_can_be_meant_pass(options: JobOptions) -> None:
    check_options(options)


def test_what_was_said_later_goes_over_what_was_said_before() -> None:
    handlers = JobOptions(priority=3, keep=60, tags=("a",), retries=2)
    callers = JobOptions(priority=0, tags=("b",))
    assert handlers.merged(callers) == JobOptions(priority=0, keep=60, tags=("b",), retries=2)
    assert handlers.merged(JobOptions()) is handlers


@given(st.floats(0, 9e9) | st.timedeltas(timedelta(0), timedelta(days=9000)))
def test_durations_are_seconds(value: float | timedelta) -> None:
    assert seconds("delay", value) == (value.total_seconds() if isinstance(value, timedelta) else value)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"initial": -1}, "backoff.initial"),
        ({"initial": float("nan")}, "backoff.initial"),
        ({"factor": 0.5}, "backoff.factor"),
        ({"cap": -1}, "backoff.cap"),
        ({"jitter": 1.5}, "backoff.jitter"),
        ({"delays": ()}, "backoff.delays"),
        ({"delays": (1, -1)}, "backoff.delays"),
        ({"delays": (1, float("nan"))}, "backoff.delays"),
        ({"delays": (float("nan"), 1)}, "backoff.delays"),
        ({"delays": (float("inf"),)}, "backoff.delays"),
        ({"delays": ("1",)}, "backoff.delays"),
        ({"initial": float("inf")}, "backoff.initial"),
        ({"initial": "1"}, "backoff.initial"),
        ({"factor": float("inf")}, "backoff.factor"),
        ({"cap": float("inf")}, "backoff.cap"),
        ({"cap": float("nan")}, "backoff.cap"),
        ({"jitter": float("nan")}, "backoff.jitter"),
    ],
)
def test_a_backoff_that_cannot_be_meant_is_refused(values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Backoff(**values)
    assert refused.value.field == field


def test_a_retry_may_be_asked_for_with_a_timedelta() -> None:
    assert Retry(after=timedelta(minutes=5)).after == 300.0


@pytest.mark.parametrize("after", [-1, float("nan"), float("inf"), "5", timedelta(seconds=-1)])
def test_a_handler_cannot_ask_for_a_retry_at_no_time(after: Any) -> None:
    with pytest.raises(InvalidArgument, match="after="):
        Retry(after=after)


@pytest.mark.parametrize(("handler", "queue"), [("", "default"), ("a b", "default"), ("a", ""), ("a", "b:c")])
def test_a_request_without_a_proper_name_or_queue_is_refused(handler: str, queue: str) -> None:
    with pytest.raises(InvalidArgument):
        JobSpec(handler, {}, queue)


def test_ids_sort_by_time_and_are_not_repeated() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert [i[:11] for i in ids] == sorted(i[:11] for i in ids)
    assert all(ID.fullmatch(i) and NAME.fullmatch(i) and len(i) == 27 for i in ids)


def test_a_state_knows_whether_it_is_the_last() -> None:
    assert {state for state in State if state.ended} == ENDED == {State.COMPLETED, State.FAILED, State.CANCELLED}


def test_every_state_has_an_event_of_its_name() -> None:
    assert {state.value for state in State} <= {kind.value for kind in Kind}


def test_a_refusal_reads_as_name_value_and_remedy() -> None:
    refused = InvalidArgument("timeout", -1, "give seconds above zero")
    assert str(refused) == "timeout=-1: give seconds above zero"
    assert (refused.field, refused.value, refused.remedy) == ("timeout", -1, "give seconds above zero")
    assert len(str(InvalidArgument("a", "x" * 10_000, "b"))) < 200

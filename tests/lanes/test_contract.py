"""What every lane promises (`lanes/lane.py`), held against each: threads, event loop, processes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heavylift.lanes.lane import Start
from heavylift.outcome import (
    Cancelled,
    Completed,
    Interrupted,
    Invalid,
    LockLost,
    Raised,
    Rejected,
    RetryAsked,
    TimedOut,
    UnknownHandler,
)
from tests.lanes.support import Bench, cpu_bench, io_bench
from tests.waiting import wait_until


@pytest.fixture(params=["plain", "async", "cpu"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with cpu_bench(tmp_path) if request.param == "cpu" else io_bench(tmp_path, request.param) as made:
        yield made


# --- outcomes ------------------------------------------------------------------------------------------------


def test_what_a_handler_returns_is_its_result(bench: Bench) -> None:
    outcome = bench.run("echo", value={"a": [1, "x"]})
    assert isinstance(outcome, Completed)
    assert json.loads(outcome.result)["value"] == {"a": [1, "x"]}


def test_the_context_knows_job_and_attempt(bench: Bench) -> None:
    outcome = bench.run("echo")
    assert isinstance(outcome, Completed)
    seen = json.loads(outcome.result)
    assert (seen["job"], seen["queue"], seen["attempt"]) == ("job1", "q", 3)


def test_an_exception_is_plain_data(bench: Bench) -> None:
    outcome = bench.run("throw", what="ValueError")
    assert isinstance(outcome, Raised)
    assert outcome.retryable
    assert (outcome.error.type, outcome.error.message) == ("ValueError", "bad value")
    assert "behaviours.py" in outcome.error.traceback


@pytest.mark.parametrize(
    "what",
    ["Odd", "Mute", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "CancelledError", "BaseException", "Stop"],
)
def test_whatever_is_raised_is_a_failure_and_the_lane_lives(bench: Bench, what: str) -> None:
    outcome = bench.run("throw", what=what)
    assert isinstance(outcome, Raised)
    assert outcome.error.type.endswith(what)
    assert isinstance(bench.run("echo"), Completed)


def test_an_exception_ruled_out_is_not_retryable(bench: Bench) -> None:
    outcome = bench.run("throw", what="Fatal")
    assert isinstance(outcome, Raised)
    assert not outcome.retryable


def test_control_words_with_numbers_and_texts_of_kinds_of_their_own_are_plain_outcomes(bench: Bench) -> None:
    retry, reject = bench.run("throw", what="Retry of its own kind"), bench.run("throw", what="Reject of its own kind")
    assert (retry, reject) == (RetryAsked(2.5, "later"), Rejected("never"))
    assert isinstance(retry, RetryAsked)
    assert isinstance(reject, Rejected)
    assert (type(retry.after), type(retry.message), type(reject.message)) == (float, str, str)


def test_an_exception_whose_class_has_an_odd_name_is_told_as_it_is(bench: Bench) -> None:
    outcome = bench.run("throw", what="type of its own kind")
    assert isinstance(outcome, Raised)
    assert (outcome.error.type, outcome.error.message) == ("m\\ud800.Odd", "x")
    assert type(outcome.error.type) is str


def test_a_result_of_numbers_and_texts_of_kinds_of_their_own_is_stored_as_plain_ones(bench: Bench) -> None:
    assert bench.run("give", what="kinds of its own") == Completed(b'[2.5,"x",3,{"a":1.0}]')


def test_retry_asks_for_another_attempt(bench: Bench) -> None:
    assert bench.run("throw", what="Retry") == RetryAsked(2.5, "later")


def test_reject_ends_it(bench: Bench) -> None:
    assert bench.run("throw", what="Reject") == Rejected("never")


@pytest.mark.parametrize("what", ["function", "object", "large"])
def test_a_result_that_cannot_be_stored_is_a_failure_without_retry(bench: Bench, what: str) -> None:
    outcome = bench.run("give", what=what)
    assert isinstance(outcome, Raised)
    assert not outcome.retryable
    assert outcome.error.type == "heavylift.errors.InvalidResult"


def test_arguments_that_do_not_fit_are_invalid_and_nothing_begins(bench: Bench) -> None:
    id = bench.start("throw", what=17)
    outcome = bench.sink.outcome(id)
    assert isinstance(outcome, Invalid)
    assert "what" in outcome.message
    assert not bench.sink.of(id, "began")


def test_an_unknown_handler_is_said_to_be(bench: Bench) -> None:
    outcome = bench.run("nobody")
    assert isinstance(outcome, UnknownHandler)
    assert outcome.handler.endswith("nobody")


def test_a_garbled_envelope_is_invalid(bench: Bench) -> None:
    bench.lane.submit([Start("x", "q", "t-x", b'{"handler": 5')])
    assert isinstance(bench.sink.outcome("x"), Invalid)


# --- reports -------------------------------------------------------------------------------------------------


def test_it_begins_then_reports_then_ends(bench: Bench) -> None:
    id = bench.start("storm", count=10)
    bench.sink.outcome(id)
    kinds = [kind for kind, _ in bench.sink.heard[id]]
    assert kinds[0] == "began"
    assert kinds[-1] == "ended"
    assert set(kinds[1:-2]) == {"progress"}


def test_a_storm_of_progress_is_held_back_at_the_source_and_its_last_value_arrives(bench: Bench) -> None:
    asked = time.monotonic()
    id = bench.start("storm", count=50_000)
    bench.sink.outcome(id, 30)
    took = bench.sink.times[f"ended {id}"] - asked
    reports = bench.sink.of(id, "progress")
    assert len(reports) <= took / 0.1 + 3
    assert (reports[-1].fraction, reports[-1].message) == (1.0, "all of it")


def test_progress_held_back_arrives_though_the_handler_falls_silent(bench: Bench, tmp_path: Path) -> None:
    id = bench.start("two_reports", until=str(tmp_path / "go"))
    wait_until("the second report", lambda: [p.fraction for p in bench.sink.of(id, "progress")] == [0.1, 0.2])
    (tmp_path / "go").touch()
    assert isinstance(bench.sink.outcome(id), Completed)


@pytest.mark.parametrize(
    ("what", "done", "saved"),
    [
        ("float", 3.0, b'[3.0,"as said"]'),
        ("enumeration", 3, b'[3,"as said"]'),
        ("truth", 1, b'[true,"as said"]'),
    ],
)
def test_numbers_and_texts_of_kinds_of_their_own_arrive_as_plain_ones(
    bench: Bench, what: str, done: float, saved: bytes
) -> None:
    id = bench.start("report", what=what)
    assert isinstance(bench.sink.outcome(id), Completed)
    for progress in bench.sink.of(id, "progress"):
        assert (progress.done, progress.message) == (done, "as said")
        assert {type(progress.done), type(progress.total)} <= {int, float}
        assert type(progress.message) is str
    assert len(bench.sink.of(id, "progress")) == 2
    assert bench.sink.of(id, "checkpoint") == [saved]
    assert bench.sink.of(id, "log") == [("info: as said by='me'",)]


@pytest.mark.parametrize(
    ("what", "named"), [("too large", f"fraction_or_done={2**65}"), ("no text", "message=b'half'")]
)
def test_progress_that_not_every_lane_can_carry_is_refused_by_name_where_it_is_said(
    bench: Bench, what: str, named: str
) -> None:
    outcome = bench.run("report", what=what)
    assert isinstance(outcome, Raised)
    assert outcome.error.type == "heavylift.errors.InvalidArgument"
    assert outcome.error.message.startswith(named)
    assert "behaviours.py" in outcome.error.traceback


def test_a_checkpoint_is_saved_and_the_last_one_is_given(bench: Bench) -> None:
    id = bench.start("save")
    outcome = bench.sink.outcome(id)
    assert isinstance(outcome, Completed)
    assert json.loads(outcome.result) == [{"page": 6}, {"page": 7}]
    assert bench.sink.of(id, "checkpoint") == [b'{"page":7}']


def test_the_last_log_lines_are_kept(bench: Bench) -> None:
    id = bench.start("chat", count=70)
    bench.sink.outcome(id)
    lines = bench.sink.of(id, "log")[0]
    assert len(lines) == 50
    assert lines[-1] == "info: line number=69"


# --- stopping ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("cancelled", Cancelled()),
        ("lock_lost", LockLost()),
        ("shutdown", Interrupted("shutdown")),
        ("lost_contact", Interrupted("lost_contact")),
    ],
)
def test_a_stop_ends_the_attempt_by_its_reason(bench: Bench, reason: str, expected: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    id = bench.start("wait", mark=str(mark))
    bench.sink.wait_inside(id)
    bench.stop(id, reason)
    assert bench.sink.outcome(id) == expected
    assert mark.read_text() == "cleaned up, cancelled=True"


def test_the_first_reason_stays(bench: Bench) -> None:
    id = bench.start("wait")
    bench.sink.wait_began(id)
    bench.stop(id, "shutdown")
    bench.stop(id, "cancelled")
    assert bench.sink.outcome(id) == Interrupted("shutdown")


def test_a_stop_with_another_token_does_nothing(bench: Bench) -> None:
    id = bench.start("wait")
    bench.sink.wait_began(id)
    bench.lane.stop_attempt(id, "another", "shutdown")
    bench.stop(id, "cancelled")
    assert bench.sink.outcome(id) == Cancelled()


def test_a_stop_that_comes_at_once_still_ends_it_once(bench: Bench) -> None:
    for _ in range(20):
        id = bench.start("wait")
        bench.stop(id, "cancelled")
        assert bench.sink.outcome(id) == Cancelled()


def test_a_handler_that_swallows_the_stop_and_returns_has_completed(bench: Bench) -> None:
    id = bench.start("swallow")
    bench.sink.wait_inside(id)
    bench.stop(id, "cancelled")
    assert bench.sink.outcome(id) == Completed(b'"finished anyway"')


def test_a_timeout_stops_it(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    asked = time.monotonic()
    id = bench.start("wait", timeout=1.0, mark=str(mark))
    outcome = bench.sink.outcome(id)
    assert isinstance(outcome, TimedOut)
    assert (outcome.timeout, outcome.forced) == (1.0, False)
    assert outcome.error is not None
    assert "behaviours.py" in outcome.error.traceback
    assert mark.exists()
    assert bench.sink.times[f"ended {id}"] - asked >= 1.0


def test_an_attempt_in_time_is_not_touched_by_its_timeout(bench: Bench) -> None:
    asked = time.monotonic()
    assert isinstance(bench.run("echo", timeout=1.0), Completed)
    id = bench.start("wait")
    bench.sink.wait_began(id)
    wait_until("the first one's timeout to pass", lambda: time.monotonic() > asked + 1.2)
    assert not bench.sink.of(id, "ended")
    bench.stop(id)
    assert bench.sink.outcome(id) == Cancelled()


def test_a_deaf_handler_is_settled_after_its_grace_and_its_place_comes_back_later(bench: Bench, tmp_path: Path) -> None:
    until = tmp_path / "go"
    id = bench.start("deaf", timeout=0.1, grace=0.1, until=str(until))
    bench.sink.wait_began(id)
    outcome = bench.sink.outcome(id)
    assert isinstance(outcome, TimedOut)
    assert outcome.forced
    if bench.kind != "cpu":
        assert bench.lane.snapshot()["stuck"] == 1
        assert bench.lane.free() == 1
        freed = bench.sink.frees
        until.touch()
        wait_until("freed", lambda: bench.sink.frees == freed + 1)
    wait_until("both places", lambda: bench.lane.free() == 2, 10)
    assert bench.lane.snapshot()["stuck"] == 0
    assert bench.sink.of(id, "ended") == [outcome]


# --- places --------------------------------------------------------------------------------------------------


def test_what_finds_no_place_comes_back(bench: Bench) -> None:
    starts = [bench.make(f"n{n}", "wait") for n in range(4)]
    bench.lane.submit(starts)
    assert bench.lane.free() == 0
    assert [bench.sink.outcome(f"n{n}") for n in (2, 3)] == [Interrupted("no_place")] * 2
    for n in (0, 1):
        bench.stop(f"n{n}")
        assert bench.sink.outcome(f"n{n}") == Cancelled()


def test_the_place_is_free_before_the_end_is_told(bench: Bench) -> None:
    seen: list[int] = []
    told = bench.sink.ended

    def ended(*what: Any) -> None:
        seen.append(bench.lane.free())
        told(*what)

    bench.sink.ended = ended  # type: ignore[method-assign]
    bench.run("echo")
    assert seen == [2]


def test_every_start_ends_exactly_once(bench: Bench) -> None:
    total, sent = 300, 0
    while sent < total:
        room = wait_until("a free place", bench.lane.free)
        bench.lane.submit([bench.make(f"m{sent + n}", "echo", timeout=30) for n in range(room)])
        sent += room
    outcomes = [bench.sink.outcome(f"m{n}") for n in range(sent)]
    assert all(isinstance(outcome, Completed) for outcome in outcomes)


# --- closing -------------------------------------------------------------------------------------------------


def test_close_stops_what_runs_and_settles_everything_once(bench: Bench, tmp_path: Path) -> None:
    willing = bench.start("wait")
    deaf = bench.start("deaf", grace=30, until=str(tmp_path / "go"))
    bench.sink.wait_began(willing)
    bench.sink.wait_began(deaf)
    bench.lane.close(0.2)
    (tmp_path / "go").touch()
    assert bench.sink.outcome(willing) == Interrupted("shutdown")
    assert bench.sink.outcome(deaf) == Interrupted("shutdown")
    bench.lane.submit([bench.make("late", "echo")])
    assert bench.sink.outcome("late") == Interrupted("no_place")
    assert bench.lane.free() == 0


def test_close_twice_is_close_once(bench: Bench) -> None:
    bench.lane.close(0.1)
    bench.lane.close(0.1)
    assert bench.lane.snapshot()["busy"] == 0

"""A handler asks its worker something and gets the answer, in every lane; nobody waits for ever."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heavylift.asking import Answer, Answered, answer
from heavylift.outcome import Cancelled, Completed, Died
from tests.lanes.support import Bench, cpu_bench, io_bench
from tests.waiting import wait_until


@pytest.fixture(params=["plain", "async", "cpu"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with cpu_bench(tmp_path) if request.param == "cpu" else io_bench(tmp_path, request.param) as made:
        yield made


@pytest.fixture
def slots(tmp_path: Path) -> Iterator[Bench]:
    with cpu_bench(tmp_path, slots=1) as made:
        yield made


def repeat(question: bytes, answered: Answered) -> None:
    answered(answer(msgspec.msgpack.decode(question)["text"]))


def repeat_elsewhere(question: bytes, answered: Answered) -> None:
    threading.Thread(target=repeat, args=(question, answered)).start()


def result(outcome: Any) -> Any:
    assert isinstance(outcome, Completed), outcome
    return json.loads(outcome.result)


def asked(bench: Bench, id: str, count: int = 1) -> list[Answered]:
    """The ways to answer what this attempt has asked."""
    return wait_until("the question", lambda: (found := bench.sink.of(id, "asked"))[count - 1 :] and found)


@pytest.mark.parametrize("reply", [repeat, repeat_elsewhere])
def test_the_answer_comes_back(bench: Bench, reply: Any) -> None:
    bench.sink.reply = reply
    assert result(bench.run("inquire", count=5)) == ["0", "1", "2", "3", "4"]


def test_large_questions_and_answers_come_through(bench: Bench) -> None:
    """Each larger than a pipe holds."""
    bench.sink.reply = repeat_elsewhere
    assert result(bench.run("inquire", size=2_000_000, count=3)) == ["0", "1", "2"]


def test_trouble_is_an_error_that_says_whose(bench: Bench) -> None:
    bench.sink.reply = lambda _, answered: answered(Answer(trouble="away for lunch", away=True))
    assert result(bench.run("inquire")) == ["Unavailable", "away for lunch"]
    bench.sink.reply = lambda _, answered: answered(Answer(trouble="not understood"))
    assert result(bench.run("inquire")) == ["StoreError", "not understood"]


def test_a_worker_that_never_answers_is_not_waited_for_much_longer_than_the_patience(bench: Bench) -> None:
    began = time.monotonic()
    assert result(bench.run("inquire", patience=0.1))[0] == "Unavailable"
    assert time.monotonic() - began < 5


def test_a_stop_ends_the_wait_at_once_and_the_late_answer_is_nobodys(bench: Bench) -> None:
    id = bench.start("inquire")
    (late,) = asked(bench, id)
    began = time.monotonic()
    bench.stop(id)
    assert bench.sink.outcome(id) == Cancelled()
    assert time.monotonic() - began < 2
    bench.sink.reply = repeat
    late(answer("x for the one before"))
    assert result(bench.run("inquire")) == ["0"]


def test_a_stopped_handler_may_ask_while_it_cleans_up(bench: Bench) -> None:
    id = bench.start("insist")
    (late,) = asked(bench, id)
    bench.stop(id)
    _, second = asked(bench, id, 2)
    late(answer("first"))
    second(answer("second"))
    assert result(bench.sink.outcome(id)) == "second"


def test_a_timeout_ends_the_wait(bench: Bench) -> None:
    outcome = bench.run("inquire", timeout=0.2, patience=60)
    assert type(outcome).__name__ == "TimedOut"


def test_one_who_waits_holds_up_no_other(bench: Bench) -> None:
    waits = bench.start("inquire")
    (first,) = asked(bench, waits)
    bench.sink.reply = repeat
    assert result(bench.run("inquire")) == ["0"]
    first(answer("x0"))
    assert result(bench.sink.outcome(waits)) == ["0"]


def test_to_wait_on_the_event_loop_is_refused(tmp_path: Path) -> None:
    with io_bench(tmp_path, "async") as bench:
        outcome = bench.run("ask_in_the_loop")
    assert "await it instead" in outcome.error.message  # type: ignore[union-attr]


# --- the pipe of a slot ----------------------------------------------------------------------------------------


@pytest.mark.fault
def test_a_child_killed_while_it_asks_has_died_and_the_next_attempt_gets_its_own_answers(slots: Bench) -> None:
    id = slots.start("inquire")
    (late,) = asked(slots, id)
    os.kill(slots.lane.snapshot()["pids"][0], signal.SIGKILL)
    assert slots.sink.outcome(id) == Died("killed:SIGKILL")
    late(answer("x for the dead"))
    slots.sink.reply = repeat
    assert result(slots.run("inquire")) == ["0"]


@pytest.mark.fault
def test_a_child_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    """Frozen before an answer of 8 MB: it stays with the worker until the child reads, and its neighbour works."""
    with cpu_bench(tmp_path, slots=2) as bench:
        id = bench.start("inquire", size=8_000_000, patience=60)
        (late,) = asked(bench, id)
        (pid,) = {call.slot.pid for call in bench.lane._keeper.calls.values()}
        os.kill(pid, signal.SIGSTOP)
        late(answer("x" * 8_000_000 + "late"))
        bench.sink.reply = repeat
        assert [result(bench.run("inquire")) for _ in range(3)] == [["0"]] * 3
        os.kill(pid, signal.SIGCONT)
        assert result(bench.sink.outcome(id)) == ["late"]


@pytest.mark.fault
def test_a_stop_goes_before_answers_that_wait_and_never_into_one_that_has_begun(slots: Bench) -> None:
    id = slots.start("insist")
    (late,) = asked(slots, id)
    (pid,) = slots.lane.snapshot()["pids"]
    os.kill(pid, signal.SIGSTOP)
    late(answer("x" * 3_000_000))  # begun; does not fit
    slots.stop(id)
    os.kill(pid, signal.SIGCONT)
    wait_until("what it ends with", lambda: slots.sink.of(id, "ended") or len(slots.sink.of(id, "asked")) == 2)
    slots.sink.reply = repeat
    for more in slots.sink.of(id, "asked")[1:]:
        more(answer("second"))
    slots.sink.outcome(id)
    assert result(slots.run("inquire")) == ["0"]
    assert slots.lane.snapshot()["died"] == 0

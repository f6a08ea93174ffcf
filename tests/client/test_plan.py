from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from heavylift.client.plan import Ask, Pause, Running, ask, ask_all
from heavylift.errors import Busy, ServerFull, StoreError, Unavailable
from heavylift.store.call import Call

LOST = Unavailable("gone")


def call(name: str, *, repeatable: bool = True) -> Call[str]:
    return Call((name,), (name,), str, None, repeatable)


def carry_out(plan: Any, answer: Callable[[int, Ask], list[Any] | StoreError]) -> tuple[Any, list[Any]]:
    """The plan's answer, and the steps it asked for."""
    going, steps, asked = Running(plan), [], 0
    while going.step is not None:
        steps.append(going.step)
        if isinstance(going.step, Pause):
            going.answer(None)
            continue
        assert isinstance(going.step, Ask)
        asked += 1
        replied = answer(asked, going.step)
        going.fail(replied) if isinstance(replied, StoreError) else going.answer(replied)
    return going.value, steps


def test_answers_come_in_the_order_of_the_calls() -> None:
    answers, steps = carry_out(ask_all([call("a"), call("b")], 1), lambda n, step: ["A", "B"])
    assert answers == ["A", "B"]
    assert len(steps) == 1


@pytest.mark.parametrize("error", [LOST, Busy("moving")])
def test_only_the_calls_without_an_answer_are_sent_again_and_the_very_same(error: StoreError) -> None:
    calls = [call("a"), call("b"), call("c")]
    answers, steps = carry_out(ask_all(calls, 5), lambda n, step: ["A", error, "C"] if n == 1 else ["B"])
    assert answers == ["A", "B", "C"]
    asks = [step for step in steps if isinstance(step, Ask)]
    assert asks[1].calls == [calls[1]]


def test_a_lost_connection_counts_for_all_calls() -> None:
    answers, steps = carry_out(ask_all([call("a"), call("b")], 5), lambda n, step: LOST if n < 3 else ["A", "B"])
    assert answers == ["A", "B"]
    pauses = [step.seconds for step in steps if isinstance(step, Pause)]
    assert len(pauses) == 2
    assert 0.025 <= pauses[0] <= 0.05 <= pauses[1] <= 0.1


def test_a_call_that_may_have_run_is_not_sent_again_if_it_is_not_repeatable() -> None:
    answers, _ = carry_out(
        ask_all([call("a"), call("b", repeatable=False)], 5), lambda n, step: LOST if n == 1 else ["A"]
    )
    assert answers == ["A", LOST]


def test_a_refusal_is_an_answer() -> None:
    full = ServerFull("full")
    answers, steps = carry_out(ask_all([call("a")], 5), lambda n, step: [full])
    assert answers == [full]
    assert len(steps) == 1


def test_patience_ends() -> None:
    """Without any, the first failure is final."""
    answers, steps = carry_out(ask_all([call("a")], 0), lambda n, step: LOST)
    assert answers == [LOST]
    assert len(steps) == 1


def test_one_call_raises_its_error() -> None:
    with pytest.raises(ServerFull):
        carry_out(ask(call("a"), 5), lambda n, step: [ServerFull("full")])

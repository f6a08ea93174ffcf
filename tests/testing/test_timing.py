"""A drain keeps the time-outs of handlers, though they run in the test's own process."""

from __future__ import annotations

import asyncio
import pdb
import threading
import time
from typing import Any

import pytest

from heavylift import Context, handler
from heavylift.handler import Handler
from heavylift.testing import Drained, Harness
from tests.testing.handlers import asleep, deaf, spin, tidy_up, wait


@pytest.mark.parametrize("late", [spin, wait])
def test_an_attempt_that_is_late_is_stopped_and_tried_again(jobs: Harness, late: Handler[..., Any]) -> None:
    job = jobs.client.enqueue(late.job(2))
    assert jobs.drain() == Drained(retried=1)
    assert jobs.drain(with_delayed=True) == Drained(completed=1)
    assert [attempt.cause for attempt in job.record().attempts] == ["timeout", "completed"]
    assert f"in {late.name}" in job.record().attempts[0].traceback


def test_one_that_is_always_late_ends_among_the_dead_letters(jobs: Harness) -> None:
    job = jobs.client.enqueue(spin.job(9))
    assert jobs.drain(with_delayed=True) == Drained(retried=1, failed=1)
    assert job.record().reason == "exhausted"


def test_a_drain_that_is_awaited_keeps_time_outs_too(jobs: Harness) -> None:
    async def test() -> Drained:
        return await jobs.drain_async(with_delayed=True)

    waiting, spinning = jobs.client.enqueue(wait.job(2)), jobs.client.enqueue(spin.job(2))
    assert asyncio.run(test()) == Drained(completed=2, retried=2)
    assert {job.record().attempts[0].cause for job in (waiting, spinning)} == {"timeout"}


def test_a_handler_that_ends_well_within_its_grace_has_completed(jobs: Harness) -> None:
    job = jobs.client.enqueue(tidy_up.job())
    assert jobs.drain() == Drained(completed=1)
    assert job.result(timeout=0) == "tidied"


@pytest.mark.parametrize("late", [asleep, deaf])
def test_one_that_goes_on_beyond_its_grace_has_timed_out_whatever_it_returns(
    jobs: Harness, late: Handler[..., Any]
) -> None:
    job = jobs.client.enqueue(late.job(0.5))
    assert jobs.drain() == Drained(failed=1)
    assert job.record().attempts[-1].cause == "timeout"


def test_the_time_out_of_one_attempt_never_strikes_the_next_or_the_test(jobs: Harness) -> None:
    """Handlers that end just when their time is over: whoever of the two wins, nothing is left of the stop."""

    @handler(queue="edge", retries=0)
    def edge(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    with Harness(jobs.settings, lambda: [edge]) as mine:
        mine.client.enqueue_many([edge.job(0.02) for _ in range(60)], timeout=0.02)
        drained = mine.drain()
    assert drained.completed + drained.failed == 60
    assert {attempt.record.cause for attempt in drained.attempts if attempt.record} <= {"completed", "timeout"}


def test_time_at_a_breakpoint_does_not_count(jobs: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The debugger stands at its prompt, with its own code on the stack, for longer than the handler may take."""

    @handler(queue="debugged", retries=0, timeout=0.2)
    def debugged(ctx: Context) -> str:
        Sleepy(nosigint=True).set_trace()
        return "went on"

    class Sleepy(pdb.Pdb):
        def interaction(self, *args: Any, **kwargs: Any) -> None:
            time.sleep(0.7)
            self.set_continue()

    with Harness(jobs.settings, lambda: [debugged]) as mine:
        job = mine.client.enqueue(debugged.job())
        assert mine.drain() == Drained(completed=1)
        assert job.result(timeout=0) == "went on"


def test_a_drain_leaves_no_thread_behind(jobs: Harness) -> None:
    before = set(threading.enumerate())
    jobs.client.enqueue(spin.job(9))
    jobs.drain()
    assert [one for one in threading.enumerate() if one not in before and one.name == "heavylift-io-watch"] == []

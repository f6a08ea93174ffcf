"""Several reasons to stop one attempt: the first stays, in every lane, and the handler is disturbed once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import get_args

import pytest

from heavylift.errors import StopReason
from heavylift.job import ClaimedJob, Counters
from heavylift.outcome import Cancelled, Interrupted, LockLost, Outcome, Rejected, TimedOut
from heavylift.worker.running import Running, ask_to_stop
from tests.lanes.support import Bench, cpu_bench, io_bench
from tests.waiting import wait_until

OUTCOMES: dict[StopReason, Outcome] = {
    "cancelled": Cancelled(),
    "lock_lost": LockLost(),
    "shutdown": Interrupted("shutdown"),
    "lost_contact": Interrupted("lost_contact"),
}
"""Of each reason that is given from outside. A timeout is the lane's own."""


@pytest.fixture(params=["plain", "async", "cpu"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with cpu_bench(tmp_path) if request.param == "cpu" else io_bench(tmp_path, request.param) as made:
        yield made


def test_every_reason_is_tried() -> None:
    assert {*OUTCOMES, "timeout"} == set(get_args(StopReason))


def test_of_two_reasons_the_first_stays(bench: Bench) -> None:
    for first, second in permutations(OUTCOMES, 2):
        id = bench.start("wait")
        bench.sink.wait_inside(id)
        bench.stop(id, first)
        bench.stop(id, second)
        assert bench.sink.outcome(id) == OUTCOMES[first]


def test_a_timeout_that_came_first_stays(bench: Bench, tmp_path: Path) -> None:
    """The grace runs from the first reason as well: a second one gives the handler no more time."""
    id = bench.start("deaf", timeout=0.1, grace=2.0, until=str(tmp_path / "go"))
    bench.sink.wait_began(id)
    wait_until("the timeout", lambda: time.monotonic() > bench.sink.times[f"began {id}"] + 1.2)
    wait_until("the end", lambda: bench.stop(id, "cancelled") or bench.sink.of(id, "ended"))
    (tmp_path / "go").touch()
    outcome = bench.sink.outcome(id)
    assert isinstance(outcome, TimedOut), outcome
    assert outcome.forced
    assert bench.sink.times[f"ended {id}"] - bench.sink.times[f"began {id}"] < 6


def test_a_timeout_that_would_come_second_does_not_come(bench: Bench, tmp_path: Path) -> None:
    id = bench.start("deaf", timeout=1.0, grace=1.5, until=str(tmp_path / "go"))
    bench.sink.wait_began(id)
    bench.stop(id, "shutdown")
    outcome = bench.sink.outcome(id)
    (tmp_path / "go").touch()
    assert outcome == Interrupted("shutdown")


def test_reasons_from_many_threads_at_once_are_one_stop_for_one_of_them(bench: Bench, tmp_path: Path) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for number in range(20):
            until = tmp_path / str(number)
            id = bench.start("tally", until=str(until))
            bench.sink.wait_inside(id)
            together = threading.Barrier(8)
            givers = [threading.Thread(target=_give, args=(bench, id, n, together)) for n in range(8)]
            for giver in givers:
                giver.start()
            for giver in givers:
                giver.join()
            until.touch()
            outcome = bench.sink.outcome(id)
            assert isinstance(outcome, Rejected), outcome
            stops, _, reason = outcome.message.partition(" stops: ")
            assert int(stops) == 1
            assert reason in OUTCOMES
    finally:
        sys.setswitchinterval(before)


def _give(bench: Bench, id: str, number: int, together: threading.Barrier) -> None:
    reason = list(OUTCOMES)[number % len(OUTCOMES)]
    together.wait()
    bench.stop(id, reason)


def test_a_stop_that_comes_before_its_lane_has_the_attempt_is_made_good_by_the_next(bench: Bench) -> None:
    """The worker asks again with every heartbeat. It keeps no reason of its own that would be in the way."""
    start = bench.make("early", "wait")
    claimed = ClaimedJob(start.id, start.queue, start.token, start.spec, Counters(starts=1))
    entry = Running(claimed, None, bench.lane, renewed=time.monotonic(), started_at=0)
    ask_to_stop(entry, "cancelled")
    bench.lane.submit([start])
    wait_until("it has begun, or ended", lambda: bench.sink.of(start.id, "began") or bench.sink.of(start.id, "ended"))
    ask_to_stop(entry, "cancelled")
    ask_to_stop(entry, "lock_lost")
    assert bench.sink.outcome(start.id) == Cancelled()

"""Memory limits in the cpu lane, with processes that really take memory."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from heavylift.outcome import Cancelled, Completed, Outcome, OutOfMemory, cause_of, error_of
from tests.lanes.support import Bench, cpu_bench
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

MIB = 1 << 20
LIMIT = 60 * MIB


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with cpu_bench(tmp_path, recycle_rss=0) as made:
        made.memory = LIMIT
        yield made


def result(outcome: Outcome) -> Any:
    assert isinstance(outcome, Completed), outcome
    return json.loads(outcome.result)


def running(pid: int) -> bool:
    """A zombie that nobody waits for does not run."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_handler_that_takes_too_much_is_killed_its_neighbour_is_not_and_the_slot_is_back(bench: Bench) -> None:
    bench.memory = None
    neighbour = bench.start("wait")
    bench.sink.wait_began(neighbour)
    bench.memory = LIMIT
    outcome = bench.run("takes", size=50 * LIMIT)
    assert isinstance(outcome, OutOfMemory), outcome
    assert outcome.limit == LIMIT
    assert cause_of(outcome) == "out_of_memory"
    wait_until("the slot to be back", lambda: bench.lane.free() == 1, 10)
    assert result(bench.run("takes", size=LIMIT // 2)) == 30
    assert not bench.sink.of(neighbour, "ended")
    bench.stop(neighbour)
    assert bench.sink.outcome(neighbour) == Cancelled()


def test_what_the_processes_of_its_processes_take_counts_and_they_go_with_it(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    outcome = bench.run("breeds", size=LIMIT + 15 * MIB, mark=str(mark))
    assert isinstance(outcome, OutOfMemory), outcome
    assert outcome.used > LIMIT
    grandchild = int(mark.read_text())
    wait_until("the grandchild to be gone", lambda: not running(grandchild))


def test_a_piece_too_large_to_be_watched_is_refused_at_once_and_the_process_goes_on(bench: Bench) -> None:
    before = bench.lane.snapshot()["pids"]
    outcome = bench.run("reserves", size=100 * LIMIT)
    assert isinstance(outcome, OutOfMemory), outcome
    assert outcome.error is not None
    assert outcome.error.type == "MemoryError"
    assert bench.lane.snapshot()["pids"] == before


def test_the_next_attempt_in_the_same_process_has_no_limit_if_its_handler_has_none(bench: Bench) -> None:
    bench.run("reserves", size=100 * LIMIT)
    bench.memory = None
    assert [result(bench.run("data_limit")) for _ in range(2)] == [[-1, -1], [-1, -1]]


def test_what_an_earlier_attempt_left_behind_is_not_held_against_the_next(tmp_path: Path) -> None:
    with cpu_bench(tmp_path, slots=1, recycle_rss=0) as bench:
        pid = result(bench.run("grow", size=2 * LIMIT))
        bench.memory = LIMIT
        assert result(bench.run("takes", size=LIMIT // 2)) == 30
        assert bench.lane.snapshot()["pids"] == [pid]


def test_pages_that_forked_processes_share_count_once(bench: Bench) -> None:
    assert result(bench.run("forks", count=4)) == "40 MiB"


def test_an_attempt_that_was_asked_to_stop_keeps_the_reason_though_it_takes_too_much_then(bench: Bench) -> None:
    id = bench.start("grows_when_stopped", grace=30)
    bench.sink.wait_inside(id)
    bench.stop(id)
    assert bench.sink.outcome(id) == Cancelled(forced=True)


def test_what_is_reserved_and_not_touched_is_not_taken(bench: Bench) -> None:
    assert result(bench.run("reserves", size=LIMIT + LIMIT // 2)) == LIMIT + LIMIT // 2


def test_the_record_says_how_much_it_took_and_how_much_it_may() -> None:
    killed = error_of(OutOfMemory(512_000_000, 812_345_678))
    assert killed is not None
    assert killed.message == "took 812 MB, more than its limit of 512 MB, and was killed"
    failed = error_of(OutOfMemory(None))
    assert failed is not None
    assert failed.message == "an allocation failed"

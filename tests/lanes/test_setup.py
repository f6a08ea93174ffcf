"""What a slot loads before a handler begins, with real processes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heavylift.outcome import Cancelled, Completed, Outcome, SetupFailed, cause_of
from tests.lanes.support import Bench, cpu_bench
from tests.waiting import wait_until

pytestmark = pytest.mark.fault


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with cpu_bench(tmp_path, slots=1, recycle_jobs=3) as made:
        yield made


def result(outcome: Outcome) -> Any:
    assert isinstance(outcome, Completed), outcome
    return json.loads(outcome.result)


def failed(outcome: Outcome) -> str:
    """The type of what went wrong; and the slot's cause."""
    assert isinstance(outcome, SetupFailed), outcome
    assert cause_of(outcome) == "setup"
    return f"{outcome.error.type}: {outcome.error.message}"


def test_a_slot_loads_it_once_and_its_next_process_again_in_a_time_of_its_own(bench: Bench) -> None:
    """The load takes 1.2 s, of which nothing goes off the attempt's second."""
    seen = [result(bench.run("uses", timeout=1.0)) for _ in range(6)]
    assert [count for _, count in seen] == [1] * 6
    assert [pid for pid, _ in seen] == [seen[0][0]] * 3 + [seen[3][0]] * 3
    assert seen[0][0] != seen[3][0]


def test_several_are_loaded_and_are_neither_held_against_the_attempt_nor_against_the_slot(tmp_path: Path) -> None:
    with cpu_bench(tmp_path, slots=1, recycle_rss=120 << 20) as bench:
        bench.memory = 20 << 20
        assert result(bench.run("uses_both"))[1:] == [1, 80]
        assert result(bench.run("takes", size=10 << 20)) == 10
        bench.lane._keeper.slots[0].rss_seen -= 10
        assert result(bench.run("uses_both"))[1:] == [1, 80]
        assert bench.lane.snapshot()["recycled"] == 0


def test_a_load_that_raises_fails_the_attempt_and_not_the_slot(bench: Bench) -> None:
    before = bench.lane.snapshot()["pids"]
    assert failed(bench.run("setup_broken")) == "FileNotFoundError: model.bin"
    assert bench.lane.snapshot()["pids"] == before


def test_a_load_that_takes_too_long_is_killed_and_the_slot_is_back(bench: Bench) -> None:
    begun = time.monotonic()
    assert failed(bench.run("setup_too_slow")).startswith("SetupTimeout: the setup took longer than 0.3 s")
    assert time.monotonic() - begun < 5
    assert isinstance(bench.run("echo"), Completed)


def test_a_process_that_dies_of_it_is_no_crash_of_the_job(bench: Bench) -> None:
    assert failed(bench.run("setup_dies")).startswith("ProcessDied: the process ended during the setup: killed:SIGKILL")
    assert isinstance(bench.run("echo"), Completed)


def test_it_can_be_stopped(bench: Bench) -> None:
    id = bench.start("setup_waits")
    wait_until("the setup to begin", lambda: any(c.setup for c in list(bench.lane._keeper.calls.values())))
    bench.stop(id)
    assert bench.sink.outcome(id) == Cancelled()
    assert not bench.sink.of(id, "began")

"""The cpu lane with real processes: killed, crashing, frozen, leaving things behind, saying too much."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from heavylift.outcome import Cancelled, Completed, Died, Interrupted, Raised, TimedOut
from tests.faults.freezer import freezer
from tests.lanes.support import Bench, cpu_bench
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with cpu_bench(tmp_path) as made:
        yield made


def result(outcome: Any) -> Any:
    assert isinstance(outcome, Completed), outcome
    return json.loads(outcome.result)


def pids(bench: Bench) -> list[int]:
    found: list[int] = bench.lane.snapshot()["pids"]
    return found


def running(pid: int) -> bool:
    """A zombie that nobody waits for does not run."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def let_pass(seconds: float) -> None:
    """Not to let things settle: to hit them at different moments."""
    then = time.monotonic() + seconds
    wait_until("a moment to pass", lambda: time.monotonic() >= then)


def both_free(bench: Bench, timeout: float = 10.0) -> None:
    wait_until("both slots to be free", lambda: bench.lane.free() == 2, timeout)


# --- what a child is -----------------------------------------------------------------------------------------


@on_linux
def test_a_child_is_a_group_of_its_own_deaf_to_ctrl_c_and_knows_neither_redis_nor_main(tmp_path: Path) -> None:
    with cpu_bench(tmp_path, nice=7) as bench:
        seen = result(bench.run("facts"))
    assert seen["group"] == seen["pid"]
    assert seen["interrupt"]
    assert seen["terminate"]
    assert not seen["redis"]
    assert seen["main"] is None
    assert seen["blas"] == "1"
    assert seen["nice"] == os.nice(0) + 7
    assert seen["threads"] == 2


@pytest.mark.parametrize(("threads", "said", "seen"), [(3, None, "3"), (0, None, None), (1, "4", "4")])
def test_numeric_libraries_get_the_threads_that_are_set_unless_their_variable_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, said: str | None, seen: str | None
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    with cpu_bench(tmp_path, slots=1, threads=threads) as bench:
        assert result(bench.run("facts"))["blas"] == seen


def test_the_fork_server_has_the_handlers(bench: Bench) -> None:
    seen = bench.lane.snapshot()
    assert seen["ready"]
    assert seen["preloaded"]
    assert {"facts", "wait"} <= set(seen["handlers"])


def test_two_lanes_in_one_process_have_a_fork_server_each(tmp_path: Path, bench: Bench) -> None:
    with cpu_bench(tmp_path, slots=1) as other:
        assert result(other.run("facts"))["pid"] != result(bench.run("facts"))["pid"]
    assert isinstance(bench.run("echo"), Completed)


# --- more and fewer ------------------------------------------------------------------------------------------


def test_slots_are_added_and_taken_away_the_idle_ones_first_and_the_busy_ones_when_they_are_done(bench: Bench) -> None:
    busy = [bench.start("wait"), bench.start("wait")]
    for id in busy:
        bench.sink.wait_began(id)
    bench.lane.resize(4)
    wait_until("two more", lambda: bench.lane.free() == 2)
    assert len(pids(bench)) == 4
    bench.lane.resize(1)
    wait_until("the idle ones to be gone", lambda: len(pids(bench)) == 2)
    assert bench.lane.free() == 0
    for id, left in zip(busy, (1, 1), strict=True):
        assert not bench.sink.of(id, "ended"), "what runs goes on"
        bench.stop(id)
        assert bench.sink.outcome(id) == Cancelled()
        wait_until("one to be left", lambda left=left: len(pids(bench)) == left)
    wait_until("that to be free", lambda: bench.lane.free() == 1)
    assert bench.lane.snapshot()["places"] == 1
    bench.lane.resize(0)
    wait_until("none to be left", lambda: not pids(bench))
    bench.lane.resize(2)
    both_free(bench, 3)
    assert isinstance(bench.run("echo"), Completed)


# --- deaths --------------------------------------------------------------------------------------------------


def test_an_idle_child_that_hangs_holds_up_no_farewell_and_is_seen_off_when_it_can_be(bench: Bench) -> None:
    with freezer() as cold:
        cold.freeze(*pids(bench))
        bench.lane.resize(1)
        wait_until("one to be written off", lambda: bench.lane.snapshot()["stuck"] == 1, timeout=15)
        cold.thaw()
        wait_until("it to be gone", lambda: bench.lane.snapshot()["stuck"] == 0, timeout=15)
    wait_until("one to be left", lambda: len(pids(bench)) == bench.lane.free() == 1)
    assert isinstance(bench.run("echo"), Completed)
    bench.lane.resize(2)
    both_free(bench, timeout=15)


def test_an_idle_child_that_is_killed_is_replaced_and_costs_nobody_anything(bench: Bench) -> None:
    result(bench.run("facts"))
    victim = pids(bench)[0]
    os.kill(victim, signal.SIGKILL)
    wait_until("the slot to be replaced", lambda: victim not in pids(bench) and bench.lane.free() == 2, 3)
    assert isinstance(bench.run("echo"), Completed)


def test_a_call_given_to_a_child_that_has_just_been_killed_did_not_begin(bench: Bench) -> None:
    """Whoever is quicker: the call comes back, since it did not begin or since there is no place, or it runs elsewhere.

    It never counts as a crash.
    """
    for _ in range(10):
        both_free(bench, 40)
        killed = pids(bench)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        bench.lane.submit([bench.make(f"k{pid}", "echo") for pid in killed])
        for pid in killed:
            outcome = bench.sink.outcome(f"k{pid}", 30)
            assert isinstance(outcome, Completed) or outcome in (Interrupted("not_begun"), Interrupted("no_place"))
        bench.lane._keeper.launcher._not_before = 0.0  # the growing pause between such deaths is another test's
        bench.lane._keeper.launcher.useful()
        bench.lane._keeper.post(lambda: None)


def test_a_running_child_that_is_killed_is_a_crash_of_its_job_alone(bench: Bench) -> None:
    victim, neighbour = bench.start("wait"), bench.start("count", limit=20_000_000)
    bench.sink.wait_began(victim)
    bench.sink.wait_began(neighbour)
    pid = bench.lane._keeper.calls[(victim, f"t-{victim}")].slot.pid
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    assert bench.sink.outcome(victim) == Died("killed:SIGKILL")
    assert bench.sink.times[f"ended {victim}"] - killed < 5, "not after some timer"
    assert isinstance(bench.sink.outcome(neighbour, 30), Completed)
    both_free(bench)


def test_the_slot_of_a_killed_child_is_back_at_once(bench: Bench) -> None:
    id = bench.start("die", number=int(signal.SIGKILL))
    assert bench.sink.outcome(id) == Died("killed:SIGKILL")
    both_free(bench)
    assert bench.lane._keeper.launcher._not_before <= time.monotonic(), "no pause was taken"
    assert bench.sink.frees >= 3


@pytest.mark.parametrize("code", [0, 1, 77])
def test_a_process_that_exits_has_not_completed(bench: Bench, code: int) -> None:
    assert bench.run("leave", code=code) == Died(f"exited:{code}")


def test_system_exit_is_a_failure_and_the_process_goes_on(bench: Bench) -> None:
    before = pids(bench)
    assert isinstance(bench.run("throw", what="SystemExit"), Raised)
    assert pids(bench) == before


def test_a_native_crash_has_its_signal_and_its_dump(bench: Bench) -> None:
    outcome = bench.run("null")
    assert isinstance(outcome, Died)
    assert outcome.cause == "killed:SIGSEGV"
    assert "Segmentation fault" in outcome.detail
    assert "heavy.py" in outcome.detail


def test_an_abort_has_its_signal(bench: Bench) -> None:
    outcome = bench.run("die", number=int(signal.SIGABRT))
    assert isinstance(outcome, Died)
    assert outcome.cause == "killed:SIGABRT"


def test_what_was_said_before_the_death_arrives_before_the_outcome(bench: Bench) -> None:
    id = bench.start("last_words")
    assert bench.sink.outcome(id) == Died("killed:SIGKILL")
    assert [kind for kind, _ in bench.sink.heard[id]] == ["began", "checkpoint", "progress", "log", "ended"]


def test_a_handler_that_closes_its_descriptors_is_ended_and_the_reason_said(bench: Bench) -> None:
    outcome = bench.run("closes_everything")
    assert isinstance(outcome, Died)
    assert "pipe" in outcome.detail
    both_free(bench)


def test_a_child_killed_in_the_middle_of_a_large_result_holds_up_nobody(tmp_path: Path) -> None:
    with cpu_bench(tmp_path, max_result=64_000_000) as bench:
        for delay in (0.0, 0.002, 0.005, 0.01, 0.02, 0.03):
            id = bench.start("large", size=50_000_000)
            bench.sink.wait_began(id)
            pid = bench.lane._keeper.calls[(id, f"t-{id}")].slot.pid
            let_pass(delay)
            os.kill(pid, signal.SIGKILL)
            assert isinstance(bench.sink.outcome(id, 20), (Died, Completed))
        both_free(bench, 5)
        assert len(result(bench.run("large", size=1_000_000))) == 1_000_000


# --- stopping ------------------------------------------------------------------------------------------------


def test_a_handler_that_hears_nothing_is_killed_after_its_grace(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    id = bench.start("stubborn", timeout=0.2, grace=0.2, mark=str(mark))
    assert bench.sink.outcome(id) == TimedOut(0.2, forced=True)
    assert bench.sink.times[f"ended {id}"] - bench.sink.times[f"began {id}"] < 5
    both_free(bench)
    assert not running(int(mark.read_text()))


def test_a_child_stuck_in_a_c_call_is_killed_with_what_it_has_started(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    id = bench.start("holds", timeout=0.3, grace=0.2, mark=str(mark))
    assert bench.sink.outcome(id) == TimedOut(0.3, forced=True)
    wait_until("the grandchild to be gone", lambda: not running(int(mark.read_text())), 2)


def test_a_frozen_child_is_killed_at_its_timeout(bench: Bench) -> None:
    id = bench.start("wait", timeout=0.3, grace=0.2)
    bench.sink.wait_began(id)
    os.kill(bench.lane._keeper.calls[(id, f"t-{id}")].slot.pid, signal.SIGSTOP)
    assert bench.sink.outcome(id) == TimedOut(0.3, forced=True)
    both_free(bench)


def test_a_spinning_handler_is_stopped_softly(bench: Bench) -> None:
    id = bench.start("count", limit=10**12)
    bench.sink.wait_began(id)
    asked = time.monotonic()
    bench.stop(id)
    assert bench.sink.outcome(id) == Cancelled()
    assert bench.sink.times[f"ended {id}"] - asked < 5


def test_a_thousand_soft_stops_at_random_moments_break_nothing(tmp_path: Path) -> None:
    """Each attempt ends once, as completed or cancelled; no process is lost to it."""
    dice = random.Random(7)
    with cpu_bench(tmp_path) as bench:
        before = sorted(pids(bench))
        for number in range(1000):
            handler = dice.choice(["chat", "storm"])
            id = bench.start(handler, count=dice.choice([1, 30, 300]))
            let_pass(dice.random() * 0.002)
            bench.stop(id)
            if number % 2:
                assert bench.sink.outcome(id) in (Completed(b"null"), Cancelled())
        ends = [bench.sink.outcome(id) for id in bench.sink.heard]
        assert len(ends) == 1000
        assert set(ends) <= {Completed(b"null"), Cancelled()}
        assert Cancelled() in ends
        both_free(bench)
        assert sorted(pids(bench)) == before


def test_what_a_handler_has_started_is_killed_with_it(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    id = bench.start("family", mark=str(mark))
    grandchild = int(wait_until("the grandchild", lambda: mark.exists() and mark.read_text()))
    os.kill(bench.lane._keeper.calls[(id, f"t-{id}")].slot.pid, signal.SIGKILL)
    assert bench.sink.outcome(id) == Died("killed:SIGKILL")
    wait_until("the grandchild to be gone", lambda: not running(grandchild), 2)


def test_an_outcome_that_cannot_cross_is_a_failure_that_says_so_and_no_crash(bench: Bench) -> None:
    before = pids(bench)
    outcome = bench.run("throw", what="changed Retry")
    assert isinstance(outcome, Raised)
    assert "Moment" in outcome.error.message
    assert sorted(pids(bench)) == sorted(before), "the process goes on"


def test_a_report_that_fails_when_it_is_due_costs_the_process_none_of_its_hearing(bench: Bench, tmp_path: Path) -> None:
    bench.lane.resize(1)
    wait_until("one slot", lambda: len(pids(bench)) == 1)
    late = bench.start("fail_later")
    assert isinstance(bench.sink.outcome(late), Completed)
    assert "stderr: ValueError: too late" in bench.sink.of(late, "log")[0]
    id = bench.start("wait", mark=str(tmp_path / "mark"))
    bench.sink.wait_inside(id)
    bench.stop(id)
    assert bench.sink.outcome(id) == Cancelled(forced=False)
    assert (tmp_path / "mark").read_text() == "cleaned up, cancelled=True"


# --- reports -------------------------------------------------------------------------------------------------


def test_prints_and_log_records_arrive_under_the_job(bench: Bench) -> None:
    id = bench.start("says", count=0)
    bench.sink.outcome(id)
    assert bench.sink.of(id, "log")[0] == (
        "stdout: printed",
        "stdout: in two pieces",
        "stderr: on stderr",
        "warning: mine: logged 5",
        "stderr: unfinished",
    )


def test_a_flood_of_prints_is_cut_down_and_its_end_kept(bench: Bench) -> None:
    id = bench.start("says", count=100_000)
    assert isinstance(bench.sink.outcome(id, 30), Completed)
    lines = bench.sink.of(id, "log")[0]
    assert len(lines) == 50
    assert "stdout: row 99999" in lines[-3:]


def test_a_storm_of_checkpoints_arrives_whole(bench: Bench) -> None:
    """Five megabytes through the pipe, while the neighbour is served as usual."""
    id = bench.start("saves", count=50_000)
    bench.sink.wait_began(id)
    assert isinstance(bench.run("echo"), Completed)
    assert isinstance(bench.sink.outcome(id, 60), Completed)
    assert len(bench.sink.of(id, "checkpoint")) == 50_000


# --- renewal -------------------------------------------------------------------------------------------------


def test_forty_recycles_leave_nothing_behind(tmp_path: Path) -> None:
    with cpu_bench(tmp_path, recycle_jobs=1) as bench:
        seen = {result(bench.run("facts"))["pid"] for _ in range(45)}
        assert len(seen) == 45
        assert bench.lane.snapshot()["recycled"] == 45
        both_free(bench)
        wait_until("only the slots and the server", lambda: len(_family()) == 3, 10)


def _family() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            if running(child.pid) and not any(word in " ".join(child.cmdline()) for word in OTHERS):
                found.append(child)
    return found


OTHERS = ("resource_tracker", "redis-server", "valkey-server", "redis-sentinel")
"""Python's own process, and servers that last for the whole test run."""


def test_a_slot_above_its_memory_is_renewed_when_it_is_idle(tmp_path: Path) -> None:
    limit = psutil.Process().memory_info().rss + 200_000_000
    with cpu_bench(tmp_path, recycle_rss=limit, slots=1) as bench:
        bench.lane._keeper.slots[0].rss_seen = 0.0
        pid = result(bench.run("grow", size=300_000_000 + limit))
        wait_until("the process to be another", lambda: pids(bench) and pid not in pids(bench), 10)
        assert isinstance(bench.run("echo"), Completed)


# --- starting and ending -------------------------------------------------------------------------------------


def test_handlers_that_cannot_be_imported_make_the_lane_not_ready_and_no_storm_of_processes(tmp_path: Path) -> None:
    began = time.monotonic()
    with cpu_bench(tmp_path, modules=("broken",)) as bench:
        seen = bench.lane.snapshot()
        assert not seen["ready"]
        assert "this module is broken" in seen["problem"]
        assert bench.lane.free() == 0
        wait_until("a second try", lambda: bench.lane.snapshot()["started"] >= 3, 30)
        assert time.monotonic() - began >= 1.0


MENDED = """
from heavylift.handler import handler

@handler(lane="cpu")
def echo() -> int:
    return 1
"""


def test_a_module_that_is_mended_makes_the_lane_ready(tmp_path: Path) -> None:
    module = tmp_path / "mended.py"
    module.write_text("raise RuntimeError('not yet')")
    with cpu_bench(tmp_path, modules=("mended",), root=tmp_path) as bench:
        assert not bench.lane.snapshot()["ready"]
        module.write_text(MENDED)
        wait_until("the lane to be ready", lambda: bench.lane.snapshot()["ready"] and bench.lane.free() == 2, 20)
        assert isinstance(bench.run("echo"), Completed)


def test_no_process_is_left_after_close(tmp_path: Path) -> None:
    with cpu_bench(tmp_path) as bench:
        busy = bench.start("stubborn", grace=60, mark=str(tmp_path / "pid"))
        bench.sink.wait_began(busy)
        began = time.monotonic()
        bench.lane.close(0.1)
        assert time.monotonic() - began < 2.0
        assert bench.sink.outcome(busy) == Interrupted("shutdown")
        assert _family() == []


PARENT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
from tests.faults.freezer import freezer
from tests.lanes.support import Recorder, Bench, settings
from heavylift.lanes.cpu import CpuLane

sink = Recorder()
lane = CpuLane(settings(None), ["heavy"], sink)
lane.start()
bench = Bench(lane, sink, "cpu")
bench.start({handler!r}, mark={mark!r})
while not Path({mark!r}).exists():
    time.sleep(0.01)
print(*lane.snapshot()["pids"], flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("handler", ["stubborn", "family", "holds"])
def test_the_children_die_with_their_parent(tmp_path: Path, handler: str) -> None:
    here = str(Path(__file__).parents[2])
    script = PARENT.format(here=here, handler=handler, mark=str(tmp_path / "mark"))
    env = {**os.environ, "TMPDIR": str(tmp_path)}  # a killed parent leaves its socket there
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        family = [process.pid for process in psutil.Process(parent.pid).children(recursive=True)]
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert set(children) <= set(family)
    wait_until("all of them to be gone", lambda: not [pid for pid in family if running(pid)], 3)


def test_a_fork_server_that_dies_is_replaced(bench: Bench) -> None:
    """Its children die with it; the next ones come from another."""
    before = bench.lane._server.pid
    os.kill(before, signal.SIGKILL)
    os.waitpid(before, 0)  # even if somebody else has taken note of its death
    wait_until("the slots to be gone", lambda: bench.lane.free() == 0)
    wait_until("both slots to be back", lambda: bench.lane.free() == 2, 10)
    assert bench.lane._server.pid != before
    assert isinstance(bench.run("echo"), Completed)

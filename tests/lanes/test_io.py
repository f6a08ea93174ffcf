"""The io lane: what threads and the event loop have of their own."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from heavylift.context import Context
from heavylift.errors import Stop
from heavylift.handler import handler
from heavylift.lanes.io import IoLane
from heavylift.outcome import Cancelled, Completed, Interrupted, Raised, TimedOut
from heavylift.registry import Registry
from tests.lanes.support import Bench, Recorder, io_bench, settings
from tests.waiting import wait_until


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with io_bench(tmp_path, places=8) as made:
        yield made


def own(
    tmp_path: Path, *handlers: Any, places: int = 8, on_crash: Callable[[BaseException], None] | None = None
) -> Bench:
    sink = Recorder()
    lane = IoLane(Registry(handlers), settings(tmp_path, places=places), sink, on_crash=on_crash)
    lane.start()
    return Bench(lane, sink, "plain")


def let_pass(seconds: float) -> None:
    """Not to let things settle: to hit them at different moments."""
    then = time.monotonic() + seconds
    wait_until("a moment to pass", lambda: time.monotonic() >= then)


# --- threads -------------------------------------------------------------------------------------------------


def test_handlers_that_block_all_run_at_once(bench: Bench) -> None:
    bench.lane.submit([bench.make(f"b{n}", "wait") for n in range(8)])
    for n in range(8):
        bench.sink.wait_inside(f"b{n}")
        bench.stop(f"b{n}")
    assert {bench.sink.outcome(f"b{n}") for n in range(8)} == {Cancelled()}


def test_threads_come_when_they_are_needed(bench: Bench) -> None:
    assert bench.lane.snapshot()["threads"] == 0
    bench.run("echo")
    assert bench.lane.snapshot()["threads"] == 1


@contextmanager
def no_more_threads() -> Iterator[None]:
    """The system gives none.

    Said in its place: whenever it really gives none, CPython 3.11 keeps half a thread in its books under the identity
    of the one that asked, here the tests' own, which no stop reaches from then on.
    """

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "_start_new_thread", refuse)
        yield


def test_what_the_system_gave_no_thread_for_runs_when_it_has_one_again(bench: Bench) -> None:
    with no_more_threads():
        id = bench.start("echo")
        facts = bench.lane.snapshot()
        assert (facts["ready"], facts["free"]) == (False, 0), "nothing more is claimed"
        assert "can't start new thread" in facts["problem"]
    assert isinstance(bench.sink.outcome(id), Completed)
    assert bench.lane.snapshot()["ready"]
    assert bench.lane.free() == 8
    assert bench.sink.frees, "the worker is told to claim again"


def test_what_gets_no_thread_for_long_is_given_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heavylift.lanes.io.BEGIN_WITHIN", 0.3)
    with no_more_threads():
        assert bench.run("echo") == Interrupted("no_place")
    wait_until("all places are free", lambda: bench.lane.free() == 8)
    assert isinstance(bench.run("echo"), Completed)


def test_what_got_no_thread_can_be_stopped_and_keeps_no_place(bench: Bench) -> None:
    with no_more_threads():
        id = bench.start("echo", grace=0.1)
        bench.stop(id)
        assert bench.sink.outcome(id) == Cancelled()
    assert bench.lane.snapshot()["stuck"] == 0


@pytest.fixture
def many_switches() -> Iterator[None]:
    """Threads take turns fifty times as often as usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 50)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("many_switches")
def test_a_thousand_stops_at_random_moments_hit_nothing_but_their_attempt(tmp_path: Path) -> None:
    """A stop that comes too late must reach neither the thread's own code nor its next attempt."""
    hit: list[BaseException] = []

    @handler
    def spin(turns: int) -> None:
        try:
            for _ in range(turns):
                pass
        except Stop as stop:
            hit.append(stop)
            raise

    bench = own(tmp_path, spin, places=2)
    dice = random.Random(5)
    try:
        for number in range(1000):
            id = bench.start("spin", turns=dice.choice([1, 3000, 30_000, 300_000]))
            if number % 2:
                bench.start("spin", turns=50)
            let_pass(dice.random() * 0.001)
            bench.stop(id)
        ends = {id: bench.sink.outcome(id) for id in list(bench.sink.heard)}
    finally:
        bench.lane.close(1)
    assert len(ends) == 1500
    assert set(ends.values()) == {Completed(b"null"), Cancelled()}
    assert sum(outcome == Cancelled() for outcome in ends.values()) >= len(hit) > 0


def test_a_thread_that_was_stopped_serves_the_next_attempt(tmp_path: Path) -> None:
    with io_bench(tmp_path, places=1) as bench:
        for _ in range(3):
            id = bench.start("wait")
            bench.sink.wait_inside(id)
            bench.stop(id)
            assert bench.sink.outcome(id) == Cancelled()
        assert isinstance(bench.run("echo"), Completed)
        assert bench.lane.snapshot()["threads"] == 1


def test_what_a_stuck_thread_still_says_is_not_passed_on(tmp_path: Path) -> None:
    go = threading.Event()

    @handler
    def talks_on(ctx: Context) -> str:
        try:
            go.wait(10)
        except Stop:
            go.wait(10)
        ctx.progress(0.9)
        return "late"

    bench = own(tmp_path, talks_on)
    try:
        id = bench.start("talks_on", timeout=0.05, grace=0.05)
        assert bench.sink.outcome(id) == TimedOut(0.05, forced=True)
        go.set()
        wait_until("the thread to return", lambda: bench.lane.snapshot()["stuck"] == 0)
        assert [kind for kind, _ in bench.sink.heard[id]] == ["began", "log", "ended"]
    finally:
        bench.lane.close(1)


def test_a_long_system_call_is_settled_after_its_grace_and_close_does_not_wait_for_it(tmp_path: Path) -> None:
    gate = threading.Lock()
    gate.acquire()

    @handler
    def blocked() -> None:
        gate.acquire()

    bench = own(tmp_path, blocked)
    try:
        id = bench.start("blocked", timeout=0.05, grace=0.05)
        assert bench.sink.outcome(id) == TimedOut(0.05, forced=True)
        began = time.monotonic()
        bench.lane.close(5)
        assert time.monotonic() - began < 2
    finally:
        gate.release()
    wait_until("the thread to end", lambda: not any(t.name == "heavylift-io" for t in threading.enumerate()))


# --- the event loop ------------------------------------------------------------------------------------------


def test_async_handlers_share_one_thread(tmp_path: Path) -> None:
    @handler
    async def where() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    bench = own(tmp_path, where)
    try:
        bench.lane.submit([bench.make(f"w{n}", "where") for n in range(8)])
        assert {bench.sink.outcome(f"w{n}") for n in range(8)} == {Completed(b'"heavylift-io-loop"')}
    finally:
        bench.lane.close(1)


def test_system_exit_in_a_task_of_the_handlers_own_does_not_end_the_loop(tmp_path: Path) -> None:
    @handler
    async def spawns() -> str:
        async def leave() -> None:
            raise SystemExit(1)

        task = asyncio.ensure_future(leave())
        await asyncio.wait([task])
        assert isinstance(task.exception(), SystemExit)
        return "alive"

    bench = own(tmp_path, spawns)
    try:
        assert bench.run("spawns") == Completed(b'"alive"')
        assert bench.run("spawns") == Completed(b'"alive"')
    finally:
        bench.lane.close(1)


def test_a_handler_that_blocks_the_loop_is_settled_all_the_same(tmp_path: Path) -> None:
    gate = threading.Lock()
    gate.acquire()

    @handler
    async def blocks() -> None:
        gate.acquire()

    bench = own(tmp_path, blocks)
    try:
        id = bench.start("blocks", timeout=0.05, grace=0.05)
        assert bench.sink.outcome(id) == TimedOut(0.05, forced=True)
        assert bench.lane.snapshot()["stuck"] == 1
        gate.release()
        wait_until("its place", lambda: bench.lane.free() == 8)
    finally:
        bench.lane.close(1)


def test_a_cancellation_nobody_asked_for_is_a_failure(tmp_path: Path) -> None:
    @handler
    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    bench = own(tmp_path, cancels_itself)
    try:
        outcome = bench.run("cancels_itself")
        assert isinstance(outcome, Raised)
        assert outcome.error.type == "asyncio.exceptions.CancelledError"
    finally:
        bench.lane.close(1)


def test_tasks_a_handler_leaves_behind_are_cancelled_at_close(tmp_path: Path) -> None:
    cancelled = threading.Event()
    kept = []

    @handler
    async def leaves() -> None:
        async def background() -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        kept.append(asyncio.ensure_future(background()))
        await asyncio.sleep(0)

    bench = own(tmp_path, leaves)
    bench.run("leaves")
    bench.lane.close(1)
    assert cancelled.is_set()


# --- both ----------------------------------------------------------------------------------------------------


def test_a_handler_in_a_thread_and_one_on_the_loop_share_the_places(tmp_path: Path) -> None:
    with io_bench(tmp_path, places=2) as bench:
        plain = bench.start("wait")
        bench.kind = "async"
        on_loop = bench.start("wait")
        assert bench.lane.free() == 0
        bench.stop(plain)
        bench.stop(on_loop)
        assert bench.sink.outcome(plain) == bench.sink.outcome(on_loop) == Cancelled()


def test_many_timeouts_at_different_times_are_each_kept(tmp_path: Path) -> None:
    with io_bench(tmp_path, places=40) as bench:
        asked = time.monotonic()
        for kind in ("plain", "async"):
            bench.kind = kind
            bench.lane.submit([bench.make(f"{kind}{n}", "wait", timeout=0.05 + n * 0.02) for n in range(20)])
        for kind in ("plain", "async"):
            for n in range(20):
                id = f"{kind}{n}"
                assert isinstance(bench.sink.outcome(id), TimedOut)
                assert bench.sink.times[f"ended {id}"] - asked >= 0.05 + n * 0.02


def test_a_lane_without_places_refuses_everything(tmp_path: Path) -> None:
    with io_bench(tmp_path, places=0) as bench:
        bench.lane.submit([bench.make("x", "echo")])
        assert bench.sink.outcome("x") == Interrupted("no_place")


def test_a_stop_that_waits_strikes_in_the_handlers_thread_and_in_no_other(tmp_path: Path) -> None:
    """The watch passes on progress that was held back; a stop of that moment is not the watch's."""
    inside, go = threading.Event(), threading.Event()

    @handler
    def waits(ctx: Context) -> None:
        ctx.progress(0.1)
        ctx.progress(0.2)
        while True:
            time.sleep(0.001)

    bench = own(tmp_path, waits)
    heard = bench.sink.progressed

    def slowly(id: str, token: str, progress: Any) -> None:
        if threading.current_thread().name == "heavylift-io-watch":
            inside.set()
            go.wait(5)
        heard(id, token, progress)

    bench.sink.progressed = slowly  # type: ignore[method-assign]
    try:
        id = bench.start("waits")
        assert inside.wait(5)
        bench.stop(id)
        go.set()
        assert bench.sink.outcome(id) == Cancelled()
        assert isinstance(bench.run("waits", timeout=0.05), TimedOut), "the watch must live"
    finally:
        go.set()
        bench.lane.close(1)


# --- the watch -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1e9, 9.5e9, 1e12])
def test_a_very_long_timeout_or_grace_leaves_the_others_to_work(bench: Bench, seconds: float) -> None:
    long = bench.start("wait", timeout=seconds, grace=seconds)
    bench.sink.wait_inside(long)
    assert isinstance(bench.run("wait", timeout=0.1), TimedOut)
    bench.stop(long)
    assert bench.sink.outcome(long) == Cancelled()
    assert isinstance(bench.run("wait", timeout=0.1), TimedOut)


def test_a_watch_that_dies_of_a_defect_is_told_of(tmp_path: Path) -> None:
    @handler
    def waits(ctx: Context) -> None:
        ctx.progress(0.1)
        ctx.progress(0.2)
        while True:
            time.sleep(0.001)

    told: list[BaseException] = []
    bench = own(tmp_path, waits, on_crash=told.append)
    heard = bench.sink.progressed

    def wrong(id: str, token: str, progress: Any) -> None:
        if threading.current_thread().name == "heavylift-io-watch":
            raise ZeroDivisionError
        heard(id, token, progress)

    bench.sink.progressed = wrong  # type: ignore[method-assign]
    try:
        bench.start("waits")
        wait_until("it is told of", lambda: told)
        assert isinstance(told[0], ZeroDivisionError)
        assert not bench.lane.snapshot()["ready"]
    finally:
        bench.lane.close(1)

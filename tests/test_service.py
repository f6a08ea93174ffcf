"""The one contract of everything that has a thread: started once, stopped any number of times, from anywhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import structlog

from heavylift.service import Service
from tests.waiting import wait_until


class Waiting(Service):
    """Runs until it is stopped, and counts how often it ran."""

    def __init__(self, name: str = "waiting", on_crash: Callable[[BaseException], None] | None = None) -> None:
        super().__init__(name, on_crash)
        self.runs = 0

    def run(self) -> None:
        self.runs += 1
        self.stopping.wait()


class OnItsOwnSignal(Service):
    """A loop that does not wait on `stopping`, as the dispatcher does: `wake` ends its wait."""

    def __init__(self) -> None:
        super().__init__("own-signal")
        self.signal = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            self.signal.wait()
            self.signal.clear()

    def wake(self) -> None:
        self.signal.set()


class Failing(Service):
    def __init__(self, error: BaseException, on_crash: Callable[[BaseException], None] | None = None) -> None:
        super().__init__("failing", on_crash)
        self.error = error

    def run(self) -> None:
        raise self.error


def test_a_service_runs_in_a_thread_of_its_name() -> None:
    service = Waiting("beat")
    assert not service.running
    service.start()
    assert "heavylift-beat" in [thread.name for thread in threading.enumerate()]
    assert service.running
    assert service.stop()
    assert not service.running


def test_a_second_start_does_nothing() -> None:
    service = Waiting()
    service.start()
    service.start()
    assert service.stop()
    assert service.runs == 1


def test_a_second_stop_does_nothing() -> None:
    service = Waiting()
    service.start()
    assert [service.stop() for _ in range(3)] == [True, True, True]


def test_a_service_that_never_started_has_stopped() -> None:
    assert Waiting().stop()


def test_a_stopped_service_does_not_start_again() -> None:
    service = Waiting()
    service.stop()
    service.start()
    assert not service.running
    assert service.runs == 0


def test_a_loop_that_waits_on_something_else_is_woken_to_stop() -> None:
    service = OnItsOwnSignal()
    service.start()
    assert service.stop()


def test_stop_says_when_the_loop_has_not_ended_in_time() -> None:
    let_go = threading.Event()

    class Busy(Service):
        def run(self) -> None:
            let_go.wait()

    service = Busy("busy")
    service.start()
    assert not service.stop(timeout=0.02)
    let_go.set()
    assert service.stop()


def test_a_loop_that_stops_itself_does_not_wait_for_itself() -> None:
    said: list[bool] = []

    class Quitting(Service):
        def run(self) -> None:
            said.append(self.stop(timeout=60))

    service = Quitting("quitting")
    service.start()
    wait_until("the loop ended", lambda: said and not service.running)
    assert said == [False], "it has not ended while it says so"
    assert service.stop()


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt()])
def test_a_loop_that_raises_is_reported_and_logged(error: BaseException) -> None:
    reported: list[BaseException] = []
    with structlog.testing.capture_logs() as logs:
        service = Failing(error, reported.append)
        service.start()
        wait_until("the loop crashed", lambda: reported and not service.running)
    assert service.crashed is error
    assert reported == [error]
    assert [(entry["event"], entry["service"]) for entry in logs] == [("service crashed", "failing")]
    assert service.stop()


def test_a_crash_is_reported_even_if_it_cannot_be_logged() -> None:
    class Gone:
        def error(self, line: str) -> None:
            raise BrokenPipeError(32, line)

    reported: list[BaseException] = []
    structlog.configure(logger_factory=lambda *_: Gone(), cache_logger_on_first_use=False)
    try:
        service = Failing(ValueError("x"), reported.append)
        service.start()
        wait_until("the loop crashed", lambda: reported and not service.running)
    finally:
        structlog.reset_defaults()
    assert service.stop()


def test_a_loop_that_ends_by_itself_is_no_crash() -> None:
    class Brief(Service):
        def run(self) -> None:
            pass

    service = Brief("brief")
    service.start()
    wait_until("the loop ended", lambda: not service.running)
    assert service.crashed is None


def test_a_service_without_a_loop_is_a_defect() -> None:
    with structlog.testing.capture_logs():
        service = Service("empty")
        service.start()
        wait_until("it crashed", lambda: service.crashed)
    assert isinstance(service.crashed, NotImplementedError)
    service.stop()


# --- under stress ----------------------------------------------------------------------------------------


def storm(service: Service, calls: list[Callable[[], Any]]) -> None:
    """Make all calls at one moment, each from a thread of its own."""
    gate = threading.Barrier(len(calls))

    def call(what: Callable[[], Any]) -> Any:
        gate.wait()
        return what()

    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(call, what) for what in calls]:
            done.result()


@pytest.mark.parametrize("kind", [Waiting, OnItsOwnSignal])
def test_starts_and_stops_from_many_threads_leave_nothing_running(kind: Callable[[], Service]) -> None:
    for _ in range(100):
        service = kind()
        storm(service, [service.start, service.stop, service.start, service.stop])
        assert service.stop()
        assert not service.running
        service.start()
        assert not service.running


def test_starts_from_many_threads_start_one_loop() -> None:
    for _ in range(100):
        service = Waiting()
        storm(service, [service.start] * 6)
        assert service.stop()
        assert service.runs == 1


def test_stops_from_many_threads_all_wait_for_the_end() -> None:
    for _ in range(50):
        service = Waiting()
        service.start()
        ended: list[bool] = []

        def stop(service: Service = service, ended: list[bool] = ended) -> None:
            ended.append(service.stop() and not service.running)

        storm(service, [stop] * 5)
        assert ended == [True] * 5


class SlowToStart(threading.Thread):
    """A thread whose start takes a while, as on a busy machine."""

    begun = threading.Event()
    go_on = threading.Event()

    def start(self) -> None:
        self.begun.set()
        self.go_on.wait(5)
        super().start()


def test_a_stop_in_the_middle_of_the_start_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Waiting()
    stopped: list[bool] = []
    starting = threading.Thread(target=service.start)
    stopping = threading.Thread(target=lambda: stopped.append(service.stop()))
    monkeypatch.setattr(threading, "Thread", SlowToStart)
    starting.start()
    assert SlowToStart.begun.wait(5)
    stopping.start()
    assert service.stopping.wait(5)
    SlowToStart.go_on.set()
    for thread in (starting, stopping):
        thread.join(5)
    assert stopped == [True]
    assert not service.running

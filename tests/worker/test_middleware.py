"""Middleware around attempts, in the worker and where the handler runs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from heavylift import Client, Middleware, State
from heavylift.decide import Settlement
from heavylift.job import JobSpec
from heavylift.middleware import Attempt
from heavylift.outcome import Outcome, cause_of
from heavylift.worker.worker import Worker
from tests.servers import Server
from tests.waiting import wait_until
from tests.worker import handlers
from tests.worker.around import TRAIL, Broken, trail
from tests.worker.conftest import StartWorker, Store

NAMED = ("tests.worker.around:Trail", "tests.worker.around:Inner")
BOTH = {"light": 1, "heavy": 1}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(TRAIL, str(tmp_path / "trail"))
    return tmp_path / "trail"


def _hooks(path: Path, job: str | None = None) -> list[str]:
    return [line["hook"] for line in trail(path) if job in (None, line.get("job"))]


def _one(path: Path, hook: str, job: str) -> dict[str, Any]:
    (found,) = [line for line in trail(path) if (line["hook"], line.get("job")) == (hook, job)]
    return found


@pytest.mark.parametrize("name", ["where_plain", "where_async", "where_heavy"])
def test_a_handler_runs_within_its_middleware_in_every_lane(
    name: str, start_worker: StartWorker, store: Store, path: Path
) -> None:
    """Context variables set around the call are seen by the handler, and by no other attempt."""
    handler = getattr(handlers, name)
    start_worker(queues={handler.queue: 1}, middleware=NAMED)
    for _ in range(2):
        job = store.enqueue(handler.job())
        assert store.ended(job, handler.queue).result == [job]
        assert _hooks(path, job) == ["claimed", "call", "returned", "ended"]
    assert _hooks(path)[:7] == ["claimed", "inner claimed", "call", "inner call", "returned", "inner ended", "ended"]
    assert {line["here"] for line in trail(path) if line["hook"] == "inner call"} == {
        line["job"] for line in trail(path) if line["hook"] == "call"
    }


def test_the_carrier_travels_from_the_producer_over_the_worker_to_the_child(
    start_worker: StartWorker, store: Store, path: Path, any_server: Server
) -> None:
    worker = start_worker(queues=BOTH, middleware=NAMED)
    with Client(settings=worker.settings) as client:
        job = client.enqueue(handlers.where_heavy.job())
        job.result(timeout=10)
    assert _one(path, "claimed", job.id)["carrier"] == {"from": "producer"}
    call, claimed = _one(path, "call", job.id), _one(path, "claimed", job.id)
    assert call["carrier"] == {"from": "producer", "by": worker.id}
    assert call["pid"] != claimed["pid"]


def test_each_attempt_is_seen_with_its_number_its_outcome_and_what_becomes_of_the_job(
    start_worker: StartWorker, store: Store, path: Path
) -> None:
    start_worker(middleware=NAMED)
    job = store.enqueue(handlers.fails.job("no luck"))
    store.ended(job)
    ended = [line for line in trail(path) if line["hook"] == "ended"]
    assert [(line["number"], line["cause"], line["to"]) for line in ended] == [
        (1, "error", "delayed"),
        (2, "error", "delayed"),
        (3, "error", "failed"),
    ]
    assert all(0 <= line["seconds"] < 5 for line in ended)
    assert [line["raised"] for line in trail(path) if line["hook"] == "raised"] == ["ValueError"] * 3


def test_the_end_of_a_killed_child_is_seen_by_the_worker(start_worker: StartWorker, store: Store, path: Path) -> None:
    start_worker(queues=BOTH, middleware=NAMED)
    job = store.enqueue(handlers.die_once.job())
    assert store.ended(job, "heavy").result == "survived"
    assert _hooks(path, job) == ["claimed", "call", "ended", "claimed", "call", "returned", "ended"]
    causes = [line["cause"] for line in trail(path) if line["hook"] == "ended"]
    assert causes == ["killed:SIGKILL", "completed"]


def test_a_process_of_the_cpu_lane_flushes_when_it_is_renewed_and_when_it_is_closed(
    start_worker: StartWorker, store: Store, path: Path
) -> None:
    worker = start_worker(queues=BOTH, middleware=NAMED, recycle_jobs=1, grace=10.0)
    job = store.enqueue(handlers.where_heavy.job())
    store.ended(job, "heavy")
    child = _one(path, "call", job)["pid"]
    wait_until("the old process has flushed", lambda: {"hook": "flush", "pid": child} in trail(path))
    wait_until("the next one is there", lambda: worker.lanes["cpu"].free() == 1, timeout=10)
    assert worker.stop()
    assert (
        len({line["pid"] for line in trail(path) if line["hook"] == "flush"}) == 3
    )  # and the next one, and the worker


class Unhappy(Worker):
    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, middleware=[Broken()], **more)


class Abrupt(Middleware):
    """Ends threads, where it is let."""

    def ended(self, attempt: Attempt, outcome: Outcome, settlement: Settlement) -> None:
        raise KeyboardInterrupt


class Interrupted(Worker):
    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, middleware=[Abrupt()], **more)


def test_nothing_that_it_raises_keeps_a_job_from_being_settled(start_worker: StartWorker, store: Store) -> None:
    start_worker(Interrupted, queues=BOTH)
    for job in (handlers.echo.job(1), handlers.block_for.job("open"), handlers.spin.job(0.0)):
        handlers.gates["open"].set()
        assert store.ended(store.enqueue(job), job.queue).state is State.COMPLETED


class Absorbed(Middleware):
    """Does not return from the first end that it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.back = threading.Event()

    def ended(self, attempt: Attempt, outcome: Outcome, settlement: Settlement) -> None:
        self.told.append(cause_of(outcome))
        if len(self.told) == 1:
            self.back.wait(30)


@pytest.mark.parametrize("echo", [handlers.echo.job(1), handlers.spin.job(0.0)], ids=["io", "cpu"])
def test_an_attempt_whose_end_it_holds_up_for_ever_loses_its_lock_in_the_end(
    echo: JobSpec[Any], start_worker: StartWorker, store: Store
) -> None:
    absorbed = Absorbed()

    class Holding(Worker):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, middleware=[absorbed], **more)

    with capture_logs() as logs:
        worker = start_worker(Holding, queues=BOTH, lock=1.0)
        other = start_worker(queues=BOTH, lock=1.0)
        other.quiet()
        job = store.enqueue(echo, queue=echo.queue)
        wait_until("it is held up", lambda: absorbed.told == ["completed"])
        worker.quiet()
        other.quiet(False)
        try:
            record = store.ended(job, echo.queue, timeout=20.0)
        finally:
            absorbed.back.set()
    assert record.state is State.COMPLETED
    assert [one.cause for one in record.attempts] == ["abandoned", "completed"]
    assert [line["job"] for line in logs if line["event"].startswith("an attempt was never settled")] == [job]


class Text(str):
    """As `numpy.str_` is one."""


class Scribble(Middleware):
    """Puts odd text into carriers, or something else in their place."""

    def claimed(self, attempt: Attempt) -> None:
        if attempt.job.handler == "where_heavy":
            attempt.carrier[Text("a")] = Text("caf\udce9")
        else:
            attempt.carrier = None  # type: ignore[assignment]


class Scribbling(Worker):
    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, middleware=[Scribble()], **more)


def test_what_it_puts_into_a_carrier_does_no_harm_to_the_worker(start_worker: StartWorker, store: Store) -> None:
    start_worker(Scribbling, queues=BOTH)
    for spec in (handlers.where_heavy.job(), handlers.echo.job(1)):
        assert store.ended(store.enqueue(spec), spec.queue).state is State.COMPLETED


def test_what_fails_in_the_worker_is_told_once_and_loses_no_job(start_worker: StartWorker, store: Store) -> None:
    with capture_logs() as logs:
        worker = start_worker(Unhappy)
        jobs = [store.enqueue(handlers.echo.job(value)) for value in range(3)]
        assert [store.ended(job).result for job in jobs] == [0, 1, 2]
        assert store.ended(store.enqueue(handlers.fall.job())).state is State.FAILED
        worker.stop()
    told = sorted(line["hook"] for line in logs if line["event"].startswith("middleware failed"))
    assert told == ["claimed", "claimed", "ended", "flush"]  # its own error, and the carrier it spoilt

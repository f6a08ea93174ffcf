"""A worker in the test's own process, against a real server, and the few calls its tests speak to the store with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from heavylift.codec import seal
from heavylift.job import JobRecord, JobSpec, State, new_id
from heavylift.registry import Registry
from heavylift.settings import Settings
from heavylift.store.connection import Connection
from heavylift.store.jobs import Jobs, NewJob
from heavylift.store.target import Target
from heavylift.worker.worker import Worker
from tests.servers import Server
from tests.waiting import wait_until
from tests.worker import handlers

FAST: dict[str, Any] = {
    "lock": 2.0,
    "sweep": 0.2,
    "poll": 30.0,
    "slots": 1,
    "places": 10,
    "grace": 0.5,
    "deadline": 5.0,
}


@dataclass
class Store:
    """The producer's and the reader's side, over a connection of its own."""

    url: str

    def __post_init__(self) -> None:
        self.jobs = Jobs()
        self.connection = Connection(Target.from_url(self.url), name="test")

    def enqueue(self, spec: JobSpec[Any], *, queue: str | None = None, raw: bytes | None = None, **more: Any) -> str:
        job = NewJob(id=new_id(), handler=spec.handler, spec=raw or seal(spec, spec.options, limit=1 << 18), **more)
        self.connection.ask(self.jobs.enqueue(queue or spec.queue, [job], job.id))
        return job.id

    def record(self, job: str, queue: str = "light") -> JobRecord:
        found = self.connection.ask(self.jobs.job(queue, job))
        assert found is not None, f"no job {job}"
        return found

    def ended(self, job: str, queue: str = "light", timeout: float = 10.0) -> JobRecord:
        def look() -> JobRecord | None:
            found = self.record(job, queue)
            return found if found.state.ended else None

        return wait_until(f"job {job} has ended", look, timeout)

    def state(self, job: str, queue: str = "light") -> State:
        return self.record(job, queue).state

    def commands(self) -> int:
        return int(str(self.connection.command("INFO", "stats")).split("total_commands_processed:")[1].split("\\r")[0])


@pytest.fixture
def store(any_server: Server) -> Iterator[Store]:
    store = Store(any_server.url)
    yield store
    store.connection.close()


StartWorker = Callable[..., Worker]


@pytest.fixture
def start_worker(any_server: Server) -> Iterator[StartWorker]:
    """`start_worker(kind=Worker, queues=..., places=1)` starts one; all are stopped at the end."""
    workers: list[Worker] = []
    handlers.gates.clear()
    handlers.running.clear()

    def start(kind: type[Worker] = Worker, *, queues: dict[str, int] | None = None, **settings: Any) -> Worker:
        chosen = Settings.load(env={}, redis_url=any_server.url, queues=queues or {"light": 1}, **{**FAST, **settings})
        modules = ["tests.worker.handlers"]
        registry = Registry(value for value in vars(handlers).values() if hasattr(value, "lane"))
        workers.append(kind(chosen, registry, modules=modules))
        workers[-1].start()
        return workers[-1]

    yield start
    for gate in list(handlers.gates.values()):
        gate.set()
    for worker in workers:
        worker.stop()
        wait_until("the worker's loops have ended", lambda it=worker: it.stop(), timeout=10)  # type: ignore[misc]
        assert worker.crashed is None
        assert len(worker.running) == 0

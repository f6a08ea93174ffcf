"""A running worker told to do more, less, or nothing for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from heavylift.client import AsyncClient, Client
from heavylift.errors import InvalidArgument, Unavailable, WorkerNotFound, WorkerSilent
from heavylift.settings import Settings
from heavylift.worker.worker import Worker
from tests.servers import Server
from tests.waiting import wait_until
from tests.worker import handlers
from tests.worker.conftest import StartWorker, Store


@pytest.fixture
def client(any_server: Server) -> Iterator[Client]:
    client = Client(settings=Settings.load(env={}, redis_url=any_server.url))
    yield client
    client.close()


def alive(client: Client, worker: Worker) -> None:
    wait_until("it to be seen", lambda: worker.id in [w.id for w in client.shell.run(client.overview.worker_states())])


def test_places_are_added_and_taken_away_while_jobs_run(
    start_worker: StartWorker, store: Store, client: Client
) -> None:
    worker = start_worker(places=1)
    alive(client, worker)
    jobs = [store.enqueue(handlers.wait_for.job(f"g{number}")) for number in range(6)]
    wait_until("one to run", lambda: len(handlers.running) == 1)

    assert client.scale(worker.id, places=4).lanes["io"]["places"] == 4
    wait_until("four to run", lambda: len(handlers.running) == 4)

    assert client.scale(worker.id, places=1).lanes["io"]["places"] == 1
    order = [jobs.index(id) for id in handlers.running]
    for number in order[:3]:
        handlers.gates[f"g{number}"].set()
        store.ended(jobs[number])
    assert len(handlers.running) == 4, "one runs still, and there is one place"
    for number in range(6):
        handlers.gates[f"g{number}"].set()
    for job in jobs:
        store.ended(job)


def test_a_worker_that_is_paused_claims_nothing_until_it_is_resumed(
    start_worker: StartWorker, store: Store, client: Client
) -> None:
    worker = start_worker(poll=30.0)
    alive(client, worker)
    assert client.pause_worker(worker.id)
    assert not client.pause_worker(worker.id), "it is paused already"
    job = store.enqueue(handlers.echo.job(1))
    claimed = worker.dispatcher.claimed
    assert client.resume_worker(worker.id)
    assert not client.resume_worker(worker.id)
    assert store.ended(job).result == 1
    assert (claimed, worker.dispatcher.claimed) == (0, 1)


def test_a_worker_is_named_by_its_id_its_beginning_or_its_process(start_worker: StartWorker, client: Client) -> None:
    one, other = start_worker(places=1), start_worker(places=1)
    alive(client, one)
    alive(client, other)
    assert client.scale(one.id[:-1], places=2).id == one.id
    assert other.lanes["io"].size == 1
    with pytest.raises(InvalidArgument, match="fits several"):
        client.scale(str(other.facts()["pid"]), places=2)
    with pytest.raises(WorkerNotFound, match="no worker 'nobody' is alive"):
        client.scale("nobody", places=2)


def test_what_cannot_be_meant_is_refused(start_worker: StartWorker, client: Client) -> None:
    worker = start_worker()
    alive(client, worker)
    with pytest.raises(InvalidArgument, match="has no cpu lane"):
        client.scale(worker.id, slots=2)
    with pytest.raises(InvalidArgument, match="say how many"):
        client.scale(worker.id)
    with pytest.raises(InvalidArgument, match="give a whole number from 0"):
        client.scale(worker.id, places=-1)


def test_an_async_client_does_the_same(start_worker: StartWorker, any_server: Server, client: Client) -> None:
    worker = start_worker(places=1)
    alive(client, worker)

    async def steer() -> None:
        async with AsyncClient(settings=Settings.load(env={}, redis_url=any_server.url)) as steering:
            assert (await steering.scale(worker.id, places=3)).places == 3
            assert await steering.pause_worker(worker.id)
            assert await steering.resume_worker(worker.id)

    asyncio.run(steer())


class Deaf(Worker):
    """Hears nothing of what it is told."""

    def _build(self, modules: list[str]) -> None:  # type: ignore[override]
        super()._build(modules)
        self.dispatcher._steer = lambda word, rest: None  # type: ignore[method-assign]


def test_a_worker_that_does_not_answer_is_said_to(
    start_worker: StartWorker, any_server: Server, client: Client
) -> None:
    worker = start_worker(Deaf)
    alive(client, worker)
    impatient = Client(settings=Settings.load(env={}, redis_url=any_server.url), patience=0.2)
    with pytest.raises(WorkerSilent, match="does not answer") as silent:
        impatient.scale(worker.id, places=2)
    assert not isinstance(silent.value, Unavailable), "Redis is there"
    impatient.close()

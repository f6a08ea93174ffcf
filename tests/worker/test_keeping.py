"""A running worker removes ended jobs by its timer: by what they say, what is set for the queue, and its settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from heavylift import Client, Job, JobOptions, State
from heavylift.errors import JobNotFound
from heavylift.settings import Settings
from tests.servers import Server
from tests.waiting import wait_until
from tests.worker import handlers
from tests.worker.conftest import StartWorker


@pytest.fixture
def client(any_server: Server) -> Iterator[Client]:
    with Client(settings=Settings.load(env={}, redis_url=any_server.url)) as client:
        yield client


def state(job: Job[Any]) -> State | None:
    """Where a job is; None if it is gone."""
    try:
        return job.state()
    except JobNotFound:
        return None


def kept(jobs: Sequence[Job[Any]]) -> list[Job[Any]]:
    """Those that are still there."""
    return [job for job in jobs if state(job) is not None]


def ended(job: Job[Any]) -> Job[Any]:
    """Wait for a job's end. It may be gone soon."""
    wait_until("it has ended", lambda: (found := state(job)) is None or found.ended, timeout=10)
    return job


def complete(client: Client, count: int, **options: Any) -> list[Job[Any]]:
    """Jobs that have completed, each after the one before."""
    return [ended(client.enqueue(handlers.echo.job(n), **options)) for n in range(count)]


def fail(client: Client, **options: Any) -> Job[Any]:
    """A dead letter."""
    return ended(client.enqueue(handlers.fall.job(), **options))


def wait_for_sweep(server: Server, keep: float) -> None:
    """Wait until a sweep has put this time in force for completed jobs (seconds): it goes for those that end then."""
    with server.client() as redis:
        meta, wanted = "heavylift:{light}:meta", str(round(keep * 1000)).encode()
        wait_until("the time is in force", lambda: redis.hget(meta, "keep:completed") == wanted, timeout=10)


def test_a_job_that_says_how_long_is_removed_after_that_with_all_that_is_kept_of_it(
    client: Client, start_worker: StartWorker, any_server: Server
) -> None:
    start_worker()
    (stays,) = complete(client, 1)
    letter = fail(client, keep=0.5, keep_failed=600)
    jobs = [*complete(client, 3, keep=0.5), fail(client, keep=600, keep_failed=0.5)]
    wait_until("they are removed", lambda: not kept(jobs), timeout=10)
    assert kept([stays, letter]) == [stays, letter]
    with any_server.client() as redis:
        left = [key.decode() for key in redis.keys("*")]
        indexed = {
            id.decode()
            for state in ("completed", "failed", "purge")
            for id in redis.zrange(f"heavylift:{{light}}:{state}", 0, -1)
        }
    assert not [key for key in left for job in jobs if job.id in key]
    assert indexed == {stays.id, letter.id}


def test_what_is_set_for_a_queue_holds_for_the_jobs_that_end_from_the_next_sweep_on(
    client: Client, start_worker: StartWorker, any_server: Server
) -> None:
    start_worker()
    before = complete(client, 1)
    client.retain("light", completed=0.5, failed=600)
    wait_for_sweep(any_server, 0.5)
    jobs, letter = complete(client, 3), fail(client)
    own = complete(client, 1, keep=600)
    wait_until("they are removed", lambda: not kept(jobs), timeout=10)
    assert kept([*before, *own, letter]) == [*before, *own, letter]


def test_of_a_queue_so_many_are_kept_as_is_set_the_latest(client: Client, start_worker: StartWorker) -> None:
    start_worker()
    jobs, letter = complete(client, 10), fail(client)
    client.retain("light", completed_count=3)
    wait_until("the oldest are removed", lambda: len(kept(jobs)) <= 3, timeout=10)
    assert kept(jobs) == jobs[-3:]
    assert letter.state() is State.FAILED


def test_of_a_handler_so_many_are_kept_as_its_jobs_say(client: Client, start_worker: StartWorker) -> None:
    start_worker()
    others = complete(client, 3)
    few = JobOptions(keep_count=2)
    jobs = client.enqueue_many([handlers.say_much.job(n).with_options(few) for n in range(6)])
    for job in jobs:
        ended(job)
    wait_until("all but two are removed", lambda: len(kept(jobs)) <= 2, timeout=10)
    assert len(kept(jobs)) == 2
    assert kept(others) == others


@pytest.mark.parametrize(
    ("said", "left"), [({"keep_completed": 0.5}, 0), ({"keep_completed_count": 2}, 2)], ids=["times", "counts"]
)
def test_the_settings_of_the_workers_hold_where_nothing_else_is_said(
    client: Client, start_worker: StartWorker, any_server: Server, said: dict[str, Any], left: int
) -> None:
    start_worker(**said)
    if keep := said.get("keep_completed"):
        wait_for_sweep(any_server, keep)
    jobs = complete(client, 5)
    wait_until("they are removed", lambda: len(kept(jobs)) <= left, timeout=10)
    assert kept(jobs) == jobs[len(jobs) - left :]

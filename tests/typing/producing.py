"""Enqueueing jobs and asking after them, as type checkers see it. Read by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from heavylift import (
    AsyncClient,
    Backoff,
    Client,
    Job,
    JobCancelled,
    JobFailed,
    JobSpec,
    Progress,
    ResultTimeout,
    State,
)
from heavylift.client import AsyncJob
from heavylift.event import Event
from heavylift.job import JobRecord
from tests.typing.handlers import Size, asynchronous, nothing, plain, with_context


def produce(client: Client) -> None:
    job = client.enqueue(plain.job("a.jpg", 800))
    assert_type(job, Job[Size])
    assert_type(job.result(timeout=60), Size)
    assert_type(job.state(), State)
    assert_type(job.record(), JobRecord)
    assert_type(job.progress(), Progress | None)
    assert_type(job.watch(), Iterator[Event])
    assert_type(job.duplicate, bool)
    assert_type(client.enqueue(asynchronous.job("a")).result(), int)
    assert_type(client.enqueue(nothing.job()), Job[None])
    assert_type(client.enqueue_many([plain.job("a", 1), with_context.job("b")]), list[Job[Size]])
    assert_type(client.enqueue(JobSpec[Any]("resize", {"source": "a.jpg"}, queue="images")), Job[Any])
    assert_type(client.job("some-id"), Job[Any])


def options(client: Client) -> None:
    client.enqueue(
        nothing.job(),
        id="order-42",
        queue="other",
        delay=timedelta(minutes=5),
        priority=-1,
        group="shop",
        key="account-7",
        expires=600,
        retries=0,
        backoff=[1, 5],
        timeout=2.5,
        grace=1,
        keep=timedelta(days=1),
        tags=["a"],
        correlation_id="request-9",
    )
    client.enqueue(nothing.job(), at=datetime(2026, 1, 1, tzinfo=UTC), backoff=Backoff(initial=3))
    client.enqueue(nothing.job(), delay=None, priority=None)


def wait(job: Job[Size]) -> int:
    try:
        return job.result(timeout=1)["width"]
    except ResultTimeout:
        return 0
    except JobCancelled as cancelled:
        return len(cancelled.job)
    except JobFailed as failed:
        assert_type(failed.traceback, str | None)
        return len(failed.reason)


async def produce_on_a_loop(client: AsyncClient) -> None:
    async with client:
        job = await client.enqueue(plain.job("a.jpg", 800), delay=3)
        assert_type(job, AsyncJob[Size])
        assert_type(await job.result(timeout=60), Size)
        assert_type(job.watch(), AsyncIterator[Event])
        assert_type(await client.enqueue_many([asynchronous.job("a")]), list[AsyncJob[int]])

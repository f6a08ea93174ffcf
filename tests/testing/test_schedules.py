"""Schedules in a user's tests: they tick as far as time is let pass."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from heavylift import Context, Every, handler
from heavylift.testing import Drained, Harness

nights: list[float] = []


@handler(queue="nightly", schedule="0 3 * * *")
def close_books(ctx: Context) -> None:
    nights.append(ctx.job.enqueued_at)


def test_drain_fires_the_schedules_whose_time_comes(jobs: Harness) -> None:
    nights.clear()
    jobs.use(close_books)
    assert jobs.drain() == Drained()
    assert jobs.drain(with_delayed=timedelta(days=3)) == Drained(completed=3)
    assert [later - sooner for sooner, later in pairwise(nights)] == [86_400, 86_400]
    assert jobs.drain(with_delayed=True) == Drained(), "they never end, so nobody waits for them"
    (found,) = jobs.client.schedules()
    assert (found.name, found.declared, found.fired, found.skipped) == ("close_books", True, 3, 0)


def test_jobs_of_a_queue_that_only_a_schedule_fills_are_seen(jobs: Harness) -> None:
    jobs.use(close_books)
    jobs.drain(with_delayed=timedelta(days=1))
    assert [job.handler for job in jobs.ended()] == ["close_books"]


def test_a_schedule_of_a_queue_that_no_handler_names_ticks_too(jobs: Harness) -> None:
    jobs.use(close_books)
    jobs.client.schedule("elsewhere", close_books.job(), Every(hours=1), queue="elsewhere")
    drained = jobs.drain(with_delayed=timedelta(hours=2))
    assert [one.queue for one in drained.attempts].count("elsewhere") == 2

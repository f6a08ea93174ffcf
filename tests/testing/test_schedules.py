"""Schedules in a user's tests: they tick as far as time is let pass."""

from __future__ import annotations

import itertools
from datetime import timedelta

from heavylift import Context, handler
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
    assert [later - sooner for sooner, later in itertools.pairwise(nights)] == [86_400, 86_400]
    assert jobs.drain(with_delayed=True) == Drained(), "they never end, so nobody waits for them"
    (found,) = jobs.client.schedules()
    assert (found.name, found.declared, found.fired, found.skipped) == ("close_books", True, 3, 0)

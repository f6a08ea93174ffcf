"""Keeping ended jobs, through both clients."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from heavylift import JobSpec, Retention, handler
from heavylift.errors import HandlerError, InvalidArgument
from tests.client.hand import Hand
from tests.servers import Server

KEEP = b"keep"


def test_what_is_set_for_a_queue_is_read_back_and_taken_back(client: Any) -> None:
    assert client.retention("default") == Retention()
    client.retain("default", completed=timedelta(hours=1), failed_count=5)
    client.retain("default", failed=1.5)
    assert client.retention("default") == Retention(completed=3600.0, failed=1.5, failed_count=5)
    client.retain("default", completed="default", failed="default", failed_count="default")
    assert client.retention("default") == Retention()
    assert "default" in client.queues()


def test_what_is_set_holds_for_the_next_job_that_ends_before_any_sweep(client: Any, any_server: Server) -> None:
    client.retain("default", failed=1.5)
    with Hand(any_server.url) as hand, any_server.client() as redis:
        client.enqueue(JobSpec("h", {}))
        job = hand.claim()
        hand.fail(job)
        ((_, goes),) = redis.zrange("heavylift:{default}:purge", 0, -1, withscores=True)
        ended = float(redis.hget(f"heavylift:{{default}}:job:{job.id}", "finished_at"))
        assert goes - ended == 1500


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({}, "completed"),
        ({"completed": -1}, "completed"),
        ({"failed": "soon"}, "failed"),
        ({"completed_count": 1.5}, "completed_count"),
        ({"failed_count": True}, "failed_count"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(client: Any, said: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        client.retain("default", **said)
    assert refused.value.field == field


@handler(keep=60, keep_failed=timedelta(days=1), keep_count=100, keep_failed_count=7)
def tidy() -> None:
    """Says all there is to say."""


def test_a_job_carries_what_its_handler_says_unless_it_says_so_itself(client: Any, hand: Hand) -> None:
    def stored(spec: JobSpec[Any], **options: Any) -> bytes | None:
        job = client.enqueue(spec, **options)
        return hand.connection.ask(hand.jobs.raw("default", job.id)).get(KEEP)

    assert stored(tidy.job()) == b"60000/86400000/100/7"
    assert stored(tidy.job(), keep_failed=5) == b"60000/5000/100/7"
    assert stored(JobSpec("h"), keep=5) == b"5000"
    assert stored(JobSpec("h"), keep_failed=5) == b"-/5000"
    assert stored(JobSpec("h")) is None


def test_a_handler_that_would_keep_less_than_nothing_is_refused() -> None:
    with pytest.raises(HandlerError, match="keep_count"):
        handler(name="no", keep_count=-1)(lambda: None)

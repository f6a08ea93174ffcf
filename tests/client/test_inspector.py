from __future__ import annotations

from typing import Any

import pytest

from heavylift.errors import JobNotFound
from heavylift.inspector import AsyncInspector, Inspector
from heavylift.job import JobSpec
from heavylift.limits import Limit, QueueLimits
from tests.client.hand import Hand
from tests.client.shells import OnLoop

SPEC: JobSpec[Any] = JobSpec("resize", {"n": 1})
FACTS = {
    "id": "w1",
    "host": "4711",
    "pid": 77,
    "version": "1.0",
    "started_at": 1000,
    "quiet": 0,
    "queues": '{"default":"io","images":"cpu"}',
    "lanes": '{"io":{"places":100,"free":98},"cpu":{"places":2,"free":0}}',
    "running": '["a","b"]',
}


@pytest.fixture
def inspector(client: Any) -> Any:
    """An inspector of the shell under test."""
    return OnLoop(AsyncInspector(client._inner), client._loop) if isinstance(client, OnLoop) else Inspector(client)


def beat(hand: Hand, **about: Any) -> None:
    """A worker says how it does."""
    facts = {**FACTS, **about}
    hand.connection.round_trip(hand.jobs.beat(str(facts["id"]), facts, ttl_ms=60_000))


def test_the_status_says_what_is_limited(client: Any, inspector: Any) -> None:
    client.limit("default", group="resize", concurrency=2)
    client.order("default", "fair")
    [queue] = inspector.status().queues
    assert queue.limits == QueueLimits((Limit("resize", False, 2),), "fair")


def test_the_status_counts_jobs_by_queue_and_state(client: Any, inspector: Any, hand: Hand) -> None:
    client.enqueue_many([SPEC] * 3)
    client.enqueue(SPEC, delay=60)
    hand.fail(hand.claim())
    hand.claim()
    client.pause("other")
    status = inspector.status()
    default, other = status.queues
    assert (default.name, other.name) == ("default", "other")
    counts = default.counts
    assert (counts.waiting, counts.delayed, counts.active, counts.failed) == (1, 1, 1, 1)
    assert counts.oldest_waiting_ms is not None
    assert (counts.paused, other.counts.paused) == (False, True)


def test_the_status_says_who_works_on_what(client: Any, inspector: Any, hand: Hand) -> None:
    client.enqueue(SPEC)
    beat(hand)
    beat(hand, id="w2", queues='{"default":"io"}')
    status = inspector.status()
    assert [(queue.name, queue.lane, sorted(queue.workers)) for queue in status.queues] == [
        ("default", "io", ["w1", "w2"]),
        ("images", "cpu", ["w1"]),
    ]
    worker = next(worker for worker in status.workers if worker.id == "w1")
    assert (worker.host, worker.pid, worker.version, worker.places) == ("4711", 77, "1.0", 102)
    assert (worker.running, worker.quiet) == (["a", "b"], False)
    assert worker.seen_at > 0


def test_a_worker_that_has_fallen_silent_is_not_counted(client: Any, inspector: Any, hand: Hand) -> None:
    beat(hand)
    hand.connection.command("DEL", "heavylift:worker:w1", key="heavylift:worker:w1")
    assert inspector.status().workers == []
    assert client.workers() == []


def test_what_a_worker_says_of_itself_is_passed_on_whatever_it_is(client: Any, inspector: Any, hand: Hand) -> None:
    """A newer version says more, a broken one nonsense."""
    beat(hand, mood="{bad", tomorrow=1, queues="7", lanes="[]", running="", pid="many")
    (facts,) = client.workers()
    assert (facts["mood"], facts["tomorrow"]) == ("{bad", 1)
    (worker,) = inspector.status().workers
    assert (worker.queues, worker.lanes, worker.running, worker.pid, worker.places) == ({}, {}, [], 0, 0)


def test_the_status_says_what_the_server_is(inspector: Any) -> None:
    server = inspector.status().server
    assert server.kind in ("redis", "valkey")
    assert int(server.version.split(".")[0]) >= 7
    assert (server.eviction, server.memory_limit) == ("noeviction", 0)
    assert server.memory > 0
    assert server.clients >= 1


def test_a_job_is_shown_whatever_queue_it_is_in(client: Any, inspector: Any) -> None:
    job = client.enqueue(SPEC, queue="images")
    assert inspector.job(job.id).args == {"n": 1}
    with pytest.raises(JobNotFound):
        inspector.job("nowhere")


def test_dead_letters_and_events_are_there_too(client: Any, inspector: Any, hand: Hand) -> None:
    job = client.enqueue(SPEC)
    hand.fail(hand.claim())
    assert [record.id for record in inspector.failed(reason="exhausted")] == [job.id]
    assert [event.event.value for event in inspector.watch(job)] == ["failed"]

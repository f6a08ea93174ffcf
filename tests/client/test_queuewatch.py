"""Watches of whole queues whose listener is the test itself: what they tell although messages were lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from heavylift import Client, JobSpec
from heavylift.client import queuewatch
from heavylift.client.inbox import Heard, Mark, ThreadInbox
from heavylift.client.plan import Ask, Hear, Listen, Running, Tell
from heavylift.event import Event, Kind
from heavylift.job import Reason
from heavylift.store.connection import Connection, Target
from tests.client.conftest import settings
from tests.client.hand import Hand

SPEC: JobSpec[Any] = JobSpec("resize", {"n": 1})


class Watch:
    """A watch of the queue `default`. It hears what the test says and reads from Redis; `told` grows."""

    def __init__(self, client: Client, connection: Connection) -> None:
        self._box = ThreadInbox(lambda _: None)
        self._connection = connection
        self._going = Running(client.plans.watch_queues("default", None))
        self.told: list[tuple[str, str]] = []
        self.asked: list[str] = []

    def hears(self, *heard: Heard) -> None:
        """Have it hear this, and go on until it would wait for more."""
        for one in heard:
            self._box.put(one)
        while (step := self._going.step) is not None:
            if isinstance(step, Listen):
                self._going.answer(self._box)
            elif isinstance(step, Tell):
                self.told.append((step.event.job, step.event.event.value))
                self._going.answer(None)
            elif isinstance(step, Hear):
                found = self._box.take(0)
                if not found:
                    return
                self._going.answer(found)
            else:
                assert isinstance(step, Ask)
                self.asked += [call.script.verb if call.script else str(call.command[0]) for call in step.calls]
                self._going.answer(self._connection.round_trip(step.calls))

    def ends(self) -> Counter[str]:
        """How often an end was told, by job."""
        return Counter(job for job, kind in self.told if kind in ("completed", "failed", "cancelled", "removed"))


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(settings=settings(url)) as client:
        yield client


@pytest.fixture
def watch(client: Client, url: str) -> Iterator[Watch]:
    connection = Connection(Target.from_url(url), name="watch")
    yield Watch(client, connection)
    connection.close()


def test_a_job_that_waited_when_the_watch_began_and_came_to_its_end_unheard_is_told(
    client: Client, watch: Watch, hand: Hand
) -> None:
    done, broken, withdrawn = client.enqueue_many([SPEC, SPEC, SPEC])
    watch.hears(Mark.LIVE)
    assert watch.told == []
    watch.hears(Mark.LOST)
    hand.complete(hand.claim())
    hand.fail(hand.claim(), Reason.EXHAUSTED)
    withdrawn.cancel()
    watch.hears(Mark.LIVE)
    assert sorted(watch.told) == sorted([(done.id, "completed"), (broken.id, "failed"), (withdrawn.id, "cancelled")])


def test_what_ended_before_the_watch_began_is_not_told(client: Client, watch: Watch, hand: Hand) -> None:
    client.enqueue_many([SPEC] * 3)
    hand.do_all()
    after = client.enqueue(SPEC)
    watch.hears(Mark.LIVE)
    watch.hears(Mark.LOST)
    hand.do_all()
    watch.hears(Mark.LIVE)
    assert watch.told == [(after.id, "completed")]


def test_all_that_run_are_told_however_many(client: Client, watch: Watch, hand: Hand) -> None:
    jobs = client.enqueue_many([SPEC] * (2 * queuewatch.PAGE + 50))
    while hand.claim_some("default", 100):
        pass
    watch.hears(Mark.LIVE)
    assert sorted(watch.told) == sorted((job.id, "active") for job in jobs)


def test_every_end_is_told_once_however_many_were_lost_and_how_often(client: Client, watch: Watch, hand: Hand) -> None:
    """More than a page in one transaction, so that many have ended in the same millisecond, in two gaps."""
    jobs = client.enqueue_many([SPEC] * (3 * queuewatch.PAGE))
    watch.hears(Mark.LIVE)
    for _ in range(2):
        watch.hears(Mark.LOST)
        claimed = hand.claim_some("default", len(jobs) // 2)
        assert len(claimed) > queuewatch.PAGE
        hand.complete_all(claimed)
        watch.hears(Mark.LIVE)
    watch.hears(Mark.LIVE)
    assert watch.ends() == Counter(job.id for job in jobs)


def test_a_message_about_an_end_that_was_read_tells_nothing_but_another_life_is_told(
    client: Client, watch: Watch, hand: Hand
) -> None:
    job = client.enqueue(SPEC)
    watch.hears(Mark.LIVE)
    hand.fail(hand.claim())
    watch.hears(Mark.LIVE)
    ended = job.record().finished_at
    assert ended
    watch.hears(said(job.id, Kind.FAILED, ended))
    assert watch.told == [(job.id, "failed")]
    job.retry()
    watch.hears(said(job.id, Kind.WAITING, ended + 1))
    assert watch.told[1:] == [(job.id, "waiting")]


def test_messages_after_a_gap_do_not_hide_what_was_lost_in_it(client: Client, watch: Watch, hand: Hand) -> None:
    """As when a box overflows: the gap and what follows it are heard together."""
    lost, heard = client.enqueue_many([SPEC, SPEC])
    watch.hears(Mark.LIVE)
    hand.do_all()
    watch.hears(Mark.LIVE, said(heard.id, Kind.COMPLETED, (heard.record().finished_at or 0) + 1000))
    assert watch.ends() == {lost.id: 1, heard.id: 1}


def test_nothing_is_read_while_everything_is_heard(client: Client, watch: Watch) -> None:
    job = client.enqueue(SPEC)
    watch.hears(Mark.LIVE)
    assert sorted(watch.asked) == ["ended", "page"]
    watch.hears(said(job.id, Kind.ACTIVE, 1), said(job.id, Kind.COMPLETED, 2))
    assert watch.told == [(job.id, "active"), (job.id, "completed")]
    assert len(watch.asked) == 2


def said(job: str, kind: Kind, at: int) -> bytes:
    return msgspec.json.encode(Event(kind, job, "default", at))

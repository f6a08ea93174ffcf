from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from heavylift.errors import JobNotFound
from heavylift.event import Event
from heavylift.job import JobSpec
from tests.client.conftest import MakeClient
from tests.client.hand import Hand
from tests.servers import Server
from tests.waiting import wait_until

SPEC: JobSpec[Any] = JobSpec("resize", {"n": 1})


@pytest.fixture
def aside() -> Iterator[Callable[..., Future[Any]]]:
    """`aside(fn, ...)` runs it in a thread."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


class Watcher:
    """Watches in a thread; `seen` grows."""

    def __init__(self, events: Iterator[Event], aside: Callable[..., Future[Any]]) -> None:
        self.seen: list[Event] = []
        self.done = aside(self._watch, events)

    def _watch(self, events: Iterator[Event]) -> None:
        for event in events:
            self.seen.append(event)

    @property
    def kinds(self) -> list[str]:
        return [event.event.value for event in self.seen]

    def awaits(self, *kinds: str) -> None:
        wait_until(f"{kinds} were told", lambda: self.kinds == list(kinds) or not self._fits(kinds))
        assert self.kinds == list(kinds)

    def _fits(self, kinds: tuple[str, ...]) -> bool:
        return self.kinds == list(kinds[: len(self.seen)])


def test_a_watcher_is_told_everything_from_where_the_job_is_to_its_end(
    client: Any, hand: Hand, aside: Callable[..., Future[Any]]
) -> None:
    job = client.enqueue(SPEC)
    watcher = Watcher(job.watch(), aside)
    watcher.awaits("waiting")
    claimed = hand.claim()
    hand.progress(claimed, 0.5)
    watcher.awaits("waiting", "active", "progress")
    assert watcher.seen[1].detail == "hand"
    assert watcher.seen[2].progress is not None
    assert watcher.seen[2].progress.fraction == 0.5
    hand.complete(claimed)
    watcher.done.result(5)
    assert watcher.kinds == ["waiting", "active", "progress", "completed"]


def test_a_late_watcher_gets_the_last_progress(client: Any, hand: Hand) -> None:
    job = client.enqueue(SPEC)
    hand.progress(hand.claim(), 0.7)
    events = job.watch(timeout=5)
    assert [next(events).event.value, next(events).progress.fraction] == ["active", 0.7]
    events.close()


def test_a_watcher_of_an_ended_job_is_told_its_end(client: Any, hand: Hand) -> None:
    job = client.enqueue(SPEC)
    hand.fail(hand.claim())
    (event,) = job.watch()
    assert (event.event, event.detail) == ("failed", "exhausted")


def test_a_job_that_is_not_there_cannot_be_watched(client: Any) -> None:
    with pytest.raises(JobNotFound):
        list(client.watch(client.job("nowhere", "default")))


def test_a_watch_of_several_jobs_ends_with_the_last_of_them(
    client: Any, hand: Hand, aside: Callable[..., Future[Any]]
) -> None:
    jobs = client.enqueue_many([SPEC, SPEC, SPEC])
    watcher = Watcher(client.watch(*jobs), aside)
    watcher.awaits("waiting", "waiting", "waiting")
    jobs[0].cancel()
    jobs[1].remove()
    wait_until("two have ended", lambda: watcher.kinds[3:] == ["cancelled", "removed"])
    assert not watcher.done.done()
    hand.do_all()
    watcher.done.result(5)
    assert watcher.kinds[5:] == ["active", "completed"]


def test_a_watch_ends_when_its_time_is_up(client: Any) -> None:
    job = client.enqueue(SPEC)
    assert [event.event.value for event in job.watch(timeout=0.1)] == ["waiting"]
    assert list(client.watch(queue="default", timeout=0.1)) == []


def test_an_end_is_told_though_the_subscription_was_cut(
    make_client: MakeClient, url: str, any_server: Server, hand: Hand, aside: Callable[..., Future[Any]]
) -> None:
    """Cut, ended and removed from memory in one transaction: only reading again can tell."""
    job = make_client(url, poll=60.0).enqueue(SPEC)
    watcher = Watcher(job.watch(), aside)
    watcher.awaits("waiting")
    any_server.command("CLIENT", "KILL", "TYPE", "pubsub")
    hand.do_all()
    watcher.done.result(10)
    assert watcher.kinds[-1] == "completed"


def test_a_removed_job_that_nobody_told_of_has_ended(
    make_client: MakeClient, url: str, any_server: Server, aside: Callable[..., Future[Any]]
) -> None:
    """The key goes without a message, as if retention had run while the watcher was cut off."""
    job = make_client(url, poll=0.1).enqueue(SPEC)
    watcher = Watcher(job.watch(), aside)
    watcher.awaits("waiting")
    any_server.command("DEL", "heavylift:{default}:job:" + job.id, "heavylift:{default}:line:")
    watcher.done.result(5)
    assert watcher.kinds == ["waiting", "removed"]


def test_a_queue_is_watched_from_what_runs_now(
    client: Any, hand: Hand, any_server: Server, aside: Callable[..., Future[Any]]
) -> None:
    before = client.enqueue(SPEC)
    claimed = hand.claim()
    hand.progress(claimed, 0.2)
    watcher = Watcher(client.watch(queue="default"), aside)
    watcher.awaits("active", "progress")
    after = client.enqueue(SPEC)
    hand.complete(claimed)
    watcher.awaits("active", "progress", "waiting", "completed")
    assert [event.job for event in watcher.seen] == [before.id, before.id, after.id, before.id]
    client.close()
    watcher.done.result(5)


def test_a_job_is_watched_once_by_those_who_watch_it_its_queue_and_all_queues(
    client: Any, hand: Hand, any_server: Server, aside: Callable[..., Future[Any]]
) -> None:
    """One connection hears each message three times then, by name and by two patterns."""
    job = client.enqueue(SPEC)
    one = Watcher(job.watch(), aside)
    one.awaits("waiting")
    others = [Watcher(client.watch(queue="default"), aside), Watcher(client.watch(), aside)]
    wait_until("queues are listened to", lambda: any_server.command("PUBSUB", "NUMPAT") == 2)
    claimed = hand.claim()
    hand.progress(claimed, 0.5)
    hand.complete(claimed)
    one.done.result(5)
    for watcher in others:
        watcher.awaits("active", "progress", "completed")
    client.close()
    assert one.kinds == ["waiting", "active", "progress", "completed"]


def test_all_queues_are_watched_also_those_that_come_later(
    make_client: MakeClient, url: str, any_server: Server, aside: Callable[..., Future[Any]]
) -> None:
    """From their very first event, though nobody asks for the queues anew in the time of this test."""
    client = make_client(url, poll=60.0)
    client.enqueue(SPEC, queue="old")
    watcher = Watcher(client.watch(), aside)
    wait_until("it is listened", lambda: any_server.command("PUBSUB", "NUMPAT") == 1)
    jobs = [client.enqueue(SPEC, queue=queue) for queue in ("old", "new")]
    wait_until("both are told", lambda: [event.job for event in watcher.seen] == [job.id for job in jobs])
    assert watcher.kinds == ["waiting", "waiting"]
    client.close()
    watcher.done.result(5)


def test_the_end_of_a_job_in_a_queue_that_came_later_is_told_though_the_subscription_was_cut(
    make_client: MakeClient, url: str, any_server: Server, hand: Hand, aside: Callable[..., Future[Any]]
) -> None:
    client = make_client(url, poll=60.0)
    watcher = Watcher(client.watch(), aside)
    wait_until("it is listened", lambda: any_server.command("PUBSUB", "NUMPAT") == 1)
    client.enqueue(SPEC, queue="new")
    claimed = hand.claim("new")
    watcher.awaits("waiting", "active")
    any_server.command("CLIENT", "KILL", "TYPE", "pubsub")
    hand.complete(claimed)
    watcher.awaits("waiting", "active", "completed")
    client.close()
    watcher.done.result(5)


def test_the_end_of_a_watched_queues_job_is_told_though_the_subscription_was_cut(
    make_client: MakeClient, url: str, any_server: Server, hand: Hand, aside: Callable[..., Future[Any]]
) -> None:
    client = make_client(url, poll=60.0)
    job = client.enqueue(SPEC)
    claimed = hand.claim()
    watcher = Watcher(client.watch(queue="default"), aside)
    watcher.awaits("active")
    any_server.command("CLIENT", "KILL", "TYPE", "pubsub")
    hand.complete(claimed)
    wait_until("the end is told", lambda: (job.id, "completed") in [(e.job, e.event.value) for e in watcher.seen])
    client.close()
    watcher.done.result(5)


def test_the_end_of_a_job_that_waited_when_its_queue_was_first_watched_is_told_though_the_subscription_was_cut(
    make_client: MakeClient, url: str, any_server: Server, hand: Hand, aside: Callable[..., Future[Any]]
) -> None:
    client = make_client(url, poll=60.0)
    running, waiting = client.enqueue_many([SPEC, SPEC])
    claimed = hand.claim()
    watcher = Watcher(client.watch(queue="default"), aside)
    watcher.awaits("active")
    any_server.command("CLIENT", "KILL", "TYPE", "pubsub")
    hand.complete(hand.claim())
    hand.complete(claimed)
    told = {(job.id, "completed") for job in (running, waiting)}
    wait_until("both ends are told", lambda: told <= {(e.job, e.event.value) for e in watcher.seen})
    client.close()
    watcher.done.result(5)

"""An enqueue wakes as many idle workers as it needs, no more; and no wake-up is lost between looking and sleeping."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heavylift.decide import Settlement
from heavylift.job import State
from heavylift.store.channel import Channel
from heavylift.store.connection import Connection
from heavylift.store.jobs import Jobs, NewJob, SettleItem
from heavylift.store.scripts import Scripts
from tests.waiting import wait_until

JOBS = Jobs("heavylift")


class Fleet:
    """Idle workers that listen, and what each of them heard."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.numbers: dict[str, int] = {}
        self.enqueued = 0
        self.channel = Channel(connection.target)

    def listen(self, *workers: str) -> None:
        before = self.channel.asked
        self.channel.subscribe([JOBS.common.worker_channel(worker) for worker in workers])
        wait_until("subscribed", lambda: self.channel.read() or self.channel.confirmed == before + len(workers))

    def claim(self, worker: str, credits: int = 1, verbs: Jobs = JOBS) -> list[str]:
        number = self.numbers[worker] = self.numbers.get(worker, 0) + 1
        return [job.id for job in self.connection.ask(verbs.claim("q", worker, number, credits, 1000, 60_000)).jobs]

    def enqueue(self, count: int = 1, **options: int) -> None:
        self.enqueued += 1
        new = [NewJob(f"{self.enqueued}-{n}", b"{}", "h", **options) for n in range(count)]
        self.connection.ask(JOBS.enqueue("q", new, f"n{self.enqueued}"))

    def heard(self) -> list[str]:
        """Workers woken since the last look, in order. The mark comes after all that was published."""
        mark = "mark"
        self.connection.command("PUBLISH", JOBS.common.worker_channel("mark"), mark)
        got: list[tuple[str, bytes]] = []
        wait_until("the mark", lambda: got.extend(self.channel.read()) or any(text == b"mark" for _, text in got))
        assert {text for _, text in got} <= {b"mark", b"wake q"}
        return [name.rpartition(":")[2] for name, text in got if text != b"mark"]


@pytest.fixture
def fleet(connection: Connection) -> Iterator[Fleet]:
    fleet = Fleet(connection)
    fleet.listen("mark", *(f"w{n}" for n in range(20)))
    yield fleet
    fleet.channel.close()


def test_one_enqueue_wakes_one_of_twenty(fleet: Fleet) -> None:
    for n in range(20):
        fleet.claim(f"w{n}")
    fleet.enqueue()
    assert len(fleet.heard()) == 1


def test_many_jobs_wake_as_many_workers_as_have_places_for_them(fleet: Fleet) -> None:
    for n in range(20):
        fleet.claim(f"w{n}", credits=4)
    fleet.enqueue(10)
    assert len(fleet.heard()) == 3


def test_a_dead_worker_is_passed_over(fleet: Fleet) -> None:
    fleet.claim("w1")
    fleet.claim("dead")
    fleet.enqueue()
    assert fleet.heard() == ["w1"]


def test_a_worker_whose_sleep_is_over_is_not_waited_for(fleet: Fleet) -> None:
    fleet.claim("w1")
    later = Jobs("heavylift", Scripts(offset_ms=61_000))
    fleet.connection.ask(later.enqueue("q", [NewJob("j", b"{}", "h")], "n"))
    assert fleet.heard() == []


def test_a_full_claim_is_not_noted_as_idle_and_wakes_the_next(fleet: Fleet) -> None:
    fleet.claim("w1", credits=5)
    fleet.claim("w2", credits=5)
    fleet.enqueue(6)
    fleet.heard()
    fleet.claim("w3", credits=5)
    fleet.claim("w1", credits=2)
    fleet.enqueue()
    assert "w3" not in fleet.heard()


def test_a_claim_that_leaves_a_backlog_wakes_another(fleet: Fleet) -> None:
    fleet.enqueue(10)
    fleet.claim("w1", credits=1)
    fleet.connection.ask(JOBS.pause("q"))
    fleet.claim("w2", credits=1)
    fleet.connection.command("HDEL", JOBS.keys("q").meta, "paused")
    fleet.claim("w3", credits=1)
    assert fleet.heard() == ["w2"]


def test_a_delayed_job_that_is_due_first_wakes_a_sleeper_and_a_later_one_does_not(fleet: Fleet) -> None:
    fleet.claim("w1")
    fleet.enqueue(delay_ms=5000)
    assert fleet.heard() == ["w1"]
    fleet.claim("w1")
    fleet.enqueue(delay_ms=8000)
    assert fleet.heard() == []
    fleet.enqueue(delay_ms=2000)
    assert fleet.heard() == ["w1"]


def test_a_paused_queue_wakes_nobody_until_it_is_resumed(fleet: Fleet) -> None:
    fleet.connection.ask(JOBS.pause("q"))
    fleet.claim("w1")
    fleet.enqueue()
    assert fleet.heard() == []
    fleet.connection.ask(JOBS.resume("q"))
    assert fleet.heard() == ["w1"]


def test_a_woken_worker_without_a_place_passes_it_on_if_there_is_anything_to_do(fleet: Fleet) -> None:
    fleet.claim("w1")
    fleet.connection.ask(JOBS.pass_on("q"))
    assert fleet.heard() == []
    fleet.claim("w2")
    fleet.enqueue()
    [woken] = fleet.heard()
    fleet.connection.ask(JOBS.pass_on("q"))
    assert fleet.heard() == [{"w1": "w2", "w2": "w1"}[woken]]


def test_a_job_put_back_wakes_an_idle_worker(fleet: Fleet) -> None:
    fleet.enqueue()
    [id] = fleet.claim("w1")
    fleet.claim("w2")
    item = SettleItem(id, "w1.1", Settlement(State.WAITING, keep_rank=True))
    fleet.connection.ask(JOBS.settle("q", "w1", 1, [item]))
    assert fleet.heard() == ["w2"]


@pytest.mark.parametrize("limit", [{}, {"group": "h"}])
def test_a_settlement_that_makes_room_under_a_limit_wakes_an_idle_worker(fleet: Fleet, limit: dict[str, str]) -> None:
    fleet.connection.ask(JOBS.limit("q", 1, **limit))
    fleet.enqueue(2)
    [id] = fleet.claim("w1")
    assert fleet.claim("w2") == [], "the limit is reached"
    fleet.connection.ask(JOBS.settle("q", "w1", 1, [SettleItem(id, "w1.1", Settlement(State.COMPLETED))]))
    assert fleet.heard() == ["w2"]


def test_a_worker_is_told_of_the_cancelling_of_its_job(fleet: Fleet) -> None:
    fleet.enqueue()
    [id] = fleet.claim("w1")
    fleet.connection.ask(JOBS.cancel("q", id))
    [(name, message)] = wait_until("a message", fleet.channel.read)
    assert (name, message.decode()) == (JOBS.common.worker_channel("w1"), f"cancel q {id}")


def test_a_claim_of_nothing_says_whether_there_is_something_and_leaves_it_to_others(fleet: Fleet) -> None:
    """It is how a worker learns that it is worth to save places for a job that needs several."""

    def look(number: int) -> bool:
        reply = fleet.connection.ask(JOBS.claim("q", "w1", number, 0, 1000, 60_000))
        assert not reply.jobs
        return reply.more

    assert not look(1)
    fleet.enqueue()
    assert fleet.heard() == ["w1"], "a look that found nothing is told of the next job"
    fleet.claim("w2", credits=4)
    fleet.enqueue()
    fleet.claim("w3")
    fleet.heard()
    fleet.enqueue()
    assert look(2)
    assert len(fleet.claim("w2", credits=4)) == 1
    assert not look(3)

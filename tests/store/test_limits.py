"""What the model of limits is too small to show: many lines at once, one tenant with much, holds nobody gives back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from heavylift.decide import Settlement
from heavylift.job import ClaimedJob, State
from heavylift.limits import Rate
from heavylift.store.connection import Connection
from heavylift.store.jobs import Jobs, NewJob, SettleItem, batches
from heavylift.store.scripts import Scripts
from tests.servers import Server
from tests.store import census

LEASE = 600_000


class Queue:
    """One queue, its worker `w` and its time."""

    def __init__(self, server: Server, connection: Connection) -> None:
        self.jobs = Jobs()
        self.connection = connection
        self.ask = connection.ask
        self.held: list[ClaimedJob] = []
        self._server = server
        self._number = 0

    def wait(self, ms: int) -> None:
        """Let time pass."""
        self.jobs = Jobs("heavylift", Scripts(offset_ms=ms))

    def enqueue(self, *keys: str, **options: str) -> None:
        """A job of handler `h` for each key."""
        new = [NewJob(f"{key}.{self.next()}", b"{}", "h", key=key, **options) for key in keys]  # type: ignore[arg-type]
        self.connection.round_trip([self.jobs.enqueue("q", part, part[0].id) for part in batches(new)])

    def claim(self, credits: int) -> list[str]:
        """The keys of the jobs taken."""
        taken = self.ask(self.jobs.claim("q", "w", self.next(), credits, LEASE, 1000)).jobs
        self.held += taken
        return [job.id.partition(".")[0] for job in taken]

    def claim_all(self) -> list[str]:
        """Until there is nothing that may run."""
        found: list[str] = []
        while True:
            reply = self.ask(self.jobs.claim("q", "w", self.next(), 200, LEASE, 1000))
            self.held += reply.jobs
            found += [job.id.partition(".")[0] for job in reply.jobs]
            if not reply.more:
                return found

    def complete(self, count: int) -> None:
        """The jobs held longest."""
        some, self.held = self.held[:count], self.held[count:]
        done = [SettleItem(job.id, job.token, Settlement(State.COMPLETED)) for job in some]
        for start in range(0, len(done), 100):
            self.ask(self.jobs.settle("q", "w", self.next(), done[start : start + 100]))

    def sweep(self) -> None:
        keep = {"keep_completed_ms": LEASE, "keep_failed_ms": LEASE, "most_completed": 10_000, "most_failed": 10_000}
        self.ask(self.jobs.sweep("q", 100, **keep))

    def census(self) -> census.Census:
        with self._server.client() as client:
            return census.read(client, self.jobs.keys("q"))

    def next(self) -> int:
        self._number += 1
        return self._number


@pytest.fixture
def queue(server: Server, connection: Connection) -> Iterator[Queue]:
    return Queue(server, connection)


def test_a_tenant_with_ten_thousand_jobs_does_not_hold_back_one_with_three(queue: Queue) -> None:
    queue.ask(queue.jobs.order("q", "fair"))
    queue.enqueue(*["ada"] * 10_000)
    assert queue.claim(10) == ["ada"] * 10
    queue.enqueue(*["bob"] * 3)
    assert Counter(queue.claim(10)) == {"ada": 7, "bob": 3}


def test_turns_are_even_however_uneven_the_lines_are(queue: Queue) -> None:
    queue.ask(queue.jobs.order("q", "fair"))
    for n in range(20):
        queue.enqueue(*[f"k{n}"] * (20 + 40 * n))
    taken = Counter(key for _ in range(20) for key in queue.claim(20))
    assert set(taken.values()) == {20}, "four hundred turns of twenty keys"


def test_what_waited_before_the_first_limit_is_held_to_it_some_at_a_claim(queue: Queue) -> None:
    queue.enqueue(*["ada"] * 250, "bob")
    queue.ask(queue.jobs.limit("q", 1, group="h", per_key=True))
    assert queue.claim_all() == ["ada", "bob"]
    census.check(queue.census())


@pytest.mark.parametrize("lines", [300, 700], ids=["a small hash, which comes whole", "a large one"])
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_limit_over_more_lines_than_one_call_looks_at_holds_at_once_and_reaches_all(
    queue: Queue, before: int, after: int, lines: int
) -> None:
    """The change itself looks at some 100 lines; until the claims have looked at the others, they make sure of each."""
    queue.ask(queue.jobs.limit("q", before, group="h", per_key=True))
    keys = [f"k{n}" for n in range(lines)]
    queue.enqueue(*keys * 3)
    assert Counter(queue.claim_all()) == dict.fromkeys(keys, before)
    queue.ask(queue.jobs.limit("q", after, group="h", per_key=True))
    assert "revise" in queue.census().meta, "not all at once"
    if after < before:
        queue.complete(lines)
        assert queue.claim_all() == [], "half of what ran has ended, the other half fills the limit"
        queue.complete(lines)
    assert Counter(queue.claim_all()) == dict.fromkeys(keys, 1)
    found = queue.census()
    assert "revise" not in found.meta
    census.check(found)


def test_what_ran_before_the_first_limit_is_counted_whole_before_anything_starts(queue: Queue) -> None:
    """The first limit counts some of what runs, the next claims the others. What ends meanwhile leaves a place."""
    queue.enqueue(*[f"k{n % 300}" for n in range(1_500)])
    queue.claim_all()
    assert len(queue.held) == 1_500
    queue.ask(queue.jobs.limit("q", 1_450, group="h"))
    queue.enqueue(*[f"k{n}" for n in range(600)])
    assert "locks" in queue.census().meta["revise"], "not all at once"
    assert queue.claim(40) == []
    queue.ask(queue.jobs.limit("q", 5, group="h", per_key=True))
    assert "locks" in queue.census().meta["revise"], "a second limit does not forget what the first has left to do"
    queue.complete(600)
    given = queue.claim_all()
    assert len(given) == 550
    most = Counter(job.id.partition(".")[0] for job in queue.held)
    assert len(queue.held) == 1_450
    assert max(most.values()) <= 5
    found = queue.census()
    assert found.held == {"h": 1_450} | {f"h/{key}": count for key, count in most.items()}
    census.check(found)


def test_an_order_counts_what_runs_for_the_limits_to_come(queue: Queue) -> None:
    queue.enqueue(*[f"k{n}" for n in range(600)])
    queue.claim_all()
    queue.ask(queue.jobs.order("q", "fair"))
    queue.enqueue("k1", "new")
    assert queue.claim_all() == ["k1", "new"]
    queue.enqueue("k2", "newer")
    queue.ask(queue.jobs.limit("q", 1, group="h", per_key=True))
    assert queue.claim_all() == ["newer"]


@pytest.mark.parametrize("lines", [300, 700])
def test_an_order_over_more_lines_than_one_call_looks_at_reaches_all(queue: Queue, lines: int) -> None:
    keys = [f"k{n}" for n in range(lines)]
    queue.ask(queue.jobs.limit("q", 2, group="h", per_key=True))
    queue.enqueue(*[key for key in keys for _ in range(2)])
    queue.ask(queue.jobs.order("q", "fair"))
    assert Counter(queue.claim_all()) == dict.fromkeys(keys, 2)
    census.check(queue.census())


@pytest.mark.parametrize("per_key", [False, True])
def test_a_rate_gives_its_burst_and_then_one_token_at_a_time(queue: Queue, per_key: bool) -> None:
    queue.ask(queue.jobs.limit("q", None, Rate(1, 10, 3), group="h", per_key=per_key))
    queue.enqueue(*["ada"] * 9)
    assert len(queue.claim_all()) == 3
    queue.wait(9_000)
    assert queue.claim_all() == []
    queue.wait(21_000)
    assert len(queue.claim_all()) == 2
    queue.wait(600_000)
    assert len(queue.claim_all()) == 3, "a pause is made up for by no more than the burst"


def test_what_deleted_jobs_held_is_counted_anew(queue: Queue, server: Server) -> None:
    queue.ask(queue.jobs.limit("q", 1, group="h", per_key=True))
    queue.enqueue("ada", "ada", "bob", "bob")
    assert queue.claim_all() == ["ada", "bob"]
    lost, kept = queue.held
    with server.client() as client:
        client.delete(queue.jobs.keys("q").job(lost.id))
        client.zrem(queue.jobs.keys("q").locks, lost.id)
    assert queue.claim_all() == []
    queue.sweep()
    assert queue.claim_all() == ["ada"], "it runs no more; bob's does"
    queue.held.remove(lost)
    census.check(queue.census())
    queue.complete(2)
    assert queue.claim_all() == ["bob"]
    assert kept.id.startswith("bob")

"""A slot moves between Cluster nodes, key by key; every verb is fired at every step, and nothing is lost or doubled.

While keys of one queue are on two nodes, a verb either does all it does or answers `Busy` and changes nothing. The
worst would be a key that exists on both nodes, or a job taken out of its line whose hash is elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from heavylift.decide import Settlement
from heavylift.errors import Busy, StoreError
from heavylift.job import AttemptRecord, Reason, State
from heavylift.limits import Limit, Rate
from heavylift.options import JobRef
from heavylift.store.call import Call
from heavylift.store.connection import Connection, Target
from heavylift.store.flowing import Link, Told, Waiting
from heavylift.store.jobs import Jobs, NewJob, NewSchedule, ProgressItem, SettleItem, Tick
from heavylift.store.scripts import Scripts
from tests.fleets import Cluster, Move
from tests.store import census

QUEUE = "moving"
LEASE = 30_000
VERBS = Jobs("heavylift", Scripts(single_node=False))
LATER = Jobs("heavylift", Scripts(offset_ms=60_000, single_node=False))  # locks have expired, delayed jobs are due
KEYS = VERBS.keys(QUEUE)

pytestmark = pytest.mark.cluster


class Asking:
    """A client of the importing node: in its pipelines each command is preceded by ASKING."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.scan_iter = client.scan_iter

    @contextmanager
    def pipeline(self, transaction: bool) -> Iterator[AskingPipeline]:
        with self._client.pipeline(transaction=transaction) as pipe:
            yield AskingPipeline(pipe)


class AskingPipeline:
    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def execute(self) -> list[Any]:
        answers: list[Any] = self._pipe.execute()
        return answers[1::2]

    def __getattr__(self, name: str) -> Any:
        self._pipe.execute_command("ASKING")
        return getattr(self._pipe, name)


def whole(move: Move) -> census.Census:
    """The queue as both nodes together have it; no key may be on both."""
    with move.source.client() as source, move.target.client() as target:
        at_source, at_target = census.read(source, KEYS), census.read(Asking(target), KEYS)  # type: ignore[arg-type]
    assert not at_source.jobs.keys() & at_target.jobs.keys(), "a job is on both nodes"
    assert not at_source.zsets.keys() & at_target.zsets.keys(), "a set is on both nodes"
    assert not at_source.other.keys() & at_target.other.keys()
    assert not at_source.unique.keys() & at_target.unique.keys(), "a unique key is on both nodes"
    assert not (at_source.meta and at_target.meta)
    assert not (at_source.held and at_target.held)
    return census.Census(
        at_source.jobs | at_target.jobs,
        at_source.zsets | at_target.zsets,
        at_source.held or at_target.held,
        at_source.meta or at_target.meta,
        at_source.unique | at_target.unique,
        at_source.other | at_target.other,
    )


@pytest.fixture
def connection(cluster: Cluster) -> Iterator[Connection]:
    connection = Connection(Target.from_url(cluster.url, cluster=True), name="test", patience=0)
    yield connection
    connection.close()


class Firing:
    """Every verb, again and again, each time with jobs of its own; remembers what was acknowledged."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.numbers: dict[str, int] = {}
        self.serial = 0
        self.enqueued: set[str] = set()
        self.removed: set[str] = set()
        self.held: dict[str, str] = {}
        self.busy = self.done = 0
        self.busy_now = False

    def fill(self, count: int = 6) -> None:
        """Jobs in every state there is."""
        for n in range(count):
            self.enqueue(f"{n}", key="ab"[n % 2])
            self.enqueue(f"d{n}", delay_ms=20_000 + n, expires_ms=LEASE, keep_count=9, keep_failed_count=9)
        for n, mode in enumerate("sfd"):
            self.enqueue(f"u{mode}", unique=f"{mode}.{mode}{n}", quiet_ms=15_000 if mode == "d" else None)
        self.claim(VERBS, 4)
        done = list(self.held)[:3]
        for id, to in zip(done, (State.COMPLETED, State.FAILED, State.CANCELLED), strict=True):
            self.settle(id, Settlement(to, reason=Reason.REJECTED if to is State.FAILED else None))
        assert self.busy == 0

    def ask(self, call: Call[Any]) -> Any:
        """The answer, or None if the verb said that it is busy. Anything else is a failure."""
        try:
            answer = self.connection.ask(call)
        except Busy:
            self.busy += 1
            self.busy_now = True
            return None
        self.busy_now = False
        self.done += 1
        return answer

    def number(self, verb: str) -> int:
        self.numbers[verb] = self.numbers.get(verb, 0) + 1
        return self.numbers[verb]

    def enqueue(self, id: str, key: str = "a", **options: Any) -> None:
        self.serial += 1
        job = NewJob(id, b"{}", "h", key=key, **options)
        answer = self.ask(VERBS.enqueue(QUEUE, [job], f"n{self.serial}"))
        if answer and not answer[0].duplicate:
            self.enqueued.add(id)

    def claim(self, verbs: Jobs, credits: int) -> None:
        reply = self.ask(verbs.claim(QUEUE, "w1", self.number("claim"), credits, LEASE, 1000))
        if reply:
            self.held.update({job.id: job.token for job in reply.jobs})

    def settle(self, id: str, settlement: Settlement) -> None:
        item = SettleItem(id, self.held[id], settlement, AttemptRecord(1, "w1", 0, 0, "error"))
        answer = self.ask(VERBS.settle(QUEUE, "w1", self.number("settle"), [item]))
        if answer:
            assert answer in (["ok"], ["outbox"])
            del self.held[id]

    def all_verbs(self, among: random.Random) -> None:
        """One of each, in any order."""
        ids = sorted(self.enqueued - self.removed)
        held = sorted(self.held)
        fresh = f"x{self.serial}"
        fire = [
            lambda: self.enqueue(fresh),
            lambda: self.enqueue(fresh + "d", delay_ms=10_000),
            lambda: self.enqueue(fresh + "s", unique=f"s.{among.randrange(3)}"),
            lambda: self.enqueue(fresh + "f", unique="f.f1"),
            lambda: self.enqueue(fresh + "q", unique="d.d2", quiet_ms=15_000),
            lambda: self.claim(VERBS, 1),
            lambda: self.claim(LATER, 2),
            lambda: held and self.settle(held[0], among.choice(ENDS)),
            lambda: held and self.ask(VERBS.extend(QUEUE, [(id, self.held.get(id, "")) for id in held], LEASE)),
            lambda: held and self.progress(held[-1]),
            lambda: self.takeover(),
            lambda: self.ask(VERBS.cancel(QUEUE, among.choice(ids))),
            lambda: self.ask(VERBS.promote(QUEUE, among.choice(ids))),
            lambda: self.ask(VERBS.replay(QUEUE, among.sample(ids, 2))),
            lambda: self.discard(among.sample(ids, 2)),
            lambda: self.ask(VERBS.letters(QUEUE, whole=True)),
            lambda: self.ask(VERBS.reschedule(QUEUE, among.choice(ids), among.choice([0, 5000]), relative=True)),
            lambda: self.ask(VERBS.reprioritize(QUEUE, among.choice(ids), among.choice([-1, 0, 1]))),
            lambda: self.remove(among.choice(ids)),
            lambda: self.ask(VERBS.resume(QUEUE)),
            lambda: self.ask(VERBS.pass_on(QUEUE)),
            lambda: self.ask(VERBS.limit(QUEUE, 2, group="h", per_key=True)) if among.random() < 0.3 else None,
            lambda: (
                self.ask(VERBS.declare(QUEUE, Limit("h", True, among.choice([2, 3])))) if among.random() < 0.3 else None
            ),
            lambda: (
                self.ask(VERBS.limit(QUEUE, None, Rate(1, 0.001, 100), group="h")) if among.random() < 0.3 else None
            ),
            lambda: self.ask(VERBS.order(QUEUE, among.choice(["fair", "priority"]))) if among.random() < 0.3 else None,
            lambda: self.sweep(),
            lambda: self.ask(VERBS.counts(QUEUE)),
            lambda: self.ask(VERBS.page(QUEUE, State.WAITING)),
            lambda: self.ask(VERBS.job(QUEUE, among.choice(ids))),
            lambda: self.ask(among.choice([VERBS, LATER]).why(QUEUE, among.choice(ids))),
            lambda: self.write_schedule(among.choice("ab")),
            lambda: self.fire_schedules(),
            lambda: self.ask(VERBS.pause_schedule(QUEUE, "a")) if among.random() < 0.3 else None,
            lambda: self.ask(VERBS.unschedule(QUEUE, "b")) if among.random() < 0.2 else None,
            lambda: self.flow(fresh + "f", among.sample(ids, 2)),
            lambda: self.told(self.ask(VERBS.handover(QUEUE)) or []),
            lambda: self.tend(),
            lambda: self.ask(VERBS.revive(QUEUE, among.sample(ids, 2))),
            lambda: self.ask(VERBS.flow(QUEUE, "f", 0)),
        ]
        among.shuffle(fire)
        for shot in fire:
            shot()

    def write_schedule(self, name: str) -> None:
        if page := self.ask(VERBS.schedules(QUEUE, [name])):
            self.serial += 1
            new = NewSchedule(name, b"{}", NewJob("", b"{}", "h"), "once", True, page.now, f"r{self.serial}")
            self.ask(VERBS.schedule(QUEUE, new))
            self.ask(VERBS.resume_schedule(QUEUE, name, new.rev, page.now))

    def fire_schedules(self) -> None:
        """Every tick that is due becomes a job, or passes; the next one is a minute later."""
        page = self.ask(LATER.schedules(QUEUE, due=True))
        for found in page.schedules if page else ():
            tick = Tick(found.name, found.tick or 0, found.text("rev"), page.now + 60_000, found.alone)
            if self.serial % 2:
                self.ask(VERBS.pass_tick(QUEUE, tick))
                continue
            self.serial += 1
            job = found.job(f"{found.name}@{found.tick}", b"{}", tick)
            answer = self.ask(VERBS.enqueue(QUEUE, [job], f"n{self.serial}"))
            if answer and not answer[0].duplicate:
                self.enqueued.add(job.id)

    def flow(self, id: str, after: list[str]) -> None:
        parents = tuple(JobRef(QUEUE, parent) for parent in after)
        self.serial += 1
        nonce = f"n{self.serial}"
        if self.ask(VERBS.stage(QUEUE, [Waiting(id, parents)], nonce)) is None and self.busy_now:
            return
        if self.ask(VERBS.enqueue(QUEUE, [NewJob(id, b"{}", "h", flow="f", after=parents)], nonce)):
            self.enqueued.add(id)
            self.ask(VERBS.link(QUEUE, [Link(parent, JobRef(QUEUE, id), 0, "f") for parent in parents]))

    def told(self, page: list[Told]) -> None:
        if page and self.ask(VERBS.deliver(QUEUE, page)):
            self.ask(VERBS.handover(QUEUE, page))

    def tend(self) -> None:
        _, links = self.ask(LATER.tend(QUEUE)) or (False, [])
        letters = self.ask(VERBS.link(QUEUE, links)) if links else None
        gone = [link for link, how in zip(links, letters or (), strict=False) if how == "gone"]
        self.told([Told(link.parent, link.child, link.life, "g") for link in gone])

    def progress(self, id: str) -> None:
        if id in self.held:
            self.ask(VERBS.progress(QUEUE, [ProgressItem(id, self.held[id], b"{}", b"1")]))

    def takeover(self) -> None:
        for job in self.ask(LATER.takeover(QUEUE, "w1", self.number("takeover"), LEASE, 1)) or ():
            self.held[job.id] = job.token

    def remove(self, id: str) -> None:
        if self.ask(VERBS.remove(QUEUE, id)) == "removed":
            self.removed.add(id)

    def discard(self, ids: list[str]) -> None:
        words = self.ask(VERBS.discard(QUEUE, ids)) or ()
        self.removed.update(id for id, word in zip(ids, words, strict=False) if word == "ok")

    def sweep(self) -> None:
        keep = {"keep_completed_ms": 10**9, "keep_failed_ms": 10**9, "most_completed": 1000, "most_failed": 1000}
        self.ask(LATER.sweep(QUEUE, 10, **keep))


ENDS = [
    Settlement(State.COMPLETED),
    Settlement(State.WAITING, count="interruptions", keep_rank=True),
    Settlement(State.DELAYED, count="attempts", delay=5.0),
]


@pytest.mark.parametrize("limited", ["", "keys", "fair"], ids=["one line", "lines by key", "lines take turns"])
@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled", "jobs last", "jobs first"])
def test_a_moving_slot_loses_no_job(cluster: Cluster, connection: Connection, limited: str, order: str) -> None:
    among = random.Random(f"{limited}{order}")
    firing = Firing(connection)
    if limited:
        connection.ask(VERBS.limit(QUEUE, 3, Rate(1, 0.005, 20), group="h", per_key=True))
    if limited == "fair":
        connection.ask(VERBS.order(QUEUE, "fair"))
    firing.fill()
    move = cluster.begin_move(cluster.slot(KEYS.meta))
    names = move.keys()
    if order == "reversed":
        names.reverse()
    elif order == "shuffled":
        among.shuffle(names)
    elif order.startswith("jobs"):
        names.sort(key=lambda name: (":job:" in name) == (order == "jobs last"))
    for name in names:
        firing.all_verbs(among)
        check(move, firing)
        move.key(name)
    firing.all_verbs(among)
    check(move, firing)
    assert firing.busy > len(names), "the keys were on two nodes, and verbs noticed"
    move.finish()

    done = firing.done
    firing.all_verbs(among)
    assert firing.done > done + 10, "after the move everything works again"
    drain(firing)
    check(move, firing)
    with move.target.client() as client:
        ended = {id: job["state"] for id, job in census.read(client, KEYS).jobs.items()}
    assert ended.keys() == firing.enqueued - firing.removed
    assert set(ended.values()) <= census.ENDED


def check(move: Move, firing: Firing) -> None:
    found = whole(move)
    census.check(found)
    assert found.jobs.keys() == firing.enqueued - firing.removed, "what was acknowledged is there, and nothing else"


def drain(firing: Firing) -> None:
    for _ in range(30):
        firing.told(firing.ask(LATER.handover(QUEUE)))
        firing.tend()
        firing.takeover()
        firing.claim(LATER, 10)
        for id in list(firing.held):
            firing.settle(id, Settlement(State.COMPLETED))


def test_a_slot_that_has_moved_is_followed(cluster: Cluster, connection: Connection) -> None:
    firing = Firing(connection)
    firing.fill()
    cluster.begin_move(cluster.slot(KEYS.meta)).finish()
    assert connection.ask(VERBS.counts(QUEUE)).completed == 1


def test_calls_for_several_queues_share_a_round_trip(cluster: Cluster, connection: Connection) -> None:
    queues = [f"q{n}" for n in range(30)]
    calls = [VERBS.enqueue(queue, [NewJob("j", b"{}", "h")], "n") for queue in queues]
    assert [answer[0].duplicate for answer in connection.round_trip(calls)] == [False] * 30
    counts = connection.round_trip([VERBS.counts(queue) for queue in queues])
    assert [count.waiting for count in counts] == [1] * 30


def test_busy_is_waited_for_within_patience(cluster: Cluster, connection: Connection) -> None:
    Firing(connection).fill()
    move = cluster.begin_move(cluster.slot(KEYS.meta))
    move.key(move.keys()[0])
    patient = Connection(connection.target, name="patient", patience=0.1)
    with pytest.raises(Busy):
        patient.ask(VERBS.enqueue(QUEUE, [NewJob("late", b"{}", "h")], "n"))
    patient.close()


def test_the_other_queues_go_on_when_a_node_is_gone(cluster: Cluster, connection: Connection) -> None:
    queues = [f"q{n}" for n in range(30)]
    connection.round_trip([VERBS.counts(queue) for queue in queues])
    gone = cluster.nodes[2]
    gone.pause()
    impatient = Connection(Target.from_url(cluster.url, cluster=True, command_timeout=1.5), name="test", patience=0)
    try:
        answers = impatient.round_trip([VERBS.counts(queue) for queue in queues])
    finally:
        gone.resume()
        impatient.close()
    failed = {queue for queue, answer in zip(queues, answers, strict=True) if isinstance(answer, StoreError)}
    assert failed == {queue for queue in queues if cluster.owner(cluster.slot(VERBS.keys(queue).meta)) is gone}

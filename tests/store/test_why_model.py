"""Why, against the store: what it names keeps the job from being claimed, and nothing else does.

In any state of limits, rates, order, pauses and delays: a job for which something is named is not given to anybody; a
job for which nothing is named, and which is next, is given to whoever asks; and if what is named is lifted, one thing
after the other, the job runs.
"""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, given, settings

from heavylift.client.explaining import reasons
from heavylift.client.overview import WorkerStatus
from heavylift.decide import Settlement
from heavylift.job import State
from heavylift.limits import Rate
from heavylift.store.connection import Connection
from heavylift.store.jobs import Jobs, NewJob, SettleItem
from heavylift.why import Because, Due, Full, InLine, Overdue, Paused, RateSpent, Resting, RetryDue
from tests.servers import Server
from tests.store import machines
from tests.store.moves import Recorder
from tests.store.test_model import scripts

QUEUE = "q"
TICK = 20_000  # ms; the test's own time does not matter beside it
LEASE = 10**9
NEAR = 0.3  # s; what changes by itself in so short a time is not looked at
ABLE = WorkerStatus("w", "", 1, "", 0, 0, queues={QUEUE: "io"}, lanes={"io": {"places": 9, "free": 9}})
SCOPES = (("", False), ("g", False), ("g", True), ("h", True))
AGAIN = {
    "done": Settlement(State.COMPLETED),
    "back": Settlement(State.WAITING, keep_rank=True),
    "later": Settlement(State.DELAYED, delay=TICK / 1000),
    "rest": Settlement(State.WAITING, keep_rank=True, rest=TICK / 1000),
}


class Run:
    """One queue's life, and the question."""

    def __init__(self, connection: Connection, among: random.Random) -> None:
        self.connection = connection
        self.among = among
        self.offset = 0
        self.numbers = itertools.count(1)
        self.held: dict[str, str] = {}
        self.named: set[type[Because]] = set()

    def ask(self, verb: str, *args: Any, **options: Any) -> Any:
        verbs = Jobs("heavylift", scripts(self.offset))
        return self.connection.ask(getattr(verbs, verb)(QUEUE, *args, **options))

    # --- what happens ---------------------------------------------------------------------------------------

    def enqueue(self) -> None:
        serial, among = next(self.numbers), self.among
        said: dict[str, Any] = {"key": among.choice(["", "a", "b"]), "priority": among.randint(-1, 1)}
        said |= {"delay_ms": among.choice([0, 0, 0, TICK]), "expires_ms": among.choice([None] * 5 + [TICK])}
        handler = among.choice("gh")
        new = [NewJob(f"{serial}.{n}", b"{}", handler, **said) for n in range(among.randint(1, 4))]
        self.ask("enqueue", new, f"n{serial}")

    def limit(self) -> None:
        group, per_key = self.among.choice(SCOPES)
        rate = self.among.choice([None, Rate(1, TICK / 1000), Rate(2, 3 * TICK / 1000, 2), "unlimited"])
        most = self.among.choice([None, 1, 2, 3, "unlimited"])
        self.ask("limit", most, rate, group=group, per_key=per_key)

    def take(self, most: int = 0) -> None:
        claimed = self.ask("claim", "w", next(self.numbers), most or self.among.randint(1, 4), LEASE, 1000)
        for job in claimed.jobs:
            self.held[job.id] = job.token

    def settle(self) -> None:
        if self.held:
            self.end(self.among.choice(sorted(self.held)), self.among.choice(list(AGAIN)))

    def end(self, id: str, how: str) -> None:
        items = [SettleItem(id, self.held.pop(id), AGAIN[how])]
        assert self.ask("settle", "w", next(self.numbers), items) == ["ok"]

    def order(self) -> None:
        self.ask("order", self.among.choice(["fair", "priority"]))

    def pause(self) -> None:
        self.ask("pause")

    def wait(self) -> None:
        self.offset += self.among.randint(1, 3) * TICK + 500

    # --- the question ---------------------------------------------------------------------------------------

    def lift_all(self, id: str) -> None:
        """Lift what is named until it runs."""
        for _ in range(200):
            named = self.why(id)
            in_the_way = [reason for reason in named if not isinstance(reason, InLine)]
            if any(isinstance(reason, Overdue) for reason in named):
                return
            if in_the_way and min(getattr(reason, "wait", 1.0) for reason in in_the_way) > NEAR:
                self.take(3)
                assert id not in self.held, f"it ran in spite of {in_the_way}"
            if in_the_way:
                self.lift(in_the_way[0])
                continue
            (place,) = named
            assert isinstance(place, InLine)
            self.take(1)
            if id in self.held:
                return
            assert place.ahead or not place.exact, "it was next, and nothing was in its way"
        raise AssertionError(f"it never ran: {named}")

    def path(self, id: str) -> str:
        return str(self.ask("raw", id).get(b"path", b"").decode())

    def why(self, id: str) -> list[Because]:
        named = list(reasons(QUEUE, self.ask("why", id), [], [ABLE]))
        self.named |= {type(reason) for reason in named}
        return named

    def lift(self, reason: Because) -> None:
        match reason:
            case Paused():
                assert self.ask("resume")
            case Full(running=running, holders=holders, limit=limit, group=group, key=key):
                place = "" if group is None else group if key is None else f"{group}/{key}"
                holding = {id for id in self.held if _counts(place, self.path(id))}
                assert set(holders) <= holding, "they hold it"
                assert len(holding) == running >= limit
                self.end(holders[0], "done")
            case RateSpent(wait=wait) | Resting(wait=wait) | Due(wait=wait) | RetryDue(wait=wait):
                self.offset += math.ceil(wait * 1000) + 1
            case _:
                raise AssertionError(reason)


def _counts(place: str, path: str) -> bool:
    return place in ("", path, path.partition("/")[0])


def test_what_is_named_keeps_a_job_waiting_and_nothing_else_does(any_server: Server) -> None:
    named: set[type[Because]] = set()

    @settings(
        max_examples=machines.EXAMPLES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(seed=st.integers(0, 10**9))
    def check(seed: int) -> None:
        client.flushall()
        run = Run(recorder, random.Random(seed))
        for _ in range(run.among.randint(5, 25)):
            step = run.among.choice(
                ["enqueue", "enqueue", "limit", "take", "take", "settle", "settle", "order", "pause", "wait"]
            )
            getattr(run, step)()
        waiting = [*run.ask("page", State.WAITING), *run.ask("page", State.DELAYED)]
        for id in run.among.sample(waiting, min(3, len(waiting))):
            if run.ask("raw", id)[b"state"] in (b"waiting", b"delayed"):
                run.lift_all(id)
        named.update(run.named)

    with any_server.client() as client:
        recorder = Recorder(any_server.url, client)
        try:
            check()
        finally:
            recorder.close()
    assert named >= {Paused, Full, RateSpent, Due, InLine}, "much was in the way"

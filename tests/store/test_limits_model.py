"""Limits against a small model: any order of enqueues, claims, ends, cancels, changes of limits, rates and order.

After every step no line is stuck: each line with jobs is in its ring, or in the gate, or full (see `census`). A claim
leaves nothing that may run; a rate is never exceeded. At the end nothing is left of it all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import invariant, rule

from heavylift.decide import Settlement
from heavylift.job import State
from heavylift.limits import Rate
from heavylift.store.jobs import Jobs, NewJob, SettleItem
from tests.servers import Server
from tests.store import census, machines
from tests.store.test_model import scripts

QUEUE = "q"
TICK = 20_000  # ms; the test's own time does not matter beside it
LEASE = 50 * TICK
SCOPES = st.sampled_from([("", False), ("g", False), ("g", True), ("h", True)])
RATES = st.sampled_from([Rate(1, TICK / 1000), Rate(2, 3 * TICK / 1000, 2), Rate(1, 4 * TICK / 1000, 3)])


class Limited(machines.StoreMachine):
    """The rules. `client` and `connection` are put there by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.offset = 0
        self.number = 0
        self.held: dict[str, tuple[str, str]] = {}
        self.most: dict[str, int] = {}
        self.rates: dict[str, Rate] = {}
        self.started: dict[str, list[int]] = {}

    @property
    def verbs(self) -> Jobs:
        return Jobs("heavylift", scripts(self.offset))

    def ask(self, verb: str, *args: Any, **options: Any) -> Any:
        return self.connection.ask(getattr(self.verbs, verb)(QUEUE, *args, **options))

    def now(self) -> census.Census:
        return census.read(self.client, self.verbs.keys(QUEUE))

    def next(self) -> int:
        self.number += 1
        return self.number

    # --- the rules ------------------------------------------------------------------------------------------

    @rule(
        count=st.integers(1, 6),
        group=st.sampled_from(["g", "h"]),
        key=st.sampled_from(["", "a", "b", "c"]),
        priority=st.integers(-1, 1),
        delay=st.sampled_from([0, 0, 0, TICK]),
        expires=st.sampled_from([None, None, TICK]),
    )
    def enqueue(self, count: int, group: str, key: str, priority: int, delay: int, expires: int | None) -> None:
        serial = self.next()
        new = [NewJob(f"{serial}.{n}", b"{}", group, priority, delay, None, expires, key=key) for n in range(count)]
        self.ask("enqueue", new, f"n{serial}")

    @rule(credits=st.integers(1, 5))
    def claim(self, credits: int) -> None:
        before = self.now()
        running = Counter({"": len(before.of("locks")), **before.held})
        reply = self.ask("claim", "w", self.next(), credits, LEASE, 1000)
        found = self.now()
        for job in reply.jobs:
            path = found.jobs[job.id].get("path", "")
            self.held[job.id] = job.token, path
            for place in _places(path):
                running[place] += 1
                self.started.setdefault(place, []).append(job.started_at)
        for place, most in self.limited(running):
            assert running[place] <= max(most, before.held.get(place, len(before.of("locks")) if not place else 0))
        self.check_rates()
        held = found.meta.get("held_until")
        if held and int(held) > reply_time(found, self.offset):
            assert not reply.jobs
            return
        if not reply.more and len(reply.jobs) < credits:
            full = "" in self.most and len(found.of("locks")) >= self.most[""]
            assert full or "" in found.of("tat") or not found.of("ring"), "nothing that may run was left behind"
            if found.of("gate"):
                assert reply.next_due_ms is not None, "it says when to ask again"

    def limited(self, running: Counter[str]) -> Iterator[tuple[str, int]]:
        for place in running:
            group, _, key = place.partition("/")
            scope = f"{group}/*" if key else place
            if scope in self.most:
                yield place, self.most[scope]

    def check_rates(self) -> None:
        """In any stretch of time no more than the rate times that, and the burst."""
        for place, times in self.started.items():
            group, _, key = place.partition("/")
            rate = self.rates.get(f"{group}/*" if key else place)
            if rate is None:
                continue
            for first in range(len(times)):
                most = (times[-1] - times[first] + 1) / 1000 * rate.count / rate.seconds + rate.at_once
                assert len(times) - first <= most + 1e-3, f"{place!r} ran above {rate}"

    @rule(data=st.data(), how=st.sampled_from(["done", "back", "later", "rest"]))
    def settle(self, data: st.DataObject, how: str) -> None:
        if not self.held:
            return
        ids = data.draw(st.lists(st.sampled_from(sorted(self.held)), min_size=1, max_size=4, unique=True))
        plan = {
            "done": Settlement(State.COMPLETED),
            "back": Settlement(State.WAITING, keep_rank=True),
            "later": Settlement(State.DELAYED, delay=TICK / 1000),
            "rest": Settlement(State.WAITING, keep_rank=True, rest=TICK / 1000),
        }[how]
        items = [SettleItem(id, self.held.pop(id)[0], plan) for id in ids]
        assert self.ask("settle", "w", self.next(), items) == ["ok"] * len(items)

    @rule(data=st.data(), verb=st.sampled_from(["cancel", "remove", "promote"]))
    def touch(self, data: st.DataObject, verb: str) -> None:
        waiting = sorted(id for id, job in self.now().jobs.items() if job["state"] in ("waiting", "delayed"))
        if waiting:
            self.ask(verb, data.draw(st.sampled_from(waiting)))

    @rule(scope=SCOPES, most=st.sampled_from(["unlimited", 1, 2, 3]))
    def limit(self, scope: tuple[str, bool], most: Any) -> None:
        group, per_key = scope
        self.ask("limit", most, group=group, per_key=per_key)
        self.most.pop(_name(scope), None)
        if most != "unlimited":
            self.most[_name(scope)] = most

    @rule(scope=SCOPES, rate=st.one_of(st.just("unlimited"), RATES))
    def rate(self, scope: tuple[str, bool], rate: Any) -> None:
        group, per_key = scope
        if self.rates.get(_name(scope)) != rate:
            for place in list(self.started):  # its tokens may have changed
                if place.partition("/")[0] == group:
                    del self.started[place]
        self.ask("limit", None, rate, group=group, per_key=per_key)
        self.rates.pop(_name(scope), None)
        if rate != "unlimited":
            self.rates[_name(scope)] = rate

    @rule(order=st.sampled_from(["fair", "priority"]))
    def order(self, order: Any) -> None:
        self.ask("order", order)

    @rule()
    def resume(self) -> None:
        self.ask("resume")

    @rule()
    def sweep(self) -> None:
        self.ask("sweep", 50, keep_completed_ms=TICK, keep_failed_ms=TICK, most_completed=10, most_failed=10)

    @rule(ticks=st.integers(1, 5))
    def time_passes(self, ticks: int) -> None:
        self.offset += ticks * TICK + 500

    # --- always ---------------------------------------------------------------------------------------------

    @invariant()
    def no_line_is_stuck(self) -> None:
        found = self.now()
        assert "revise" not in found.meta, "so few lines are brought up to date at once"
        census.check(found)
        waiting = [id for id, job in found.jobs.items() if job["state"] == "waiting"]
        page = self.ask("page", State.WAITING, 0, 500)
        assert sorted(page) == sorted(waiting)
        if "order" not in found.meta:
            ranks = {id: rank for line in found.lines.values() for id, rank in line.items()}
            assert page == sorted(waiting, key=lambda id: ranks[id]), "in the order they would run"

    def teardown(self) -> None:
        for scope in ("", False), ("g", False), ("g", True), ("h", True):
            self.limit(scope, "unlimited")
            self.rate(scope, "unlimited")
        self.order("priority")
        self.ask("resume")
        for _ in range(100):
            self.offset += 2 * TICK
            self.claim(5)
            items = [SettleItem(id, token, Settlement(State.COMPLETED)) for id, (token, _) in self.held.items()]
            self.ask("settle", "w", self.next(), items)
            self.held.clear()
            counts = self.ask("counts")
            if not counts.waiting + counts.delayed:
                break
        self.claim(1)
        self.offset += 30 * 86_400_000
        self.ask("sweep", 1000, keep_completed_ms=1, keep_failed_ms=1, most_completed=0, most_failed=0)
        found = self.now()
        assert {**found.jobs, **found.zsets, **found.held} == {}, "nothing is left"
        assert not {"mode", "order", "clock", "revise"} & found.meta.keys()


def reply_time(found: census.Census, offset: int) -> int:
    """Now, as far as a job's start says; else the beginning of time."""
    return max((int(job.get("started_at", 0)) for job in found.jobs.values()), default=0)


def _places(path: str) -> list[str]:
    group, slash, key = path.partition("/")
    return ["", *([group] if slash else []), *([path] if key else [])]


def _name(scope: tuple[str, bool]) -> str:
    return f"{scope[0]}/*" if scope[1] else scope[0]


def test_no_line_is_stuck_and_no_limit_exceeded_whatever_happens(server: Server) -> None:
    machines.run(Limited, server)

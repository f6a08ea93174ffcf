"""Random flows over several queues: failures, cancels, removals, retries, and everybody dying between any two calls.

Whatever happens: a job runs only when its policy says so, in the end every job has ended, and when all is purged there
is nothing left.
"""

from __future__ import annotations

import random
from contextlib import closing

import hypothesis.strategies as st
import redis
from hypothesis import HealthCheck, Phase, given, settings

from heavylift.store.keys import Keys
from tests.servers import Server
from tests.store import census, machines
from tests.store.flows import DONE, FAILED, Flows
from tests.store.moves import Recorder

QUEUES = ("p", "q", "r")
TICK = 40_000
LONG = 10**9
STAYS = ("meta", "idle", "call:")


class Run:
    """One flow's life."""

    def __init__(self, flows: Flows, client: redis.Redis, among: random.Random) -> None:
        self.flows = flows
        self.client = client
        self.among = among
        self.after: dict[str, list[str]] = {}
        self.policy: dict[str, str] = {}
        self.removed: set[str] = set()

    def produce(self) -> None:
        """A further job; its producer may die after any step."""
        names = sorted(self.after)
        name = f"{self.among.choice(QUEUES)} j{len(names)}"
        after = self.among.sample(names, self.among.randint(0, min(3, len(names))))
        self.policy[name] = self.among.choice(["", "", "run", "cancel", "require"])
        options = {"policy": self.policy[name]} if after else {}
        if self.among.randint(0, 5) == 0:
            options["expires_ms"] = TICK * 3 // 2
        lives = self.among.choice([1, 2, 9, 9, 9])
        if after:
            self.flows.stage(name, after)
            if lives == 1:
                return  # nothing came of it
        self.after[name] = after
        self.flows.put(name, after, **options)
        if lives > 2 and after:
            self.flows.take(self.flows.linking(name, after), self.among.choice([0, 1, 2, 3, 99]))

    def work(self) -> None:
        for job in self.flows.claim(self.among.choice(QUEUES), self.among.randint(1, 3)):
            self.check_may_run(f"{job.queue} {job.id}")
            self.flows.settle(job, self.among.choice([DONE, DONE, DONE, FAILED]))

    def check_may_run(self, name: str) -> None:
        states = {parent: self.flows.state(parent) for parent in self.after[name]}
        if not self.policy[name] or self.policy[name] == "cancel":
            assert all(state == "completed" or parent in self.removed for parent, state in states.items()), states
        elif states:
            said = self.flows.parents(name)
            assert not self.client.exists(Keys("heavylift", name.split()[0]).pending(name.split()[1]))
            assert said.keys() == states.keys()

    def pass_on(self) -> None:
        self.flows.hand_over(self.among.choice(QUEUES), most=self.among.choice([0, 1, 2, 3, 99]))

    def tend(self) -> None:
        self.flows.tend(self.among.choice(QUEUES), most=self.among.choice([0, 1, 2, 3, 99]))

    def meddle(self) -> None:
        if not self.after:
            return
        name = self.among.choice(sorted(self.after))
        queue, id = name.split()
        verbs, ask = self.flows.verbs, self.flows.connection.ask
        match self.among.choice(["cancel", "remove", "revive", "revive", "replay"]):
            case "cancel":
                ask(verbs.cancel(queue, id))
            case "remove":
                if ask(verbs.remove(queue, id)) == "removed":
                    self.removed.add(name)
            case "revive":
                ask(verbs.revive(queue, [id]))
            case "replay":
                ask(verbs.replay(queue, [id]))

    def wait(self) -> None:
        self.flows.later(TICK)
        for queue in QUEUES:
            self.flows.sweep(queue)

    def check(self) -> None:
        for queue in QUEUES:
            found = census.read(self.client, Keys("heavylift", queue))
            census.check(found)
            for id, job in found.jobs.items():
                assert ("flow" not in job) or id in found.of(f"flow:{job['flow']}")

    def finish(self) -> None:
        """Workers and janitors that live do all there is to do."""
        for _ in range(60):
            self.flows.later(2 * TICK)
            for queue in QUEUES:
                flagged = self.flows.sweep(queue).flows
                outbox = self.client.zcard(Keys("heavylift", queue).outbox)
                assert flagged or not outbox, "a sweep sees that there is something to hand over"
                self.flows.tend(queue)
                for job in self.flows.claim(queue, 50):
                    self.check_may_run(f"{job.queue} {job.id}")
                    self.flows.settle(job)
            states = {name: self.flows.state(name) for name in self.after}
            if all(state in census.ENDED for name, state in states.items() if name not in self.removed):
                break
        else:
            raise AssertionError(states)
        self.flows.later(2 * TICK)
        for queue in QUEUES:
            self.flows.tend(queue)

    def purge(self) -> None:
        for _ in range(2):
            self.flows.later(LONG + TICK)
            for queue in QUEUES:
                self.flows.tend(queue)
                self.flows.sweep(queue, keep=0)
        for queue in QUEUES:
            base = Keys("heavylift", queue).base
            left = {key.decode().removeprefix(base) for key in self.client.scan_iter(match=base + "*", count=1000)}
            left = {key for key in left if not key.startswith(STAYS)}
            staged = {key for key in left if self.client.ttl(base + key) > 0}
            assert left == staged, "what is left is what no job came of, and lapses"


@settings(
    max_examples=machines.EXAMPLES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(seed=st.integers(0, 10**9))
def test_whatever_happens_every_job_of_a_flow_ends_and_nothing_is_left(server: Server, seed: int) -> None:
    with server.client() as client, closing(Recorder(server.url, client)) as connection:
        client.flushall()
        among = random.Random(seed)
        run = Run(Flows(connection), client, among)
        for _ in range(among.randint(3, 40)):
            step = among.choice(["produce"] * 3 + ["work"] * 3 + ["pass_on", "tend", "meddle", "wait"])
            getattr(run, step)()
            run.check()
        run.finish()
        run.check()
        for name in run.after:
            if name not in run.removed:
                queue, id = name.split()
                keys = Keys("heavylift", queue)
                assert not client.exists(keys.children(id))
                assert not client.exists(keys.outbox)
        run.purge()

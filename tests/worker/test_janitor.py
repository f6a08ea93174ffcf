"""A janitor gets round to every queue, however much there is to do in one, and knows an outage from its own work."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from heavylift.errors import Unavailable
from heavylift.job import new_id
from heavylift.registry import Registry
from heavylift.settings import Settings
from heavylift.store.connection import Connection, Target
from heavylift.store.jobs import Jobs, NewJob
from heavylift.store.repairing import SWEPT_AT_ONCE
from heavylift.worker.attending import Attending
from heavylift.worker.contact import Contact
from heavylift.worker.handover import HandOver
from heavylift.worker.heartbeat import Heartbeat
from heavylift.worker.janitor import FURTHER, Janitor
from heavylift.worker.relay import Relay
from heavylift.worker.running import RunningTable
from heavylift.worker.settler import Settler
from tests.faults.proxy import Proxy
from tests.servers import Server
from tests.waiting import wait_until

LOCK, SWEEP = 6.0, 0.2
JOBS = Jobs()

REMOVE = """
for i = 1, tonumber(ARGV[1]) do
  redis.call('HSET', KEYS[1] .. i, 'state', 'completed', 'handler', 'h', 'spec', '{}', 'finished_at', '1')
  redis.call('ZADD', KEYS[2], i, 'j' .. i)
  redis.call('ZADD', KEYS[3], 1, 'j' .. i)
end
"""


class Bench:
    """A janitor that is told when to look, and its worker's heartbeat, behind a proxy; what others do goes past it.

    Attributes:
        thawed: while it is not set, the heartbeat hangs.
        swept: set whenever a sweep went through.
    """

    def __init__(self, server: Server, proxy: Proxy, lock: float = LOCK, sweep: float = SWEEP) -> None:
        self.proxy = proxy
        self.thawed = threading.Event()
        self.swept = threading.Event()
        self.thawed.set()
        self._past = Connection(Target.from_url(server.url), name="past")
        self._past.ask(JOBS.register_queue("zz"))
        target = Target.from_url(proxy.url)
        self._contact = contact = Contact("janitor", lambda role: Connection(target, name=role))
        settings = Settings.load(env={}, lock=lock, sweep=sweep)
        self.heartbeat = Heartbeat(
            "w",
            JOBS,
            Contact("heartbeat", lambda role: Connection(target, name=role)),
            RunningTable(),
            lock=lock,
            interval=settings.heartbeat,
            facts=self._facts,
        )
        relay = Relay(JOBS, contact)
        self.janitor = Janitor(
            "w",
            JOBS,
            contact,
            numbers=itertools.count(1),
            running=RunningTable(),
            settler=Settler("w", Registry([]), relay, Attending("w", []), ready=lambda: None),
            handover=HandOver(JOBS, contact),
            queues=[],
            settings=settings,
            in_doubt=self.heartbeat.in_doubt,
            on_sweep=lambda queue, epoch: self.swept.set(),
        )
        self.heartbeat.start()
        self.janitor.round()

    def _facts(self) -> dict[str, Any]:
        self.thawed.wait()
        return {"id": "w"}

    def much_to_remove(self, queue: str, count: int) -> None:
        self._past.ask(JOBS.register_queue(queue))
        keys = JOBS.keys(queue)
        self._past.command("EVAL", REMOVE, 3, keys.job("j"), keys.completed, keys.purge, count)

    def left(self, queue: str) -> int:
        return int(self._past.command("ZCARD", JOBS.keys(queue).purge))

    def lose_a_job(self) -> None:
        """A worker claims a job, and dies."""
        id = new_id()
        self._past.ask(JOBS.enqueue("zz", [NewJob(id, "h", b"{}")], id))
        claimed = self._past.ask(JOBS.claim("zz", "dead", int(id[:11], 16), 1, lease_ms=1, sleep_ms=1))
        assert [job.id for job in claimed.jobs] == [id]

    def close(self) -> None:
        self.thawed.set()
        self.janitor.stop(5.0)
        self.heartbeat.stop(5.0)
        self._contact.close()
        self._past.close()


@pytest.fixture
def bench(any_server: Server) -> Iterator[Bench]:
    assert any_server.socket is not None
    with Proxy(any_server.socket) as proxy:
        bench = Bench(any_server, proxy)
        yield bench
        bench.close()


def test_a_lost_job_does_not_wait_for_what_there_is_to_remove_in_another_queue(bench: Bench) -> None:
    bench.much_to_remove("aa", SWEPT_AT_ONCE * (FURTHER + 10))
    bench.lose_a_job()
    assert bench.janitor.round(), "there is more to do"
    assert bench.janitor.recovered == 1
    assert bench.left("aa")
    while bench.janitor.round():
        pass
    assert not bench.left("aa")


@pytest.mark.fault
def test_a_long_round_is_no_outage(bench: Bench) -> None:
    bench.much_to_remove("aa", SWEPT_AT_ONCE * (FURTHER + 10))
    bench.proxy.delay(0.04)
    began = time.monotonic()
    assert bench.janitor.round()
    assert time.monotonic() - began > LOCK / 2 + SWEEP, "or the test shows nothing"
    bench.lose_a_job()
    bench.janitor.round()
    assert bench.janitor.recovered == 1


@pytest.mark.fault
def test_after_an_outage_nothing_is_taken_for_one_lock(bench: Bench) -> None:
    bench.lose_a_job()
    bench.proxy.refuse()
    until = time.monotonic() + LOCK / 2 + SWEEP + 0.1
    while time.monotonic() < until:
        with pytest.raises(Unavailable):
            bench.janitor.round()
    bench.proxy.pass_on()
    back = time.monotonic()
    bench.janitor.round()
    assert not bench.janitor.recovered
    wait_until("it is taken", lambda: bench.janitor.round() or bench.janitor.recovered == 1, timeout=20)
    assert time.monotonic() - back >= LOCK


@pytest.mark.fault
def test_an_outage_that_falls_into_the_pause_between_two_rounds_is_known_all_the_same(any_server: Server) -> None:
    """Most of it at least; the first call after it takes no longer than half a lock."""
    assert any_server.socket is not None
    with Proxy(any_server.socket) as proxy:
        bench = Bench(any_server, proxy, lock=2.0, sweep=1.0)
        try:
            bench.swept.clear()
            bench.janitor.start()
            assert bench.swept.wait(5)
            proxy.refuse()
            bench.lose_a_job()
            back = time.monotonic() + 1.6
            wait_until("it was away for less than a lock", lambda: time.monotonic() >= back)
            proxy.pass_on()
            wait_until("the job is taken", lambda: bench.janitor.recovered == 1, timeout=20)
            assert time.monotonic() - back >= 2.0
        finally:
            bench.close()


@pytest.mark.fault
def test_a_worker_that_was_frozen_takes_nothing_for_one_lock(bench: Bench) -> None:
    """Also if the janitor is the first to go on."""
    bench.lose_a_job()
    bench.thawed.clear()
    thawed = time.monotonic() + LOCK / 2 + LOCK / 4 + 0.1  # it may have hung just before a beat, or just after one
    wait_until("it was frozen for long", lambda: time.monotonic() >= thawed)
    bench.janitor.round()
    assert not bench.janitor.recovered
    bench.thawed.set()
    wait_until("it is taken", lambda: bench.janitor.round() or bench.janitor.recovered == 1, timeout=20)
    assert time.monotonic() - thawed >= LOCK

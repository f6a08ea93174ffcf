"""A janitor gets round to every queue, however much there is to do in one, and knows an outage from its own work."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

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
    """A janitor that is told when to look, behind a proxy, and what others do past it."""

    def __init__(self, server: Server, proxy: Proxy) -> None:
        self.proxy = proxy
        self._past = Connection(Target.from_url(server.url), name="past")
        self._past.ask(JOBS.register_queue("zz"))
        target = Target.from_url(proxy.url)
        self._contact = contact = Contact("janitor", lambda role: Connection(target, name=role))
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
            settings=Settings.load(env={}, lock=LOCK, sweep=SWEEP),
        )
        self.janitor.round()

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
def test_a_worker_that_was_frozen_takes_nothing_for_one_lock(bench: Bench) -> None:
    bench.lose_a_job()
    thawed = time.monotonic() + LOCK / 2 + SWEEP + 0.1
    wait_until("it was frozen for long", lambda: time.monotonic() >= thawed)
    bench.janitor.round()
    assert not bench.janitor.recovered
    wait_until("it is taken", lambda: bench.janitor.round() or bench.janitor.recovered == 1, timeout=20)
    assert time.monotonic() - thawed >= LOCK

"""A producer is killed in the middle of what it puts in: all that is known of it is complete, or can be seen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from heavylift import Client, Job, batch, why
from heavylift.errors import JobNotFound
from heavylift.options import JobOptions
from tests.faults import jobs, oracle
from tests.faults.harness import REPOSITORY, WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.proxy import Proxy
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]

KEPT = ("heavylift:{*}:flow:*", "heavylift:{*}:parents:*")
"""Of a flow these are kept as long as its jobs are."""

MANY = 2000
SLOW = 100_000
"""Bytes a second that reach Redis: so few that a producer is still at it when some jobs are in."""


def put_flow(client: Client, book: str) -> list[Job[int]]:
    """A flow whose last job waits for all others."""
    last = jobs.quick_in_a_thread.job(ledger=book)
    flow = batch([jobs.quick.job(ledger=book) for _ in range(MANY)], on_complete=last)
    return list(client.enqueue_flow(flow, id="put").jobs)


def put_many(client: Client, book: str) -> list[Job[int]]:
    """Jobs with ids of their own, so that they can be enqueued again."""
    plain = [jobs.quick.job(ledger=book) for _ in range(MANY + 1)]
    named = [replace(job, options=JobOptions(id=f"put.{place:06}")) for place, job in enumerate(plain)]
    return list(client.enqueue_many(named))


def kill_halfway(server: Server, what: str, book: str) -> int:
    """Have another process put them in, and kill it when some are noted; how many job records there are."""
    assert server.socket is not None
    with Proxy(server.socket) as proxy, server.client() as redis:
        proxy.throttle(SLOW, "up")
        env = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'src'}"}
        producer = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.test_producers", proxy.url, what, book], env=env
        )
        try:
            wait_until("some are noted", lambda: redis.dbsize() > 100, timeout=30)
            assert producer.poll() is None, "it was killed too late"
        finally:
            producer.kill()
            producer.wait(10)
    with server.client() as redis:
        return sum(1 for _ in redis.scan_iter("heavylift:{light}:job:*", count=1000))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("what", ["put_flow", "put_many"])
def test_what_a_killed_producer_leaves_is_complete_or_seen_and_is_completed_by_enqueueing_again(
    what: str, any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger
) -> None:
    row = Row(0, what, ledger)
    assert kill_halfway(any_server, what, row.book) < MANY + 1
    noted = 0
    for place in range(0, MANY + 1, 50):
        try:
            found = client.why(f"put.{place:06}", "light")
        except JobNotFound:
            continue  # nothing is known of it, so nothing waits for it unseen
        noted += 1
        assert found.state is not None or any(isinstance(one, why.Staged) for one in found.reasons), str(found)
    assert noted, "it was killed halfway"
    start_worker(keep_completed_count=2 * MANY)
    row.acknowledged({"put_flow": put_flow, "put_many": put_many}[what](client, row.book))
    row.judge(any_server, timeout=60, residue=False)
    with any_server.client() as redis:
        assert not oracle.no_residue(redis, KEPT)
    assert row.facts.jobs == MANY + 1
    assert row.facts.doubled == 0


if __name__ == "__main__":
    url, name, book = sys.argv[1:]
    with Client(url) as own:
        {"put_flow": put_flow, "put_many": put_many}[name](own, book)

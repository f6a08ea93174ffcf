"""Redis is there and does not answer, for less than a lock and for longer: nothing is lost, nothing counts twice."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from heavylift import Client
from tests.faults import jobs
from tests.faults.harness import BOTH_KINDS, LOCK, WorkerProcess
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]

SHORT, LONG = LOCK * 0.3, LOCK * 1.5
"""A stall and the pause between two heartbeats may together take 70 % of a lock."""


@pytest.mark.row(30, timing=True)
@pytest.mark.parametrize("how", ["CLIENT PAUSE ALL", "SIGSTOP"])
def test_a_stall_shorter_than_a_lock_is_not_noticed_by_any_job(
    how: str, any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    start_worker()
    held = row.hold(client)
    with row.steady(client):
        row.put(client, 100)
        row.inject(f"{how} for {SHORT:g} s")
        if how == "SIGSTOP":
            any_server.pause()
            time.sleep(SHORT)
            any_server.resume()
        else:
            any_server.command("CLIENT", "PAUSE", int(SHORT * 1000), "ALL")
            time.sleep(SHORT)
        row.clear()
    row.put(client, 5)
    row.await_running()
    row.judge(any_server)
    assert row.starts(held) == 1
    assert row.facts.doubled == 0


@pytest.mark.row(30, timing=True)
@BOTH_KINDS
def test_nothing_that_still_runs_is_taken_over_when_redis_was_away_for_longer_than_the_lock(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """Two workers, of which each could take the other's jobs. Who may go on alone does; the rest is stopped in time."""
    start_worker(command_timeout=1)
    start_worker(command_timeout=1)
    alone = [row.hold(client, jobs.until_told_alone) for _ in range(4)]
    stopped = [row.hold(client) for _ in range(2)]
    with row.steady(client):
        row.inject(f"SIGSTOP for {LONG:g} s, with two workers")
        any_server.pause()
        time.sleep(LONG)
        row.clear()
        any_server.resume()
    row.put(client, 20)
    row.await_running()
    time.sleep(LOCK)  # long enough for a janitor that takes what it should not
    row.judge(any_server)
    assert [row.starts(job) for job in alone] == [1] * 4
    for job in stopped:
        counters = job.record().counters
        put_back = counters.starts - 1  # more than once, if the answer to a claim took so long that its lock was old
        assert put_back >= row.starts(job) - 1 >= 1, "not all of those began"
        assert (counters.crashes, counters.attempts, counters.interruptions) == (0, 0, put_back)
    assert [worker["recovered"] for worker in client.workers()] == [0, 0]


@pytest.mark.row(31, timing=True)
@BOTH_KINDS
def test_while_writes_are_paused_reading_goes_on_and_nothing_is_taken_over(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """Two workers, of which each could take the other's job. Who may go on alone does; the other is stopped in time."""
    start_worker(command_timeout=1)
    start_worker(command_timeout=1)
    held, stopped = row.hold(client, jobs.until_told_alone), row.hold(client)
    with row.steady(client):
        row.inject(f"CLIENT PAUSE WRITE for {LONG:g} s, with two workers")
        any_server.command("CLIENT", "PAUSE", int(LONG * 1000), "WRITE")
        until = time.monotonic() + LONG
        while time.monotonic() < until - 0.5:
            assert held.state() == "active"
            time.sleep(0.2)
        time.sleep(max(0.0, until - time.monotonic()))
        row.clear()
    row.put(client, 20)
    row.await_running()
    wait_until("what was stopped runs again", lambda: row.starts(stopped) >= 2, timeout=10)
    time.sleep(LOCK)  # long enough for a janitor that takes what it should not
    row.judge(any_server)
    assert row.starts(held) == 1
    counters = stopped.record().counters
    put_back = counters.starts - 1  # more than once, if the answer to a claim took so long that its lock was old
    assert put_back >= row.starts(stopped) - 1 >= 1, "not all of those began"
    assert [attempt.cause for attempt in stopped.record().attempts] == ["lost_contact"] * put_back + ["completed"]
    assert (counters.crashes, counters.attempts, counters.interruptions) == (0, 0, put_back)
    assert [said["recovered"] for said in client.workers()] == [0, 0]

"""Schedules when workers die, are away or Redis' clock is set back: each tick is one job at most, and none is lost.

What the change to summer time and back does to a time of day is a matter of values: see `tests/test_timetable.py`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heavylift import Client, Every
from heavylift.schedule import ON_TIME
from tests.faults import jobs
from tests.faults.clocks import HOUR, Clock, needs_faketime
from tests.faults.harness import REPOSITORY, WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.rows import Row
from tests.servers import Server, valkey_binary
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]

DAY = 24 * 3_600_000
"""ms."""


def made(server: Server) -> list[str]:
    """Ids of all jobs, in the order of their ticks."""
    with server.client() as redis:
        return sorted(key.decode().partition(":job:")[2] for key in redis.scan_iter("*:job:*"))


def ticks_of(ids: list[str]) -> list[int]:
    """When the jobs of a schedule were due (ms)."""
    return sorted(int(id.partition("@")[2]) for id in ids if "@" in id)


@pytest.mark.row(65, timing=True)
def test_no_tick_is_lost_or_doubled_when_workers_are_killed_among_them(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    workers = [start_worker(slots=1) for _ in range(3)]
    client.schedule("beat", jobs.quick.job(ledger=row.book), Every(seconds=1))
    for worker in workers[:2]:
        ran = len(ledger.counts("start"))
        wait_until("a tick was run", lambda ran=ran: len(ledger.counts("start")) > ran, timeout=10)  # type: ignore[misc]
        row.inject("kill -9 of a worker among the ticks of a schedule")
        worker.kill9()
    row.clear()
    ran = len(ledger.counts("start"))
    wait_until("the last worker goes on", lambda: len(ledger.counts("finish")) >= ran + 2, timeout=15)
    client.pause_schedule("beat")

    (beat,) = client.schedules("light")
    wait_until("all have run, the killed ones again", lambda: len(ledger.counts("finish")) == beat.fired, timeout=15)
    ticks = ticks_of(list(ledger.counts("finish")))
    assert ticks == list(range(ticks[0], ticks[0] + 1000 * len(ticks), 1000)), "one job for every second"
    client.unschedule("beat")
    row.acknowledged([client.job(id) for id in made(any_server)])
    row.judge(any_server)


def fire_and_die(url: str, when: str) -> int:
    """Fire in a process of its own that is killed `before` the write of a tick, or `after` it; how it ended."""
    env = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'src'}"}
    firing = [sys.executable, "-m", "tests.faults.firing", url, "light", when]
    return subprocess.run(firing, env=env, timeout=30, check=False).returncode


@pytest.mark.row(65)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_killed_at_the_write_of_a_tick_leaves_it_to_others_or_done(
    when: str, any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    client.schedule("rare", jobs.quick.job(ledger=row.book), Every(days=10))
    with any_server.client() as redis:
        (due,) = redis.zrange("heavylift:{light}:schedules", 0, -1, withscores=True)
        tick = int(due[1]) - 10 * 86_400_000
        redis.zadd("heavylift:{light}:schedules", {"rare": tick})

    row.inject(f"kill -9 {when} the write of a tick")
    assert fire_and_die(any_server.url, when) == -signal.SIGKILL
    assert made(any_server) == ([] if when == "before" else [f"rare@{tick}"])

    start_worker()
    wait_until("a job of it has run", lambda: ledger.counts("finish"), timeout=10)
    assert made(any_server) == [f"rare@{tick}"]
    assert ledger.counts("start") == {f"rare@{tick}": 1}
    (found,) = client.schedules("light")
    assert (found.fired, found.skipped) == (1, 0)
    client.unschedule("rare")
    row.acknowledged([client.job(f"rare@{tick}")])
    row.judge(any_server)


@pytest.mark.row(65)
@pytest.mark.parametrize("catch_up", ["once", "skip"])
def test_of_ticks_that_nobody_was_there_for_the_latest_is_made_up_for_or_none(
    catch_up: Any, any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    """Down for three ticks, a day apart."""
    client.schedule("rare", jobs.quick.job(ledger=row.book), Every(hours=24), catch_up=catch_up)
    with any_server.client() as redis:
        (due,) = redis.zrange("heavylift:{light}:schedules", 0, -1, withscores=True)
        missed = [int(due[1]) - days * DAY for days in (3, 2, 1)]
        redis.zadd("heavylift:{light}:schedules", {"rare": missed[0]})
        wait_until("the last is late", lambda: redis.time()[0] * 1000 > missed[-1] + ON_TIME + 1000, timeout=15)
        row.inject("no worker for three ticks of a schedule")
        start_worker(ready=False)
        wait_until("they are passed", lambda: redis.zscore("heavylift:{light}:schedules", "rare") == due[1], timeout=25)
    assert ticks_of(made(any_server)) == ([missed[-1]] if catch_up == "once" else [])
    client.unschedule("rare")
    row.acknowledged([client.job(id) for id in made(any_server)])
    row.put(client, 5)
    row.judge(any_server)


@pytest.mark.row(65, timing=True)
@needs_faketime()
def test_a_tick_that_comes_a_second_time_because_the_clock_was_set_back_makes_no_second_job(
    start_worker: StartWorker, tmp_path: Path, ledger: Ledger, row: Row
) -> None:
    """The schedule is silent until the clock has come so far again; other jobs are not."""
    clock = Clock(tmp_path)
    with Server(valkey_binary(), env=clock.env) as server, Client(server.url) as client:
        start_worker(url=server.url, ready=False).await_ready(client)
        client.schedule("beat", jobs.quick.job(ledger=row.book), Every(seconds=1))
        wait_until("ticks come", lambda: len(ledger.counts("finish")) >= 2, timeout=15)
        row.inject("Redis' clock set an hour backwards and, later, forwards again")
        clock.set(-HOUR)
        with server.client() as redis:
            ticks = ticks_of(made(server))
            back = redis.time()[0] * 1000
            assert back < ticks[-1]
            wait_until("two ticks of that clock pass", lambda: redis.time()[0] * 1000 > back + 2_000, timeout=15)
        assert [job.result(10) for job in row.put(client, 5)] == [1] * 5
        assert ticks_of(made(server)) == ticks
        clock.set(0)
        row.clear()
        wait_until("it goes on", lambda: len(ticks_of(made(server))) > len(ticks), timeout=15)
        client.unschedule("beat")
        row.acknowledged([client.job(id) for id in made(server)])
        row.judge(server)
    assert row.facts.doubled == 0

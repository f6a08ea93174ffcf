"""A worker is killed among the ticks of a schedule: each tick is one job all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from heavylift import Client, Every
from tests.faults import jobs
from tests.faults.harness import REPOSITORY, WorkerProcess
from tests.faults.ledger import Ledger
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]


def test_no_tick_is_lost_or_doubled_when_workers_are_killed_among_them(
    start_worker: StartWorker, client: Client, ledger: Ledger
) -> None:
    workers = [start_worker(slots=1) for _ in range(3)]
    client.schedule("beat", jobs.quick.job(ledger=str(ledger.path)), Every(seconds=1))
    for worker in workers[:2]:
        ran = len(ledger.counts("start"))
        wait_until("a tick was run", lambda ran=ran: len(ledger.counts("start")) > ran, timeout=10)  # type: ignore[misc]
        worker.kill9()
    ran = len(ledger.counts("start"))
    wait_until("the last worker goes on", lambda: len(ledger.counts("finish")) >= ran + 2, timeout=15)
    client.pause_schedule("beat")

    (beat,) = client.schedules("light")
    wait_until("all have run, the killed ones again", lambda: len(ledger.counts("finish")) == beat.fired, timeout=15)
    ticks = sorted(int(job.removeprefix("beat@")) for job in ledger.counts("finish"))
    assert ticks == list(range(ticks[0], ticks[0] + 1000 * len(ticks), 1000)), "one job for every second"


def made(server: Server) -> list[str]:
    """Ids of all jobs, in the order of their ticks."""
    with server.client() as redis:
        return sorted(key.decode().partition(":job:")[2] for key in redis.scan_iter("*:job:*"))


def fire_and_die(url: str, when: str) -> int:
    """Fire in a process of its own that is killed `before` the write of a tick, or `after` it; how it ended."""
    env = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'src'}"}
    firing = [sys.executable, "-m", "tests.faults.firing", url, "light", when]
    return subprocess.run(firing, env=env, timeout=30, check=False).returncode


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_killed_at_the_write_of_a_tick_leaves_it_to_others_or_done(
    when: str, any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger
) -> None:
    client.schedule("rare", jobs.quick.job(ledger=str(ledger.path)), Every(hours=1))
    with any_server.client() as redis:
        (due,) = redis.zrange("heavylift:{light}:schedules", 0, -1, withscores=True)
        tick = int(due[1]) - 3_600_000
        redis.zadd("heavylift:{light}:schedules", {"rare": tick})

    assert fire_and_die(any_server.url, when) == -signal.SIGKILL
    assert made(any_server) == ([] if when == "before" else [f"rare@{tick}"])

    start_worker()
    wait_until("a job of it has run", lambda: ledger.counts("finish"), timeout=10)
    assert made(any_server) == [f"rare@{tick}"]
    assert ledger.counts("start") == {f"rare@{tick}": 1}
    (found,) = client.schedules("light")
    assert (found.fired, found.skipped) == (1, 0)

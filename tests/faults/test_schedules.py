"""A worker is killed among the ticks of a schedule: each tick is one job all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from heavylift import Client, Every
from tests.faults import jobs
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
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

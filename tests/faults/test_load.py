"""Too much at once: many jobs due in one moment, and everything downstream failing."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from heavylift import Client
from heavylift.job import new_id
from heavylift.store.connection import Connection, Target
from heavylift.store.jobs import Jobs, NewJob, batches
from heavylift.store.scripts import Scripts
from tests.faults import jobs
from tests.faults.harness import WorkerProcess
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]

MANY = 50_000
WORST, COMMANDS = 5.0, 2_000
"""ms that a call may take Redis, and commands that its script may run: the bars of `tests/store/test_bars.py`."""

ALIKE = 10
CREDITS = 50
HOUR = 3_600_000


def spent(server: Server) -> tuple[float, float, int]:
    """What has been taken so far: ms of scripts by the clock, ms of the processor, commands that scripts have run."""
    said = server.command("INFO", "commandstats", "cpu")
    stats = {name: stat for name, stat in said.items() if name.startswith("cmdstat_")}
    clock = stats.pop("cmdstat_evalsha", {"usec": 0})["usec"] / 1000
    cpu = 1000 * (said["used_cpu_user_main_thread"] + said["used_cpu_sys_main_thread"])
    return clock, cpu, sum(stat["calls"] for name, stat in stats.items() if name != "cmdstat_info")


def claims(server: Server, connection: Connection, keys: int) -> Iterator[tuple[float, int]]:
    """Have many jobs come due together, and claim until all of them wait or run: ms and commands of each claim."""
    server.reset()
    early, late = Jobs(), Jobs("heavylift", Scripts(offset_ms=2 * HOUR))
    if keys:
        connection.ask(early.limit("q", 100, group="h", per_key=True))
    due = time.time_ns() // 1_000_000 + HOUR
    new = [
        NewJob(new_id(), b"{}", "h", due_ms=due, key=f"k{number % keys}" if keys else "")  # a line for each
        for number in range(MANY)
    ]
    for batch in batches(new):
        connection.ask(early.enqueue("q", batch, batch[0].id))
    for number in itertools.count(1):
        before = spent(server)
        connection.ask(late.claim("q", f"w{number}", 1, CREDITS, HOUR, 1000))
        after = spent(server)
        yield min(after[0] - before[0], after[1] - before[1]), after[2] - before[2]
        if not connection.ask(late.counts("q")).delayed:
            return


@pytest.mark.row(66, timing=True)
@pytest.mark.timeout(400)
@pytest.mark.parametrize("keys", [0, 1000], ids=["one line", "1,000 keys"])
def test_jobs_due_in_the_same_millisecond_hold_redis_up_no_longer_than_the_bar(
    keys: int, any_server: Server, row: Row
) -> None:
    """Of ten claims in a row, which do the same, the quickest: what is slow by itself is so in each."""
    row.inject(f"{MANY} jobs due in the same millisecond")
    connection = Connection(Target.from_url(any_server.url), name="test")
    costs = list(claims(any_server, connection, keys))
    connection.close()
    any_server.reset()
    quickest = [min(ms for ms, _ in costs[start : start + ALIKE]) for start in range(0, len(costs), ALIKE)]
    row.measure("claim, ms", max(quickest))
    row.measure("commands of a claim", max(commands for _, commands in costs))
    assert max(quickest) <= WORST
    assert max(commands for _, commands in costs) <= COMMANDS
    assert len(costs) >= MANY / 100, "in bounded batches"


@pytest.mark.row(66, timing=True)
@pytest.mark.timeout(400)
def test_jobs_due_in_the_same_millisecond_all_run_once(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    start_worker(slots=0, keep_completed_count=2 * MANY)
    with any_server.client() as redis:
        due = datetime.fromtimestamp(redis.time()[0] + 20, UTC)
        new = [jobs.quick.job(ledger=row.book) for _ in range(MANY)]
        row.acknowledged(list(client.enqueue_many(new, at=due)))
        row.inject(f"{MANY} jobs due in the same millisecond")
        wait_until("they are due", lambda: redis.time()[0] >= due.timestamp(), timeout=30)
        row.clear()
        began = time.monotonic()
        wait_until("all have run", lambda: redis.zcard("heavylift:{light}:completed") >= MANY, timeout=300)
        row.measure("jobs/s", MANY / (time.monotonic() - began))
    row.judge(any_server)
    assert row.facts.doubled == 0


CROWD = 1000
WINDOWS = 10
MOST_IN_ONE = 0.2
"""Share of the retries that a tenth of the time among which they are spread may hold; a tenth of them on average."""


@pytest.mark.row(67, timing=True)
@pytest.mark.timeout(180)
def test_when_all_that_is_downstream_fails_the_retries_spread_and_end_as_dead_letters(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    start_worker(slots=0)
    row.inject(f"{CROWD} jobs at once whose every attempt fails")
    crowd = row.acknowledged(list(client.enqueue_many([jobs.fails.job(ledger=row.book) for _ in range(CROWD)])))
    row.judge(any_server, timeout=120)
    records = [job.record() for job in crowd]
    assert {(record.state, record.reason) for record in records} == {("failed", "exhausted")}
    assert {row.starts(job) for job in crowd} == {2}

    waits = [(record.due_at or 0) - record.attempts[0].ended_at for record in records]
    width = jobs.STORM.jitter * jobs.STORM.initial * 1000 / WINDOWS
    tenths = Counter(int((wait - min(waits)) / width) for wait in waits)
    row.measure("largest share of the retries in a tenth of the spread", max(tenths.values()) / CROWD)
    assert max(tenths.values()) <= MOST_IN_ONE * CROWD
    assert max(waits) - min(waits) >= 0.8 * width * WINDOWS

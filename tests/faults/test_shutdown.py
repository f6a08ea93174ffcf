"""Shutdown and deploy: however a worker is told to go, it goes in time, and its jobs run once."""

from __future__ import annotations

import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from heavylift import Client
from tests.faults import jobs
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.rows import Row
from tests.servers import Server, any_binary
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]

BOTH_LANES = (jobs.work_until_told, jobs.until_told)
EXIT, BUSY = 2.0, 2.0
"""Seconds that a worker may take to go, beside its deadline and its grace."""


@pytest.mark.row(19)
def test_term_ends_an_idle_worker_at_once(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    worker = start_worker()
    assert [job.result(10) for job in row.put(client, 5)] == [1] * 5
    row.inject("SIGTERM to an idle worker")
    worker.signal(signal.SIGTERM)
    told = time.monotonic()
    assert worker.wait() == 0
    assert time.monotonic() - told < EXIT + BUSY
    row.judge(any_server)


@pytest.mark.row(20)
def test_term_lets_running_jobs_finish_and_claims_no_more(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    worker = start_worker()
    running = [row.hold(client, handler) for handler in BOTH_LANES]
    row.inject("SIGTERM while jobs run that finish within the deadline")
    worker.signal(signal.SIGTERM)
    wait_until("it claims no more", lambda: client.workers()[0]["quiet"])
    (late,) = row.put(client, 1)
    row.release()
    assert worker.wait() == 0
    assert [job.result(1) for job in running] == ["told", "told"]
    assert late.state() == "waiting"
    start_worker()
    row.judge(any_server)
    assert row.facts.doubled == 0


@pytest.mark.row(21, timing=True)
def test_what_cannot_finish_by_the_deadline_goes_back_to_the_front_at_no_cost(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    """With what it had reached: another worker goes on from the checkpoint, before it runs what came later."""
    worker = start_worker(deadline=0.3, slots=1, places=1)
    running = [row.hold(client, handler) for handler in (jobs.steps, jobs.steps_lightly)]
    wait_until("both have saved", lambda: ledger.counts("step-1").total() == 2)
    later = [
        client.enqueue(jobs.crunch.job(ledger=row.book)),
        client.enqueue(jobs.quick.job(ledger=row.book)),
    ]
    row.acknowledged(later)
    row.inject("SIGTERM while jobs run that outlast the deadline of 0.3 s")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    row.clear()
    for job in running:
        record = job.record()
        counters = record.counters
        assert record.state == "waiting"
        assert (counters.interruptions, counters.attempts, counters.crashes) == (1, 0, 0)

    start_worker(slots=1, places=1)
    row.judge(any_server)
    assert [job.result(1) for job in running] == [3, 3]
    assert all(set(ledger.counts(f"step-{step}").values()) == {1} for step in (1, 2, 3)), "each step was done once"
    for job, after in zip(running, later, strict=True):
        assert ledger.starts(job.id)[1].at < ledger.starts(after.id)[0].at


@pytest.mark.row(22)
def test_a_storm_of_terms_is_one_shutdown(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    worker = start_worker()
    held = row.hold(client)
    row.inject("100 SIGTERMs while a job runs")
    for _ in range(100):
        worker.process.send_signal(signal.SIGTERM)
    wait_until("it ends", lambda: "ending" in worker.log.read_text())
    row.release()
    assert worker.wait() == 0
    assert worker.log.read_text().count("ending") == 1
    assert held.result(1) == "told"
    row.judge(any_server)
    assert row.facts.doubled == 0


@pytest.mark.row(23, timing=True)
@pytest.mark.parametrize(("times", "code"), [(1, 0), (2, 130), (3, 131)])
def test_each_interrupt_is_more_urgent(
    times: int, code: int, any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """The first lets running jobs finish, the second puts them back, the third leaves them to their locks."""
    worker = start_worker(slots=1, grace=5)
    job = row.hold(client, jobs.wait_whatever if times == 3 else jobs.until_told)
    row.inject(f"{times} × SIGINT")
    for said in ("ending", "not waiting", "")[:times]:  # signals that come together are one
        worker.signal(signal.SIGINT)
        wait_until("it has heeded it", lambda said=said: said in worker.log.read_text())  # type: ignore[misc]
    if times == 1:
        row.release()
    assert worker.wait() == code
    row.clear()
    expected = {0: ("completed", 0), 130: ("waiting", 1), 131: ("active", 0)}[code]
    record = job.record()
    assert (record.state, record.counters.interruptions) == expected
    assert record.counters.attempts == record.counters.crashes == 0
    start_worker()
    row.judge(any_server)


@pytest.fixture
def lasting() -> Iterator[Server]:
    """A server of the test's own that loses nothing when it is killed."""
    with Server(any_binary(), appendonly=True, config={"appendfsync": "always"}) as server:
        yield server


@pytest.mark.row(24, timing=True)
@pytest.mark.parametrize("how", ["SIGSTOP", "kill -9"])
def test_term_while_redis_is_away_ends_in_time_and_the_jobs_come_back(
    how: str, lasting: Server, start_worker: StartWorker, row: Row
) -> None:
    """Within its deadline, its grace and 2 s, though both lanes have jobs that do not end when asked."""
    deadline = grace = 0.5
    with Client(lasting.url) as client:
        worker = start_worker(url=lasting.url, ready=False, deadline=deadline, grace=grace)
        worker.await_ready(client)
        running = [row.hold(client, handler) for handler in (jobs.work_whatever, jobs.wait_whatever)]
        row.inject(f"{how} of Redis, then SIGTERM")
        lasting.pause() if how == "SIGSTOP" else lasting.kill9()
        try:
            worker.signal(signal.SIGTERM)
            told = time.monotonic()
            worker.wait(30)
            took = time.monotonic() - told
        finally:
            lasting.revive()
        row.clear()
        row.release()
        start_worker(url=lasting.url, ready=False)
        row.judge(lasting)
        row.measure("gone, s after deadline and grace", took - deadline - grace)
        assert took <= deadline + grace + EXIT + BUSY, worker.log.read_text()
        assert {job.result(1) for job in running} == {"told"}


@pytest.mark.row(25)
@pytest.mark.parametrize("how", [signal.SIGUSR1, signal.SIGTSTP], ids=lambda how: how.name)
def test_a_quiet_worker_claims_nothing_until_it_is_told_again(
    how: signal.Signals, any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """What it runs goes on meanwhile."""
    worker = start_worker()
    held = row.hold(client)
    row.inject(f"{how.name} while a job runs, and again later")
    worker.signal(how)
    wait_until("it is quiet", lambda: client.workers()[0]["quiet"])
    (job,) = row.put(client, 1)
    row.release()
    assert held.result(10) == "told"
    assert job.state() == "waiting"
    row.clear()
    worker.signal(how)
    wait_until("it claims again", lambda: not client.workers()[0]["quiet"])
    row.judge(any_server)
    assert row.facts.doubled == 0


class Stream(threading.Thread):
    """Enqueues short jobs, as many a second as it is told, until the block is left; notes when (monotonic ns)."""

    def __init__(self, client: Client, row: Row, rate: int) -> None:
        super().__init__(name="stream", daemon=True)
        self.at: dict[str, int] = {}
        self._client, self._row, self._pause = client, row, 2 / rate
        self._ending = threading.Event()

    def run(self) -> None:
        """Two at a time, by the clock: a late pair does not make the next one late."""
        due = time.monotonic()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            due += self._pause
            before = time.monotonic_ns()
            self.at.update((job.id, before) for job in self._row.put(self._client, 2))

    def __enter__(self) -> Stream:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.join()

    def waits(self, ledger: Ledger) -> list[float]:
        """Seconds from the call of `enqueue` to the start of each job."""
        return [(entry.at - self.at[entry.job]) / 1e9 for entry in ledger.entries() if entry.event == "start"]


@pytest.mark.row(26)
def test_a_rolling_restart_under_load_loses_nothing_and_starts_nothing_twice(
    any_server: Server, start_worker: StartWorker, client: Client, ledger: Ledger, row: Row
) -> None:
    workers = [start_worker(slots=0) for _ in range(3)]
    row.inject("three workers restarted by SIGTERM one after the other, at 200 jobs/s")
    with Stream(client, row, rate=200) as stream:
        for worker in workers:
            ran = len(ledger.entries())
            wait_until("the jobs run", lambda ran=ran: len(ledger.entries()) > ran + 200, timeout=20)  # type: ignore[misc]
            worker.signal(signal.SIGTERM)
            assert worker.wait() == 0
            start_worker(slots=0)
    row.judge(any_server)
    assert row.facts.doubled == 0
    waits = stream.waits(ledger)
    row.measure("wait, 99th percentile, s", statistics.quantiles(waits, n=100)[98])
    row.measure("jobs/s", len(waits) / ((max(stream.at.values()) - min(stream.at.values())) / 1e9))

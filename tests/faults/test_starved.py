"""The machine is short of descriptors, processes or processor time: a worker says so, waits, and goes on by itself."""

from __future__ import annotations

import os
import resource
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from heavylift import Client, Job
from tests.faults import jobs
from tests.faults.harness import WorkerProcess
from tests.faults.oracle import Vitals, hygiene
from tests.faults.records import PROCESSORS_TAKEN, Long, today, write
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]

PIDS = Path("/sys/fs/cgroup/pids")
MINUTES = "FAULTS_MINUTES"
"""How long the processors are taken, in the environment; a quarter of a minute if it does not say."""


def put_heavy(client: Client, row: Row, count: int, seconds: float = 0.0) -> list[Job[float]]:
    """Enqueue jobs for the cpu lane."""
    new = [jobs.crunch.job(ledger=row.book, seconds=seconds) for _ in range(count)]
    return row.acknowledged(list(client.enqueue_many(new)))


def said(worker: WorkerProcess, *words: str) -> bool:
    log = worker.log.read_text()
    return all(word in log for word in words)


def slots(worker: WorkerProcess) -> list[int]:
    """Pids of the processes for heavy jobs: the children of the fork server."""
    children = psutil.Process(worker.pid).children()
    return [slot.pid for child in children for slot in child.children()]


@pytest.mark.row(68, timing=True)
@pytest.mark.parametrize("below", [3, 16, 25, 34])
def test_a_worker_without_descriptors_says_so_and_goes_on_when_there_are_some_again(
    below: int, any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """Those that it has stay, but for its connections and a process; new ones it gets below a number only.

    Of some forty that it has, so that nothing, a connection, or half of a process can be opened.
    """
    worker = start_worker()
    for job in put_heavy(client, row, 20):
        job.result(20)
    wait_until("both slots are up", lambda: len(slots(worker)) == 2, timeout=20)
    had, before = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE), Vitals.of(worker.pid)
    row.inject("no descriptors left (RLIMIT_NOFILE), every connection and a process killed")
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (below, had[1]))
    os.kill(slots(worker)[0], signal.SIGKILL)
    with any_server.client() as redis:
        for kind in ("normal", "pubsub"):
            redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    put_heavy(client, row, 20)
    wait_until("it says so", lambda: said(worker, "Too many open files"), timeout=20)
    assert worker.process.poll() is None, worker.log.read_text()
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, had)
    row.clear()
    put_heavy(client, row, 20)
    row.judge(any_server, timeout=60)
    assert worker.process.poll() is None, worker.log.read_text()
    await_as(before, worker)


def await_as(before: Vitals, worker: WorkerProcess) -> None:
    """Wait until the worker has both of its slots again, and holds no more than before."""
    wait_until("both slots are up again", lambda: len(slots(worker)) == 2, timeout=40)
    wait_until("it holds no more than before", lambda: not hygiene(before, Vitals.of(worker.pid)), timeout=40)


@contextmanager
def few_processes(worker: WorkerProcess) -> Iterator[Callable[[str], None]]:
    """Put a worker with its family into a cgroup; a function that says how many processes and threads it may have."""
    group = PIDS / f"test-{secrets.token_hex(4)}"
    try:
        group.mkdir()
    except OSError as wrong:
        pytest.skip(f"no cgroup for processes can be made here: {wrong} (RLIMIT_NPROC does not bind root)")
    family = [worker.pid, *(member.pid for member in worker.family())]
    try:
        for pid in family:
            (group / "cgroup.procs").write_text(str(pid))
        yield lambda most: (group / "pids.max").write_text(most) and None
    finally:
        (group / "pids.max").write_text("max")
        wait_until("all have left the group", lambda: not _moved(group, PIDS))
        group.rmdir()


def _moved(here: Path, there: Path) -> list[str]:
    """Move the members of a cgroup to another; who they were."""
    members = (here / "cgroup.procs").read_text().split()
    for pid in members:
        with suppress(ProcessLookupError):  # it has ended
            (there / "cgroup.procs").write_text(pid)
    return members


@pytest.mark.row(68, timing=True)
def test_a_worker_without_processes_says_so_and_goes_on_when_there_are_some_again(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """The limit is the cgroup's: RLIMIT_NPROC does not bind root, and would count other processes of a user too."""
    worker = start_worker()
    for job in put_heavy(client, row, 20):
        job.result(20)
    wait_until("both slots are up", lambda: len(slots(worker)) == 2, timeout=20)
    before = Vitals.of(worker.pid)
    with few_processes(worker) as allow:
        row.inject("no processes and threads left (pids cgroup), and those of the slots killed")
        allow("1")
        for pid in slots(worker):
            os.kill(pid, signal.SIGKILL)
        put_heavy(client, row, 20)
        row.put(client, 20)
        row.acknowledged([client.enqueue(jobs.quick_in_a_thread.job(ledger=row.book))])
        for words in ("a slot cannot be started", "no thread for a handler"):
            wait_until(f"it says {words!r}", lambda words=words: said(worker, words), timeout=20)
        assert worker.process.poll() is None, worker.log.read_text()
        allow("max")
        row.clear()
        put_heavy(client, row, 20)
        row.judge(any_server, timeout=60)
    assert worker.process.poll() is None, worker.log.read_text()
    await_as(before, worker)


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that do nothing but take the processor."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait(10)


@pytest.mark.row(69, timing=True)
@pytest.mark.timeout(60 * float(os.environ.get(MINUTES, "0")) + 180)
def test_no_lock_is_lost_on_a_machine_whose_processors_are_taken(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """Three busy loops for each processor; jobs that take longer than a lock, and jobs that take none, all the time."""
    seconds = 60 * float(os.environ.get(MINUTES, "0.25"))
    for _ in range(2):
        start_worker(keep_completed_count=1_000_000)
    loops = 3 * len(os.sched_getaffinity(0))
    row.inject(f"{loops} busy loops for {seconds:g} s")
    with busy(loops):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            heavy = put_heavy(client, row, 1, 2.5) + put_heavy(client, row, 2, 0.1)
            for job in heavy:
                row.put(client, 5)
                assert job.result(60) in (2.5, 0.1)
        row.clear()
        try:
            row.judge(any_server, timeout=60)
            wrong = []
        except AssertionError as found:
            wrong = str(found).splitlines()
        lost = sum(worker["locks_lost"] for worker in client.workers())
    row.measure("locks lost", lost)
    if MINUTES in os.environ:
        write(long_line(row, seconds, loops, wrong))
    assert not wrong, "\n".join(wrong)
    assert lost == 0
    assert row.facts.doubled == 0


def long_line(row: Row, seconds: float, loops: int, wrong: list[str]) -> Long:
    """What the long form came to, for the page of figures."""
    facts = row.facts
    return Long(
        PROCESSORS_TAKEN,
        today(),
        seconds,
        {"busy loops, all the time": loops},
        facts.jobs,
        facts.lost,
        facts.doubled,
        facts.double_completions,
        figures=facts.figures,
        wrong=wrong,
    )

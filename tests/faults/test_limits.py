"""Limits over three real workers: never exceeded, reached under load, and given back by holders that are killed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from heavylift import Client, Job
from tests.faults import limited
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

HOSTS = 6
MOST = {"": 9, "visit": 7, "call": 4, "bake": 2} | {f"visit.h{n}": 2 for n in range(HOSTS)}

StartWorkers = Callable[..., list[WorkerProcess]]
Drained = Callable[[Server], None]


@pytest.fixture
def start_workers(any_server: Server, client: Client, tmp_path: Path) -> Iterator[StartWorkers]:
    """`start_workers(lock=60)` gives three workers that are ready to claim."""
    workers: list[WorkerProcess] = []

    def start(**settings: object) -> list[WorkerProcess]:
        workers.extend(
            WorkerProcess(any_server.url, tmp_path, module="tests.faults.limited", **settings) for _ in range(3)
        )
        for worker in workers:
            worker.await_ready(client)
        return workers

    yield start
    for worker in workers:
        worker.end()


class Book:
    """The ledger as a count of what runs in each place: queue, group, key. A job's id is `<group>.<key>.<n>`.

    A handler writes its start when it holds its places and its end before it gives them back, so what is too much here
    was too much.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def running(self) -> dict[str, int]:
        """Jobs that run now, and the process each is in."""
        return self._read()[0]

    def count(self, place: str) -> int:
        """How many run in a place."""
        return sum(place in _places(job) for job in self.running())

    def peaks(self) -> Counter[str]:
        """The most that ran at once in each place."""
        return self._read()[1]

    def kill(self, pid: int) -> None:
        """Kill a process. Stopped first: whatever it ran is over when the ledger says so."""
        os.kill(pid, signal.SIGSTOP)
        wait_until("it is stopped", lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        with self.ledger.path.open("a") as book:
            book.write(f"- 0 {pid} killed 0\n")
        os.kill(pid, signal.SIGKILL)

    def _read(self) -> tuple[dict[str, int], Counter[str]]:
        running: dict[str, int] = {}
        peaks: Counter[str] = Counter()
        for entry in self.ledger.entries():
            if entry.event == "start":
                running[entry.job] = entry.pid
            elif entry.event == "finish":
                running.pop(entry.job, None)
            else:
                running = {job: pid for job, pid in running.items() if pid != entry.pid}
            peaks |= Counter(place for job in running for place in _places(job))
        return running, peaks


def _places(job: str) -> list[str]:
    group, key, _ = job.split(".")
    return ["", group, f"{group}.{key}"]


@pytest.fixture
def book(ledger: Ledger) -> Book:
    return Book(ledger)


def test_concurrency_is_exact_at_queue_group_and_key_and_a_dead_worker_gives_all_back(
    start_workers: StartWorkers, any_server: Server, client: Client, book: Book, tmp_path: Path, leftover_keys: Drained
) -> None:
    client.limit("visits", concurrency=MOST[""])
    start_workers(places=10)
    path, gates = str(book.ledger.path), [tmp_path / "visits", tmp_path / "calls"]

    def visit(n: int) -> Job[None]:
        job = limited.visit.job(path, host=f"h{n % HOSTS}", gate=str(gates[0]))
        return client.enqueue(job, id=f"visit.h{n % HOSTS}.{n}")

    jobs = [visit(n) for n in range(60)]
    wait_until("the group is full", lambda: book.count("visit") == MOST["visit"])
    jobs += [client.enqueue(limited.call.job(path, str(gates[1])), id=f"call.-.{n}") for n in range(30)]
    wait_until("the queue is full", lambda: book.count("") == MOST[""])

    book.kill(next(iter(book.running().values())))
    wait_until("others run what it held", lambda: book.count("") == MOST[""], timeout=10)
    gates[0].touch()
    wait_until("the other group is full", lambda: book.count("call") == MOST["call"], timeout=15)
    gates[1].touch()
    for job in jobs:
        job.result(timeout=20)

    peaks = book.peaks()
    assert {place: peaks[place] for place in ("", "visit", "call")} == {p: MOST[p] for p in ("", "visit", "call")}
    hosts = {place: peak for place, peak in peaks.items() if ".h" in place}
    assert max(hosts.values()) == 2
    assert len(hosts) == HOSTS
    leftover_keys(any_server)


def test_a_killed_child_gives_its_places_back_at_once(
    start_workers: StartWorkers, any_server: Server, client: Client, book: Book, tmp_path: Path, leftover_keys: Drained
) -> None:
    """Long before its lock would expire."""
    start_workers(lock=60, slots=2)
    path, gate = str(book.ledger.path), tmp_path / "gate"
    jobs = [
        client.enqueue(limited.bake.job(path, oven=oven, gate=str(gate)), id=f"bake.{oven}.{n}")
        for n in range(3)
        for oven in "abc"
    ]
    wait_until("the group is full", lambda: book.count("bake") == MOST["bake"], timeout=10)
    assert set(book.running()) == {"bake.a.0", "bake.b.0"}
    book.kill(book.running()["bake.a.0"])
    wait_until("it ran again, and the next after it", lambda: "bake.c.0" in book.running(), timeout=15)
    gate.touch()
    for job in jobs:
        job.result(timeout=20)
    peaks = book.peaks()
    assert [peaks[place] for place in ("bake", "bake.a", "bake.b", "bake.c")] == [MOST["bake"], 1, 1, 1]
    assert jobs[0].record().counters.crashes == 1
    leftover_keys(any_server)


def test_a_rate_over_several_workers_is_never_exceeded(
    start_workers: StartWorkers, client: Client, ledger: Ledger
) -> None:
    """In any stretch of time at most the rate times that, and the burst."""
    start_workers()
    jobs = client.enqueue_many([limited.post.job(str(ledger.path)) for _ in range(100)])
    for job in jobs:
        job.result(timeout=20)
    starts = sorted(job.record().started_at or 0 for job in jobs)
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            most = 10 + (starts[last] - starts[first] + 1) / 1000 * 100
            assert last - first + 1 <= most
    assert len({job.record().attempts[0].worker for job in jobs}) > 1, "more than one worker had a part"

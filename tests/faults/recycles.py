"""Slots are renewed after every second job, thousands of times: no start may be stuck, no job lost or run twice.

    python -m tests.faults.recycles --recycles 20000 --minutes 15

First a part of it (`--beside-threads`) while twenty threads of the worker log and take locks without a pause: a process
that was forked from such a one would come up with a lock that nobody opens again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heavylift import Client, Job, ResultTimeout
from tests.faults import heavy, oracle
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.oracle import Kept, Vitals
from tests.faults.records import Long, today, write
from tests.servers import Server, any_binary
from tests.waiting import wait_until

MODULES = "tests.faults.jobs tests.faults.heavy"
EVERY_SECOND_JOB, BESIDE_THREADS = "Slots renewed after every second job", "Slots renewed while 20 threads log"
"""Under which names the page has the two parts."""

SETTINGS: dict[str, Any] = {"module": MODULES, "slots": 2, "recycle_jobs": 2}
"""Of the worker."""

TALKERS = 20
BATCH = 100
"""Jobs; so many are waited for before there are more."""

STUCK = 60.0
"""Seconds. A job that takes longer waits for a process that will never come."""

LOOKS = 40
"""At least two seconds of them."""


def slots_of(client: Client) -> Any:
    """What the one worker says of its slots."""
    (worker,) = client.workers()
    return worker["lanes"]["cpu"]


def batches(client: Client, book: str, recycles: int, until: float) -> Iterator[list[Job[int]]]:
    """Have slots renewed so many times, or until then (monotonic); the jobs that did it, when they have ended.

    Raises:
        ResultTimeout: a job is stuck.
    """
    for _ in range(0, 2 * recycles, BATCH):
        if time.monotonic() >= until:
            return
        batch = client.enqueue_many([heavy.short.job(ledger=book) for _ in range(BATCH)])
        for job in batch:
            job.result(STUCK)
        yield batch


def play(recycles: int, talkers: int, minutes: float, folder: Path, server: Server) -> Long:
    """Run it; what it came to."""
    folder.mkdir()
    ledger, gate, until = Ledger(folder / "ledger"), folder / "gate", time.monotonic() + 60 * minutes
    ids: list[str] = []
    found: dict[str, Kept] = {}
    vitals: list[Vitals] = []
    wrong: list[str] = []
    with Client(server.url) as client, server.client() as redis, _worker(server, folder, client) as worker:
        usual = len(worker.family())
        talking = [client.enqueue(heavy.talks.job(ledger=str(ledger.path), gate=str(gate))) for _ in range(talkers)]
        wait_until("all talk", lambda: ledger.counts("start").total() == talkers, timeout=30)
        began = time.monotonic()
        try:
            for batch in batches(client, str(ledger.path), recycles + SETTINGS["slots"], until):
                ids += [job.id for job in batch]
                found |= oracle.kept(redis, [(job.queue, job.id) for job in batch])  # Redis keeps the last of them
                if not vitals:
                    vitals.append(_at_rest(worker, usual))
        except ResultTimeout as stuck:
            wrong.append(f"stuck: {stuck}; the slots: {slots_of(client)}")
        took, renewed = time.monotonic() - began, len(ids) // 2 - SETTINGS["slots"]
        gate.touch()
        lines = sum(job.result(STUCK) for job in talking)
        ids += [job.id for job in talking]
        found |= oracle.kept(redis, [(job.queue, job.id) for job in talking])
        slots = wait_until("it says how often", lambda: (it := slots_of(client))["recycled"] >= renewed and it, 20)
        vitals.append(_at_rest(worker, usual))
        wrong += oracle.no_residue(redis)
    wrong += [f"{slots['died']} processes died"] if slots["died"] else []
    if slots["recycled"] < recycles:
        wrong.append(f"slots were renewed {slots['recycled']} times, not {recycles}: the time was over")
    wrong += oracle.hygiene(vitals[0], vitals[-1])
    return _judged(Long(
        BESIDE_THREADS if talkers else EVERY_SECOND_JOB,
        today(),
        took,
        {"slot renewed": slots["recycled"]} | ({"line logged by a thread": lines} if talkers else {}),
        flat=_flat(vitals[0], vitals[-1]),
        figures={"renewed a second": slots["recycled"] / took},
        wrong=wrong,
    ), ids, found, ledger)  # fmt: skip


@contextmanager
def _worker(server: Server, folder: Path, client: Client) -> Iterator[WorkerProcess]:
    worker = WorkerProcess(server.url, folder, **SETTINGS)
    try:
        worker.await_ready(client)
        yield worker
    finally:
        worker.end()


def _at_rest(worker: WorkerProcess, usual: int) -> Vitals:
    """What it holds when nothing has come or gone for two seconds: what was renewed is cleared away, if it ever is."""
    seen: list[Vitals] = []

    def still() -> bool:
        seen.append(Vitals.of(worker.pid))
        return len(seen) > LOOKS and {(it.descriptors, it.children) for it in seen[-LOOKS:]} == {
            (seen[-1].descriptors, usual)
        }

    wait_until("it is at rest, with as many processes as ever", still, timeout=STUCK)
    return seen[-1]


def _flat(early: Vitals, late: Vitals) -> dict[str, tuple[float, float]]:
    return {
        "worker memory, MiB": (early.rss / 2**20, late.rss / 2**20),
        "worker descriptors": (early.descriptors, late.descriptors),
        "processes": (early.children, late.children),
    }


def _judged(came: Long, ids: Sequence[str], found: Mapping[str, Kept], ledger: Ledger) -> Long:
    entries = ledger.entries()
    came.jobs = len(ids)
    came.lost = len(oracle.no_loss(ids, found))
    came.doubled = sum(times > 1 for times in ledger.counts("start").values())
    came.double_completions = len(oracle.single_completion(found, entries))
    came.wrong += oracle.judge(ids, found, entries) + oracle.bounded_duplication(found, entries, calm=True)
    return came


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recycles", type=int, default=20_000)
    parser.add_argument("--beside-threads", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=120.0, help="stop then; fewer than asked for are a failure")
    parser.add_argument("--record", type=Path, help="add what it came to, for the page of figures")
    chosen = parser.parse_args()
    until, good = time.monotonic() + 60 * chosen.minutes, True
    for recycles, talkers in ((chosen.beside_threads, TALKERS), (chosen.recycles, 0)):
        left = (until - time.monotonic()) / 60
        with tempfile.TemporaryDirectory(prefix="recycles-") as folder, Server(any_binary()) as server:
            came = play(recycles, talkers, left, Path(folder) / "worker", server)
        if chosen.record:
            write(came, chosen.record)
        print(f"{came.name}: {came.injected}, {came.jobs} jobs, {came.lost} lost, {came.doubled} doubled, {came.flat}")
        print("\n".join(came.wrong[:50]) or "the oracle holds", flush=True)
        good = good and not came.wrong
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

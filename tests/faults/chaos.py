"""Chaos: producers, several workers and a Redis that is not left in peace, for some minutes; then the oracle judges.

    python -m tests.faults.chaos --minutes 1 --seed 7

It passes if nothing acknowledged was lost, nothing completed twice, no guarded effect began twice, Redis is clean when
all has ended, and the rate is back at 90 % of the calm one within 5 s of the last fault. What was injected is printed
as it happens, and so is the seed; the same seed injects the same faults, though not to the same microsecond.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from heavylift import Client, Job, chain
from heavylift.errors import StoreError
from tests.faults import jobs, oracle
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.proxy import Proxy
from tests.servers import Server, any_binary
from tests.waiting import wait_until

CALM = 4.0
"""Seconds without a fault before and after, in which the rate is measured."""

KEPT = ("heavylift:once:*", "heavylift:{*}:flow:*", "heavylift:{*}:parents:*")
"""Keys that are there on purpose when all jobs have ended: what `ctx.once` knows, and flows, which are kept as jobs."""

WORKERS = 3
BACK_WITHIN = 5.0


class Producer(threading.Thread):
    """Enqueues jobs of all kinds at an even rate, and keeps the books on what was acknowledged."""

    def __init__(self, client: Client, book: str, seed: int) -> None:
        super().__init__(name="producer", daemon=True)
        self.acknowledged: list[tuple[str, str]] = []
        self.refused = 0
        self.stopping = threading.Event()
        self._client = client
        self._book = book
        self._dice = random.Random(seed)
        self._open = f"{book}.open"
        Path(self._open).touch()

    def run(self) -> None:
        turn = 0
        while not self.stopping.wait(0.1):
            turn += 1
            try:
                self._count(self._some(turn))
            except StoreError:
                self.refused += 1  # not acknowledged; it may be in all the same, and then it runs

    def _count(self, those: list[Job[Any]]) -> None:
        self.acknowledged += [(job.queue, job.id) for job in those]

    def _some(self, turn: int) -> list[Job[Any]]:
        """Eight plain jobs, and one of another kind."""
        put, book, key = self._client.enqueue, self._book, f"{turn}"
        plain = self._client.enqueue_many([jobs.quick.job(ledger=book) for _ in range(8)])
        kinds: list[Callable[[], list[Job[Any]]]] = [
            lambda: [put(jobs.crunch.job(ledger=book, seconds=0.01))],
            lambda: [put(jobs.fails_twice.job(ledger=book))],
            lambda: [put(jobs.steps_lightly.job(ledger=book, gate=self._open))],
            lambda: [put(jobs.steps.job(ledger=book, gate=self._open))],
            lambda: [put(jobs.charges_lightly.job(ledger=book, key=key))],
            lambda: [put(jobs.charges.job(ledger=book, key=key))],
            lambda: [put(jobs.quick.job(ledger=book), delay=0.5, priority=turn % 3)],
            lambda: [put(jobs.quick.job(ledger=book), unique=f"like-{turn % 3}")],
            lambda: self._client.enqueue_flow(chain(jobs.quick.job(ledger=book), jobs.crunch.job(ledger=book))).jobs,
        ]
        if turn % 50 == 0:
            kinds = [lambda: [put(jobs.kills_itself.job(ledger=book))]]
        self._count(list(plain))
        return self._dice.choice(kinds)()


class Stage:
    """The servers and workers, and what may be done to them."""

    def __init__(self, server: Server, proxy: Proxy, folder: Path, dice: random.Random) -> None:
        self.server, self.proxy, self.folder, self.dice = server, proxy, folder, dice
        self.workers = [self._worker(place) for place in range(WORKERS)]

    def faults(self) -> dict[str, Callable[[], None]]:
        """Every fault by the name it is told under. Each is over when it returns."""
        return {
            "kill -9 a worker": self._kill_worker,
            "SIGTERM a worker": self._term_worker,
            "freeze a worker past its locks": lambda: self._freeze_worker(3.5),
            "kill -9 a slot": self._kill_slot,
            "restart Redis": self.server.restart,
            "kill -9 Redis": self._kill_redis,
            "freeze Redis for less than a lock": lambda: self._freeze_redis(0.6),
            "freeze Redis for longer than a lock": lambda: self._freeze_redis(3.0),
            "kill every connection": self._kill_connections,
            "flush the scripts": lambda: self.server.command("SCRIPT", "FLUSH"),
            "pause writes": lambda: self._pause_writes(1.0),
            "cut one worker's connections": self.proxy.cut,
            "swallow one worker's traffic": lambda: self._ill_network(self.proxy.black_hole, 2.0),
            "slow one worker's network": lambda: self._ill_network(lambda: self.proxy.delay(0.05, 0.03), 2.0),
        }

    def close(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.end()

    def _worker(self, place: int) -> WorkerProcess:
        """The first is behind the proxy."""
        url = self.server.url if place else self.proxy.url
        return WorkerProcess(url, self.folder, slots=1, command_timeout=1, deadline=2)

    def _replace(self, worker: WorkerProcess) -> None:
        worker.end()
        place = self.workers.index(worker)
        self.workers[place] = self._worker(place)

    def _kill_worker(self) -> None:
        worker = self.dice.choice(self.workers)
        worker.kill9()
        self._replace(worker)

    def _term_worker(self) -> None:
        self._replace(self.dice.choice(self.workers))

    def _freeze_worker(self, seconds: float) -> None:
        worker = self.dice.choice(self.workers)
        worker.signal(signal.SIGSTOP)
        time.sleep(seconds)
        worker.signal(signal.SIGCONT)

    def _kill_slot(self) -> None:
        family = self.dice.choice(self.workers).family()
        if family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.dice.choice(family).pid, signal.SIGKILL)

    def _kill_redis(self) -> None:
        self.server.kill9()
        self.server.start()

    def _freeze_redis(self, seconds: float) -> None:
        self.server.pause()
        time.sleep(seconds)
        self.server.resume()

    def _pause_writes(self, seconds: float) -> None:
        self.server.command("CLIENT", "PAUSE", int(seconds * 1000), "WRITE")
        time.sleep(seconds)

    def _kill_connections(self) -> None:
        with self.server.client() as redis:
            for kind in ("normal", "pubsub"):
                redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    def _ill_network(self, begin: Callable[[], None], seconds: float) -> None:
        begin()
        time.sleep(seconds)
        self.proxy.pass_on()


def play(minutes: float, seed: int, folder: Path, server: Server, say: Callable[[str], None]) -> list[str]:
    """Run it; what is wrong afterwards, a sentence each."""
    dice, ledger = random.Random(seed), Ledger(folder / "ledger")
    assert server.socket is not None
    with Proxy(server.socket) as proxy, Client(server.url, patience=10.0) as client:
        stage = Stage(server, proxy, folder, dice)
        try:
            for worker in stage.workers:
                worker.await_ready(client)
            producer = Producer(client, str(ledger.path), seed)
            producer.start()
            baseline = _calm_rate(ledger)
            say(f"calm: {baseline:.0f} jobs a second")
            cleared = _torment(stage, dice, time.monotonic() + minutes * 60, say)
            time.sleep(BACK_WITHIN + CALM)
            producer.stopping.set()
            producer.join()
            return _judge(server, ledger, producer, baseline, cleared, say)
        finally:
            stage.close()


def _calm_rate(ledger: Ledger) -> float:
    """Jobs finished in a second, while nothing is wrong."""
    wait_until("jobs finish", lambda: ledger.counts("finish"), timeout=20)
    since = time.monotonic_ns()
    time.sleep(CALM)
    return sum(entry.event == "finish" and entry.at >= since for entry in ledger.entries()) / CALM


def _torment(stage: Stage, dice: random.Random, until: float, say: Callable[[str], None]) -> int:
    """One fault after the other, each kind once before any comes again; when the last was over (monotonic ns)."""
    began = time.monotonic()
    for what in _shuffled(dice, list(stage.faults())):
        if time.monotonic() >= until:
            break
        say(f"{time.monotonic() - began:6.1f} s  {what}")
        stage.faults()[what]()
        time.sleep(dice.uniform(0.2, 1.0))
    return time.monotonic_ns()


def _shuffled(dice: random.Random, kinds: list[str]) -> Iterator[str]:
    while True:
        yield from dice.sample(kinds, len(kinds))


def _judge(
    server: Server, ledger: Ledger, producer: Producer, baseline: float, cleared: int, say: Callable[[str], None]
) -> list[str]:
    with server.client() as redis:
        try:
            wait_until("nothing is left in Redis", lambda: not oracle.no_residue(redis, KEPT), timeout=60)
        except AssertionError:
            pass  # the oracle says what is left
        found, entries = oracle.kept(redis, producer.acknowledged), ledger.entries()
        ids = [job for _, job in producer.acknowledged]
        effects = Counter(entry.event for entry in entries if entry.event.startswith("effect-"))
        back = oracle.back_after(entries, cleared)
        say(f"{len(set(ids))} jobs acknowledged, {producer.refused} enqueues not; first finish after {back} s")
        return [
            *oracle.judge(ids, found, entries),
            *oracle.no_residue(redis, KEPT),
            *oracle.liveness(entries, cleared, baseline, BACK_WITHIN),
            *(f"{effect} began {times} times" for effect, times in effects.items() if times > 1),
        ]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as folder,
        Server(any_binary(), appendonly=True, config={"appendfsync": "always"}) as server,
    ):
        wrong = play(chosen.minutes, chosen.seed, Path(folder), server, lambda line: print(line, flush=True))
    for sentence in wrong[:50]:
        print(sentence)
    print(f"seed {chosen.seed}: " + (f"{len(wrong)} things are wrong" if wrong else "the oracle holds"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

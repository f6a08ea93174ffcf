"""Chaos: producers, several workers and a Redis that is not left in peace, for some minutes; then the oracle judges.

    python -m tests.faults.chaos --minutes 1 --seed 7

Some of the workers are of the last release, if the repository has it. It passes if nothing acknowledged was lost,
nothing completed twice, no guarded effect began twice, Redis is clean when all has ended, the rate is back at 90 % of
the calm one within 5 s of the last fault, and, from three minutes on, memory, descriptors and keys have not grown.

What was injected is printed as it happens, and so is the seed; the same seed injects the same faults, though not to the
same microsecond.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from heavylift import Client
from tests.faults import oracle
from tests.faults.audit import Audit
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.producer import KEEP, Producer
from tests.faults.proxy import Proxy
from tests.faults.records import Long, today, write
from tests.faults.release import LAST_RELEASE, last_release
from tests.servers import Server, any_binary
from tests.waiting import wait_until

NAME = "Chaos"
"""Under which the page has it."""

CALM = 4.0
"""Seconds without a fault before and after, in which the rate is measured."""

KEPT = ("heavylift:once:*", "heavylift:{*}:flow:*", "heavylift:{*}:parents:*")
"""Keys that are there on purpose when all jobs have ended: what `ctx.once` knows, and flows, which are kept as jobs."""

WORKERS = 3

BACK_WITHIN = 5.0


class Stage:
    """The servers and workers, and what may be done to them."""

    def __init__(self, server: Server, proxy: Proxy, folder: Path, dice: random.Random, old: Path | None) -> None:
        self.server, self.proxy, self.folder, self.dice, self.old = server, proxy, folder, dice, old
        self.started: Counter[str] = Counter()
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
        """The first is behind the proxy, the last begins as one of the last release; later ones are of either."""
        url = self.server.url if place else self.proxy.url
        first = self.started.total() < WORKERS
        old = self.old is not None and (place == WORKERS - 1 if first else self.dice.random() < 0.5)
        self.started["worker of the last release" if old else "worker of the working tree"] += 1
        keep = {"keep_completed": KEEP, "keep_failed": KEEP}
        source = self.old if old else None
        return WorkerProcess(url, self.folder, source=source, slots=1, command_timeout=1, deadline=2, **keep)

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


def play(minutes: float, seed: int, folder: Path, server: Server, say: Callable[[str], None]) -> Long:
    """Run it; what it came to."""
    dice, ledger, began = random.Random(seed), Ledger(folder / "ledger"), time.monotonic()
    old = last_release(folder / "release")
    say(
        f"with workers of {LAST_RELEASE}"
        if old
        else f"without the last release: {LAST_RELEASE} is not in this repository"
    )
    injected: Counter[str] = Counter()
    assert server.socket is not None
    with Proxy(server.socket) as proxy, Client(server.url, patience=10.0) as client:
        stage = Stage(server, proxy, folder, dice, old)
        producer = Producer(client, str(ledger.path), seed)
        audit = Audit(server, producer.acknowledged, lambda: [worker.pid for worker in stage.workers])
        try:
            for worker in stage.workers:
                worker.await_ready(client)
            producer.start()
            audit.start()
            baseline = _calm_rate(ledger)
            say(f"calm: {baseline:.0f} jobs a second")
            cleared = _torment(stage, dice, time.monotonic() + minutes * 60, injected, say)
            time.sleep(BACK_WITHIN + CALM)
            producer.stopping.set()
            producer.join()
            came = _judge(server, ledger, producer, audit, baseline, cleared)
        finally:
            audit.stopping.set()
            stage.close()
    came.seconds, came.injected = time.monotonic() - began, dict(injected + stage.started)
    came.figures |= {"seed": seed, "enqueues refused": producer.refused, "calm rate, jobs/s": baseline}
    return came


def _calm_rate(ledger: Ledger) -> float:
    """Jobs finished in a second, while nothing is wrong."""
    wait_until("jobs finish", lambda: ledger.counts("finish"), timeout=20)
    since = time.monotonic_ns()
    time.sleep(CALM)
    return sum(entry.event == "finish" and entry.at >= since for entry in ledger.entries()) / CALM


def _torment(
    stage: Stage, dice: random.Random, until: float, injected: Counter[str], say: Callable[[str], None]
) -> int:
    """One fault after the other, each kind once before any comes again; when the last was over (monotonic ns)."""
    began = time.monotonic()
    for what in _shuffled(dice, list(stage.faults())):
        if time.monotonic() >= until:
            break
        say(f"{time.monotonic() - began:6.1f} s  {what}")
        stage.faults()[what]()
        injected[what] += 1
        time.sleep(dice.uniform(0.2, 1.0))
    return time.monotonic_ns()


def _shuffled(dice: random.Random, kinds: list[str]) -> Iterator[str]:
    while True:
        yield from dice.sample(kinds, len(kinds))


def _judge(server: Server, ledger: Ledger, producer: Producer, audit: Audit, baseline: float, cleared: int) -> Long:
    with server.client() as redis:
        try:
            wait_until("nothing is left in Redis", lambda: not oracle.no_residue(redis, KEPT), timeout=60)
        except AssertionError:
            pass  # the oracle says what is left
        audit.stopping.set()
        audit.join()
        audit.read()
        ids = list(dict.fromkeys(job for _, job in producer.acknowledged))
        found, entries = oracle.kept(redis, producer.acknowledged) | audit.found, ledger.entries()
        effects = Counter(entry.event for entry in entries if entry.event.startswith("effect-"))
        back = oracle.rate_back_after(entries, cleared, baseline)
        wrong = [
            *oracle.judge(ids, found, entries),
            *oracle.no_residue(redis, KEPT),
            *oracle.liveness(entries, cleared, baseline, BACK_WITHIN),
            *(f"{effect} began {times} times" for effect, times in effects.items() if times > 1),
            *audit.grown(),
        ]
    return Long(
        NAME,
        today(),
        0.0,
        jobs=len(ids),
        lost=len(oracle.no_loss(ids, found)),
        doubled=sum(times > 1 for times in ledger.counts("start").values()),
        double_completions=len(oracle.single_completion(found, entries)),
        flat=audit.flat(),
        figures={} if back is None else {"rate back after the last fault, s": back},
        wrong=wrong,
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--record", type=Path, help="add what it came to, for the page of figures")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as folder,
        Server(any_binary(), appendonly=True, config={"appendfsync": "always"}) as server,
    ):
        came = play(chosen.minutes, chosen.seed, Path(folder), server, lambda line: print(line, flush=True))
    if chosen.record:
        write(came, chosen.record)
    print(f"{came.jobs} jobs, {came.lost} lost, {came.doubled} doubled, {came.double_completions} completed twice")
    for what, (early, late) in came.flat.items():
        print(f"{what}: {early:.4g}, later {late:.4g}")
    for sentence in came.wrong[:50]:
        print(sentence)
    print(f"seed {chosen.seed}: " + (f"{len(came.wrong)} things are wrong" if came.wrong else "the oracle holds"))
    return 1 if came.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

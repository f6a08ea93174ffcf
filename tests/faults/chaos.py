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
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from heavylift import Client
from tests.faults import oracle
from tests.faults.audit import Audit
from tests.faults.ledger import Ledger
from tests.faults.producer import Producer
from tests.faults.proxy import Proxy
from tests.faults.records import Long, today, write
from tests.faults.release import LAST_RELEASE, last_release
from tests.faults.stage import Stage
from tests.servers import Server, any_binary
from tests.waiting import wait_until

NAME = "Chaos"
"""Under which the page has it."""

CALM = 4.0
"""Seconds without a fault before and after, in which the rate is measured."""

KEPT = ("heavylift:once:*", "heavylift:{*}:flow:*", "heavylift:{*}:parents:*")
"""Keys that are there on purpose when all jobs have ended: what `ctx.once` knows, and flows, which are kept as jobs."""

BACK_WITHIN = 5.0


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
            wrong = stage.ended()
            stage.close()
    came.wrong += wrong
    came.seconds, came.injected = time.monotonic() - began, dict(injected + stage.started)
    came.figures |= {"seed": seed, "enqueues refused": producer.refused, "calm rate, jobs/s": baseline}
    return came


def _calm_rate(ledger: Ledger) -> float:
    """Jobs finished in a second, while nothing is wrong."""
    wait_until("jobs finish", lambda: ledger.counts("finish"), timeout=20)
    since = time.monotonic_ns()
    time.sleep(CALM)
    finished = sum(entry.event == "finish" and entry.at >= since for entry in ledger.entries())
    return finished * 1e9 / (time.monotonic_ns() - since)


def _torment(
    stage: Stage, dice: random.Random, until: float, injected: Counter[str], say: Callable[[str], None]
) -> int:
    """One fault after the other, each kind once before any comes again, and all once; when the last was over (ns)."""
    began, faults = time.monotonic(), stage.faults()
    for turn, what in enumerate(_shuffled(dice, list(faults))):
        if time.monotonic() >= until and turn >= len(faults):
            break
        say(f"{time.monotonic() - began:6.1f} s  {what}")
        faults[what]()
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

"""heavylift beside BullMQ, in one run, in turn, on one Redis; writes `benchmarks/results.md`.

    python -m benchmarks.compare [--rounds 5] [--quick] [--out benchmarks/results.md]

Both sides are driven by the same commands in processes of their own. A round measures one after the other, the order
turning each time; the table has the medians, and the median of the ratios, which is what holds on a machine that others
use as well.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import Latency, Meter, Records, info, machine, scratch, wait_for
from benchmarks.sides import ROOT, Side, SideMissing, bullmq, bullmq_version, heavylift
from tests.servers import Server

CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    single: int = 3_000
    bulk: int = 20_000
    noop: int = 20_000
    pickup: int = 300


@dataclass(slots=True)
class Row:
    """One measurement of both sides.

    Attributes:
        higher: more is better.
        values: by side, one of each round.
    """

    title: str
    unit: str
    higher: bool
    values: dict[str, list[float]] = field(default_factory=dict)

    def median(self, side: str) -> float:
        """Of one side's rounds."""
        return statistics.median(self.values[side])

    def ratio(self, ours: str, theirs: str) -> float:
        """How many times better ours is: the median of the ratios of each round."""
        pairs = zip(self.values[ours], self.values[theirs], strict=True)
        return statistics.median((a / b if self.higher else b / a) for a, b in pairs if a and b)


class Comparison:
    """Runs the rounds and keeps what they bring."""

    def __init__(self, server: Server, folder: Path, scale: Scale) -> None:
        self.rows: dict[str, Row] = {}
        self._server = server
        self._folder = folder
        self._scale = scale

    def round(self, sides: Sequence[Side]) -> None:
        """Measure everything once for each side, in this order."""
        steps: list[Callable[[Side], None]] = [self._single, self._bulk, self._noop, self._pickup]
        for step in steps:
            for side in sides:
                self._server.reset()
                step(side)

    def _note(self, side: Side, title: str, unit: str, value: float, higher: bool = False) -> None:
        row = self.rows.setdefault(title, Row(title, unit, higher))
        row.values.setdefault(side.name, []).append(value)

    def _single(self, side: Side) -> None:
        count = self._scale.single
        self._note(side, "Enqueue one by one", "jobs/s", count / side.single(self._server, count), higher=True)

    def _bulk(self, side: Side) -> None:
        count = self._scale.bulk
        meter = Meter(self._server)
        seconds = side.bulk(self._server, count, CHUNK)
        cost = meter.per_job(count)
        self._note(side, "Enqueue in bulk", "jobs/s", count / seconds, higher=True)
        self._note(side, "Enqueue in bulk: Redis CPU", "us/job", cost.redis_us)

    def _noop(self, side: Side) -> None:
        count = self._scale.noop
        records = Records.create(self._folder, count)
        side.bulk(self._server, count, CHUNK)
        with side.counting(self._server) as left, side.worker(self._server, records.path) as worker:
            meter = Meter(self._server, worker.pid)
            wait_for("every job has started", records.done, pause=0.01)
            wait_for("every job is settled", lambda: left() == 0)
            seconds = (time.monotonic_ns() - records.first()) / 1e9
            cost = meter.per_job(count)
        records.path.unlink()
        self._note(side, "No-op jobs, one worker", "jobs/s", count / seconds, higher=True)
        self._note(side, "No-op: Redis CPU", "us/job", cost.redis_us)
        self._note(side, "No-op: Redis commands", "per job", cost.commands)
        self._note(side, "No-op: worker CPU", "us/job", cost.worker_us)

    def _pickup(self, side: Side) -> None:
        count = self._scale.pickup
        records = Records.create(self._folder, count)
        with side.worker(self._server, records.path):
            time.sleep(0.5)  # both have said that they are ready; this lets the last of their start-up work pass
            latency = Latency.of(side.pickup(self._server, records.path, count))
        records.path.unlink()
        for name in ("median", "p95", "p99"):
            self._note(side, f"Pick-up by an idle worker, {name}", "ms", getattr(latency, name))


def table(rows: Sequence[Row], ours: str, theirs: str | None) -> str:
    """The rows as a Markdown table."""
    lines = [f"| | unit | {ours} | {theirs or 'BullMQ'} | times better |", "|---|---|---:|---:|---:|"]
    for row in rows:
        digits = 0 if row.higher else 1 if row.unit.startswith(("us", "per")) else 2
        cells = [f"{row.median(ours):,.{digits}f}"]
        cells += [f"{row.median(theirs):,.{digits}f}", f"{row.ratio(ours, theirs):.1f}"] if theirs else ["not run", ""]
        lines.append(f"| {row.title} | {row.unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def about(server: Server, rounds: int, with_peer: bool) -> str:
    """What was measured, with what, on what."""
    redis = info(server, "server")["redis_version"]
    parts = [f"heavylift {version('heavylift')} (Python {platform.python_version()}, redis-py {version('redis')})"]
    if with_peer:
        parts.append(f"BullMQ {bullmq_version()} (Node, concurrency 100)")
    parts.append(f"Redis {redis} on loopback without persistence")
    return (
        f"{', '.join(parts)}; {machine()}, all on the same machine. Medians of {rounds} rounds, the sides in turn; "
        "*times better* is the median of each round's ratio. Both keep completed jobs, as by default: BullMQ all of "
        "them, heavylift the last 10,000."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the jobs: a try, not a measurement")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results.md")
    said = parser.parse_args(argv)
    scale = Scale(300, 2_000, 2_000, 50) if said.quick else Scale()
    sides = [heavylift()]
    try:
        sides.append(bullmq())
    except SideMissing as missing:
        print(missing, file=sys.stderr)
    with Server(tcp=True) as server, scratch() as folder:
        comparison = Comparison(server, folder, scale)
        for number in range(said.rounds):
            print(f"round {number + 1} of {said.rounds}", file=sys.stderr)
            comparison.round(sides if number % 2 == 0 else sides[::-1])
        theirs = sides[1].name if len(sides) > 1 else None
        page = (
            "# Measured beside BullMQ\n\n"
            "Made by `make bench-peers`. Figures of one run only may be compared with each other.\n\n"
            f"{about(server, said.rounds, theirs is not None)}\n\n"
            f"{table(list(comparison.rows.values()), sides[0].name, theirs)}\n"
        )
    print(page)
    said.out.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())

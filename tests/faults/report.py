"""Plays the rows of the fault matrix several times and writes what they came to into `docs/reliability.md`.

    python -m tests.faults.report --record figures.jsonl
    python -m tests.faults.report --record figures.jsonl --rows 28-36,39

Every run adds to the record, which is kept: a report that was interrupted goes on where it was. A row that fails is
played on, and the page says how often it held. The page is written when the record has every row as often as asked for,
and the lines of the long programs, which add them themselves (`python -m tests.faults.chaos --record figures.jsonl`,
and `tests.faults.recycles` likewise; row 69 gets ten minutes by `FAULTS_MINUTES=10`, with `--runs 1 --timed-runs 1`).

The exit code is 0 if all of it is there and held, 1 if something did not hold, 2 if rows or programs are missing still.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.faults import chaos, recycles
from tests.faults.page import page
from tests.faults.records import (
    PAGE,
    PROCESSORS_TAKEN,
    RECORD,
    REPOSITORY,
    Facts,
    Line,
    Long,
    machine,
    read,
    recorded,
    write,
)
from tests.servers import ServerMissing, redis_binary, valkey_binary

PROGRAMS = (chaos.NAME, recycles.BESIDE_THREADS, recycles.EVERY_SECOND_JOB, PROCESSORS_TAKEN)
"""The long ones, of which the record has a line each."""

COMMAND = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-m", "row", "tests/faults"]
NOTHING_TO_PLAY = 5
"""What pytest exits with."""


def fill(record: Path, asked: dict[str, str]) -> None:
    """Play what the record lacks, each row once a turn, until it lacks nothing or a turn adds nothing."""
    if record.exists():  # the last line may be half a one, of a run that was killed
        record.write_bytes(b"".join(line for line in record.read_bytes().splitlines(True) if line.endswith(b"\n")))
    write(machine(*_binaries()), record)
    before = -1
    while before < (now := len(recorded(record))):
        before = now
        if _pytest(record, asked) == NOTHING_TO_PLAY:
            return


def _binaries() -> list[str]:
    found = []
    for binary in (redis_binary, valkey_binary):
        try:
            found.append(binary())
        except ServerMissing:
            continue
    return found


def _pytest(record: Path, asked: dict[str, str], *more: str) -> int:
    env = {**os.environ, RECORD: str(record.resolve()), **asked}
    return subprocess.run([*COMMAND, *more], env=env, cwd=REPOSITORY, check=False).returncode


def programs_missing(lines: Iterable[Line]) -> list[str]:
    """The long programs that have not been run for this record."""
    there = {line.name for line in lines if isinstance(line, Long)}
    return [name for name in PROGRAMS if name not in there]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, default=REPOSITORY / ".faults.jsonl", help="what is filled, and kept")
    parser.add_argument("--runs", type=int, default=5, help="how often each row is played")
    parser.add_argument("--timed-runs", type=int, default=20, help="how often each that depends on timing is played")
    parser.add_argument("--rows", default="", help="play only these: 28-36,39")
    chosen = parser.parse_args()
    asked = {"FAULTS_RUNS": str(chosen.runs), "FAULTS_TIMED_RUNS": str(max(chosen.runs, chosen.timed_runs))}
    fill(chosen.record, asked | {"FAULTS_ROWS": chosen.rows})
    lines = read(chosen.record)
    if _pytest(chosen.record, asked | {"FAULTS_ROWS": ""}, "--collect-only") != NOTHING_TO_PLAY:
        print("rows are missing from the record; the page stays as it was")
        return 2
    if missing := programs_missing(lines):
        print(f"missing from the record; the page stays as it was: {', '.join(missing)}")
        return 2
    (REPOSITORY / PAGE).write_text(page(lines))
    print(f"written: {PAGE}")
    broken = [it for it in lines if (isinstance(it, Facts) and not it.held) or (isinstance(it, Long) and it.wrong)]
    for it in broken:
        print(f"did not hold: {it.name}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

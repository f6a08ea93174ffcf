"""Plays the rows of the fault matrix several times and writes what they came to into `docs/reliability.md`.

    python -m tests.faults.report --runs 5

Every figure of the page is of a row that was played; a row that was not played is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tests.faults.rows import RECORD, Facts

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"

INTRODUCTION = """\
# What faults do to it, in figures

Written by `make faults-report`; do not edit. Each row is a test under `tests/faults/` that injects the fault into real
servers and real worker processes, with locks of 2 s that are swept every second, and is judged by the same oracle.
*Lost* are acknowledged jobs that did not end, *doubled* those that were started more than once, *completed twice*
those of which more than one attempt counted. *Back after* is the time from the end of the fault to the first job that
finishes, its median and the worst. *Measured* are other figures: the median of the runs, and the highest. What is
promised, and what is not, says the [page of promises](promises.md).

"""

HEAD = """\
| row | what must hold | injected | runs | jobs | lost | doubled | completed twice | back after | at worst | measured |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def gathered(lines: Iterable[str]) -> list[Facts]:
    """The facts of a record, a JSON object a line."""
    return [msgspec.convert(json.loads(line), Facts) for line in lines]


def page(facts: Iterable[Facts]) -> str:
    """The page: a line per row and test."""
    rows: dict[tuple[int, str], list[Facts]] = defaultdict(list)
    for one in facts:
        rows[one.row, one.name.partition("[")[0]].append(one)
    return INTRODUCTION + HEAD + "".join(_line(*key, runs) for key, runs in sorted(rows.items()))


def _line(number: int, name: str, runs: list[Facts]) -> str:
    injected = "; ".join(dict.fromkeys(what for run in runs for what in run.injected))
    took = [run.recovery for run in runs if run.recovery is not None]
    cells = [
        number,
        re.sub("^test_", "", name).replace("_", " "),
        injected,
        len(runs),
        *(sum(getattr(run, what) for run in runs) for what in ("jobs", "lost", "doubled", "double_completions")),
        _seconds(statistics.median(took)) if took else "",
        _seconds(max(took)) if took else "",
        _figures(runs),
    ]
    return f"| {' | '.join(map(str, cells))} |\n"


def _figures(runs: list[Facts]) -> str:
    found: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for what, figure in run.figures.items():
            found[what].append(figure)
    return "; ".join(f"{what}: {statistics.median(all):.3g} ({max(all):.3g})" for what, all in found.items())


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.NamedTemporaryFile("r", prefix="faults-") as record:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "row", "tests/faults"]
        for number in range(1, runs + 1):
            print(f"run {number} of {runs}", flush=True)
            played = subprocess.run(command, env={**os.environ, RECORD: record.name}, check=False)
            if played.returncode:
                print("a row does not hold; the page stays as it was")
                return 1
        PAGE.write_text(page(gathered(record)))
    print(f"written: {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The page of figures, made of a record and nothing else."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.faults.records import Facts, Line, Long, Machine

INTRODUCTION = """\
# What faults do to it, in figures

Written by `make faults-report`; do not edit. Each row is a test under `tests/faults/` that injects the fault into real
servers and real worker processes, with locks of 2 s that are swept every second, and is judged by the same oracle.
Every figure comes from [the record of these runs](reliability.jsonl).

## What is promised

The [page of promises](promises.md) says it in full. In short:

* A job that was acknowledged is run until it has completed, was cancelled, or is in the dead letters with a reason.
* It may be started more than once: when its worker died, froze or lost contact with Redis. Handlers must bear that.
* One completion counts, whatever wakes up late.
* No fault of Redis needs a restart: within 5 s of its end the rate is back at 90 % of the one before it.
* What a killed worker was running is taken over within the lock and the sweep; here 3 s, by default 35.

What Redis itself forgets is gone: writes that a replica had not confirmed when a primary was lost, and all of it where
nothing was kept on disk. The rows about that count only what was acknowledged after the fault.

## How to read it

*Held* says how many of the runs passed. *Lost* are acknowledged jobs that did not end, *doubled* those that were
started more than once, *completed twice* those of which more than one attempt counted; all are sums over the runs.
*First back* is the time from the end of the fault to the first job that finishes, or, where processes died or froze,
from then until all that they ran was started again; *rate back* the time until a second begins in which 90 % of the
rate before the fault is done: the median of the runs, and the worst in brackets.
*Measured* are other figures, likewise.
"""

GROUPS = {
    "A. Processes and the pool": range(1, 19),
    "B. Shutdown and deploy": range(19, 28),
    "C. Redis": range(28, 51),
    "D. Payloads, results, files": range(51, 63),
    "E. Time and load": range(63, 71),
}

HEAD = """\
| row | what must hold | injected | held | jobs | lost | doubled | completed twice | first back | rate back | measured |
|---|---|---|---|---|---|---|---|---|---|---|
"""

ONE_MACHINE = """\
## What one machine cannot show

Everything ran on one machine. The nodes of a Sentinel set or a Cluster are processes beside each other, and their
network is cut by freezing a process or by a proxy, not by a cable. A killed server loses no page of the system's cache,
so no row shows a power failure.

What takes special hardware or rights is stood in for. A process that not even SIGKILL ends is one in a frozen control
group, not one at a dead disk (row 62). The memory and the processes of the machine run out in a control group of the
worker's own (rows 13 and 68). Clocks are set for single processes, by libfaketime (rows 63 and 64). The soak (row 70)
is the chaos program above, for minutes, not for hours: `make chaos MINUTES=480` plays a night of it.
"""


def page(lines: Iterable[Line]) -> str:
    """The whole page."""
    lines = list(lines)
    rows = [line for line in lines if isinstance(line, Facts)]
    machines = dict.fromkeys(line for line in lines if isinstance(line, Machine))
    parts = [INTRODUCTION, *map(_place, machines)]
    parts += [_group(title, [it for it in rows if it.row in numbers]) for title, numbers in GROUPS.items()]
    parts += [_long(line) for line in lines if isinstance(line, Long)]
    parts += [_skipped([it for it in rows if it.skipped]), ONE_MACHINE]
    return "\n".join(part for part in parts if part)


def _place(it: Machine) -> str:
    commit = f", at commit `{it.commit}`" if it.commit else ""
    where = f"{it.cores} cores, {it.system}, Python {it.python}, {', '.join(it.servers)}"
    return f"Played on {it.date}{commit}: {where}.\n"


def _group(title: str, facts: Sequence[Facts]) -> str:
    rows: dict[tuple[int, str], list[Facts]] = defaultdict(list)
    for one in facts:
        if not one.skipped:
            rows[one.row, one.name.partition("[")[0]].append(one)
    if not rows:
        return ""
    broken = [f"* Row {one.row}, `{one.name}`: {_cell(one.wrong)}\n" for one in facts if not one.held]
    table = "".join(_line(*key, runs) for key, runs in sorted(rows.items()))
    return f"## {title}\n\n{HEAD}{table}" + ("\nDid not hold:\n\n" + "".join(broken) if broken else "")


def _line(number: int, name: str, runs: Sequence[Facts]) -> str:
    injected = "; ".join(dict.fromkeys(what for run in runs for what in run.injected))
    held = sum(run.held for run in runs)
    cells = [
        number,
        re.sub("^test_", "", name).replace("_", " "),
        _cell(injected),
        f"{held} of {len(runs)}" if held == len(runs) else f"**{held} of {len(runs)}**",
        *(sum(getattr(run, what) for run in runs) for what in ("jobs", "lost", "doubled", "double_completions")),
        _times(run.recovery for run in runs),
        _times(run.rate_back for run in runs),
        _figures(runs),
    ]
    return f"| {' | '.join(map(str, cells))} |\n"


def _long(it: Long) -> str:
    """A section of a program that runs for minutes."""
    ended = f"**{len(it.wrong)} things were wrong**" if it.wrong else "the oracle held"
    lines = [
        f"## {it.name}, {it.seconds / 60:.3g} minutes\n\nOn {it.date}: {ended}. {it.jobs} jobs, {it.lost} lost, "
        f"{it.doubled} doubled, {it.double_completions} completed twice.\n"
    ]
    lines += [f"* {_cell(sentence)}\n" for sentence in it.wrong[:20]]
    lines += ["\n| injected | times |\n|---|---|\n" if it.injected else ""]
    lines += [f"| {what} | {times} |\n" for what, times in sorted(it.injected.items())]
    lines += ["\n| must not grow | early | late |\n|---|---|---|\n" if it.flat else ""]
    lines += [f"| {what} | {early:.4g} | {late:.4g} |\n" for what, (early, late) in it.flat.items()]
    lines += ["\n| measured | |\n|---|---|\n" if it.figures else ""]
    lines += [f"| {what} | {figure:.4g} |\n" for what, figure in it.figures.items()]
    return "".join(lines)


def _skipped(facts: Sequence[Facts]) -> str:
    lines = dict.fromkeys(f"* Row {it.row}, `{it.name}`: {_cell(it.skipped)}\n" for it in facts)
    return "## Not played on this machine\n\n" + "".join(lines) if lines else ""


def _figures(runs: Sequence[Facts]) -> str:
    found: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for what, figure in run.figures.items():
            found[what].append(figure)
    return "; ".join(f"{what}: {statistics.median(all):.3g} ({max(all):.3g})" for what, all in found.items())


def _times(seconds: Iterable[float | None]) -> str:
    took = [one for one in seconds if one is not None]
    return f"{_time(statistics.median(took))} ({_time(max(took))})" if took else ""


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _cell(text: str) -> str:
    """As it may stand in a table."""
    return text.replace("|", "\\|").replace("\n", " ")

"""The ledger: what really ran, written by the handlers themselves, outside the Redis under test.

A line is `job attempt pid event monotonic_ns`. It is written in one write with O_APPEND, so that lines of many
processes do not mix and a killed process leaves whole lines only. The number of the attempt is its fence: every claim
of a job gives it a higher one. The clock is the machine's monotonic one, the same in every process.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from heavylift import Context


@dataclass(frozen=True)
class Entry:
    """One line of the ledger. `at` is monotonic, in ns."""

    job: str
    attempt: int
    pid: int
    event: str
    at: int = 0


def note(ledger: str, ctx: Context, event: str) -> None:
    """Write a line, from inside a handler."""
    line = f"{ctx.job.id} {ctx.attempt} {os.getpid()} {event} {time.monotonic_ns()}\n"
    book = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(book, line.encode())
    finally:
        os.close(book)


class Ledger:
    """The reader's side."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def entries(self) -> list[Entry]:
        """All lines, in the order they were written."""
        lines = [line.split() for line in self.path.read_text().splitlines()]
        return [Entry(job, int(attempt), int(pid), event, int(at)) for job, attempt, pid, event, at in lines]

    def starts(self, job: str) -> list[Entry]:
        """The lines of a job's starts."""
        return [entry for entry in self.entries() if entry.job == job and entry.event == "start"]

    def counts(self, event: str) -> Counter[str]:
        """How often each job came to an event."""
        return Counter(entry.job for entry in self.entries() if entry.event == event)

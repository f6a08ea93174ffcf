"""Clocks that are wrong, by libfaketime. Only the time of day is: the monotonic clock goes on as it is.

As a program it is a producer whose own clock may be wrong: `clocks.py URL LEDGER DELAY` enqueues a job that is due
after DELAY seconds and schedules one for every second, and prints the job's id and when it was enqueued (monotonic ns).
"""

from __future__ import annotations

import glob
import sys
import time
from pathlib import Path

import pytest

from heavylift import Client, Every
from tests.faults import jobs

HOUR = 3600

_LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")
_REAL = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DISABLE_SHM": "1"}


def needs_faketime() -> pytest.MarkDecorator:
    """A mark for a test that shifts a clock."""
    return pytest.mark.skipif(not _library(), reason="libfaketime is not here (Debian: apt-get install faketime)")


def off(seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is so far ahead (or, below zero, behind)."""
    return {"LD_PRELOAD": _library(), "FAKETIME": f"{seconds:+d}s", **_REAL}


class Clock:
    """The clock of a server that jumps while it runs: start it with `env`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "faketime"
        self.env = {"LD_PRELOAD": _library(), "FAKETIME_TIMESTAMP_FILE": str(self._file), "FAKETIME_NO_CACHE": "1"}
        self.env |= _REAL
        self.set(0)

    def set(self, seconds: int) -> None:
        """From now on it is so far ahead."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        new.replace(self._file)


def _library() -> str:
    return next((found for pattern in _LIBRARIES for found in glob.glob(pattern)), "")


def main() -> None:
    """The producer."""
    url, ledger, delay = sys.argv[1:]
    with Client(url) as client:
        at = time.monotonic_ns()
        job = client.enqueue(jobs.quick.job(ledger=ledger), delay=float(delay))
        client.schedule("beat", jobs.quick.job(ledger=ledger), Every(seconds=1))
    print(job.id, at)


if __name__ == "__main__":
    main()

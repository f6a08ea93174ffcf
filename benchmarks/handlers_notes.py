"""Handlers that do nothing but leave a record: one for each way of running, each on a queue of its own."""

from __future__ import annotations

import mmap
import os
import time
from functools import cache

from heavylift import handler

RECORDS = "BENCH_RECORDS"
"""Names the file of records in the environment of a worker."""


@cache
def _records() -> memoryview:
    with open(os.environ[RECORDS], "r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")


def note(n: int) -> None:
    """Leave the record of job number `n`."""
    _records()[n] = time.monotonic_ns()


@handler(queue="async")
async def note_async(n: int) -> None:
    note(n)


@handler(queue="plain")
def note_plain(n: int) -> None:
    note(n)


@handler(lane="cpu", queue="slots")
def note_cpu(n: int) -> None:
    note(n)

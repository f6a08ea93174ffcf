"""A load at an even rate, from before a fault to after it: how fast it was in the calm, and how soon it is so again."""

from __future__ import annotations

import threading
import time
from typing import Any

from heavylift import Client, Job
from heavylift.errors import StoreError
from tests.faults import jobs, oracle
from tests.faults.ledger import Ledger
from tests.waiting import wait_until

CALM = 1.5
"""Seconds in which the rate before the fault is measured."""

PAUSE, SOME = 0.05, 4
"""Seconds between two turns of the producer, and jobs in each: 80 a second."""


class Steady(threading.Thread):
    """The producer. What was refused during the fault was not acknowledged, and is not counted.

    Attributes:
        baseline: jobs finished in a second of the calm.
        jobs: what was acknowledged, each with when its call began (monotonic ns).
    """

    def __init__(self, client: Client, ledger: Ledger) -> None:
        super().__init__(name="steady load", daemon=True)
        self.baseline = 0.0
        self.jobs: list[tuple[int, Job[Any]]] = []
        self._client = client
        self._ledger = ledger
        self._stopping = threading.Event()

    def run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + PAUSE, time.monotonic())
            try:
                book = str(self._ledger.path)
                began = time.monotonic_ns()
                put = self._client.enqueue_many([jobs.quick.job(ledger=book) for _ in range(SOME)])
                self.jobs += [(began, job) for job in put]
            except StoreError:
                continue

    def measure(self) -> None:
        """Let it come into its stride, and take its rate."""
        wait_until("the load is under way", lambda: len(self._ledger.counts("finish")) > 2 * SOME, timeout=15)
        since = time.monotonic_ns()
        time.sleep(CALM)  # the measurement itself
        finished = sum(it.event == "finish" and it.at >= since for it in self._ledger.entries())
        self.baseline = min(finished * 1e9 / (time.monotonic_ns() - since), SOME / PAUSE)

    def back(self, cleared: int) -> float | None:
        """Seconds from the end of the fault (monotonic ns) until the rate was back at 90 %; None if it is not yet."""
        return oracle.rate_back_after(self._ledger.entries(), cleared, self.baseline)

    def stop(self) -> None:
        """Enqueue no more."""
        self._stopping.set()
        self.join(30)

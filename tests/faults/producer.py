"""The producer of the chaos: jobs of all kinds at an even rate, and the books on what was acknowledged."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heavylift import Client, Every, Job, Unique, chain
from heavylift.errors import StoreError
from tests.faults import jobs

KEEP = 40
"""Seconds that ended jobs are kept: long enough to be read, short enough that their number comes to a level."""


Kind = Callable[[], list[Job[Any]]]


class Producer(threading.Thread):
    """Enqueues jobs of all kinds at an even rate, and keeps the books on what was acknowledged."""

    def __init__(self, client: Client, book: str, seed: int) -> None:
        super().__init__(name="producer", daemon=True)
        self.acknowledged: list[tuple[str, str]] = []
        self.refused = 0
        self.stopping = threading.Event()
        self._client = client
        self._book = book
        self._dice = random.Random(seed)
        self._running: list[Job[Any]] = []
        self._open = f"{book}.open"
        Path(self._open).touch()

    def run(self) -> None:
        turn = 0
        self._client.schedule("tick", jobs.quick.job(ledger=self._book), Every(seconds=1))
        while not self.stopping.wait(0.1):
            turn += 1
            try:
                self._count(self._some(turn))
            except StoreError:
                self.refused += 1  # not acknowledged; it may be in all the same, and then it runs
        self._client.unschedule("tick")
        self._cancel_all()

    def _count(self, those: list[Job[Any]]) -> None:
        self.acknowledged += [(job.queue, job.id) for job in those]

    def _some(self, turn: int) -> list[Job[Any]]:
        """Eight plain jobs, and one of another kind."""
        self._cancel_some()
        book = self._book
        self._count(list(self._client.enqueue_many([jobs.quick.job(ledger=book) for _ in range(8)])))
        if turn % 50 == 0:
            return [self._client.enqueue(jobs.kills_itself.job(ledger=book))]
        if turn % 50 == 25:
            return [self._client.enqueue(jobs.takes_too_much.job(ledger=book))]
        made = self._dice.choice([*self._plain(f"{turn}"), *self._chosen(turn)])()
        if self._dice.random() < 0.02:  # to be cancelled while it runs
            self._running.append(self._client.enqueue(jobs.until_told.job(ledger=book, gate=f"{book}.never")))
            made = [*made, self._running[-1]]
        return made

    def _plain(self, key: str) -> list[Kind]:
        """By what the handler does."""
        put, book = self._client.enqueue, self._book
        return [
            lambda: [put(jobs.crunch.job(ledger=book, seconds=0.01))],
            lambda: [put(jobs.fails_twice.job(ledger=book))],
            lambda: [put(jobs.steps_lightly.job(ledger=book, gate=self._open))],
            lambda: [put(jobs.steps.job(ledger=book, gate=self._open))],
            lambda: [put(jobs.charges_lightly.job(ledger=book, key=key, keep=2 * KEEP))],
            lambda: [put(jobs.charges.job(ledger=book, key=key, keep=2 * KEEP))],
            lambda: [put(jobs.carries.job(ledger=book, load="x" * 200_000))],
            lambda: [put(jobs.visits.job(ledger=book, host=f"h{self._dice.randrange(3)}")) for _ in range(3)],
        ]

    def _chosen(self, turn: int) -> list[Kind]:
        """By how they are enqueued."""
        put, book, alike = self._client.enqueue, self._book, f"like-{turn % 3}"

        def quick(**options: Any) -> list[Job[Any]]:
            return [put(jobs.quick.job(ledger=book), **options)]

        def cancelled() -> list[Job[Any]]:
            self._count(job := quick(delay=30))
            job[0].cancel()
            return []

        return [
            lambda: quick(delay=0.5, priority=turn % 3),
            lambda: quick(expires=0.05, priority=5),
            lambda: quick(unique=alike),
            lambda: quick(unique=Unique(by=f"{alike}.s", mode="until_started")),
            lambda: quick(unique=Unique(by=f"{alike}.w", window=1)),
            lambda: quick(unique=Unique(by=f"{alike}.d", debounce=0.3, max_wait=2)),
            cancelled,
            lambda: self._client.enqueue_flow(chain(jobs.quick.job(ledger=book), jobs.crunch.job(ledger=book))).jobs,
        ]

    def _cancel_some(self) -> None:
        """Cancel what runs until then: it does not end by itself."""
        while len(self._running) > 1:
            self._running[0].cancel()
            self._running.pop(0)

    def _cancel_all(self) -> None:
        for job in self._running:
            job.cancel()

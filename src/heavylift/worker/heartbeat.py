"""The heartbeat: keeps the locks of running attempts alive, and acts when one cannot be kept.

It has its own thread and its own connection, so nothing that the dispatcher waits for delays a renewal. Before
it asks Redis it looks at its own clock: an attempt whose lock could not be renewed for 70 % of its life follows
its handler's `on_lost_contact`; most are stopped while the lock still protects them. A lock that Redis says is
another's stops its attempt at once. The answer also carries the cancel requests that pub/sub may have lost.

What this one cannot renew, others cannot either: where it was Redis that was away. So it also says when locks are not
to be trusted (`in_doubt`): they look expired, and their holders are alive and about to renew them.

A lock is renewed as long as there is an attempt. One that its lane has no more, and that is not settled a whole lock
later, will not be: by a defect of ours, or because middleware does not return. Its lock is let go, and another worker
takes the job over.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from heavylift.errors import StoreError, Unavailable
from heavylift.log import log
from heavylift.service import Service
from heavylift.store.jobs import Jobs
from heavylift.worker.contact import Contact
from heavylift.worker.running import Running, RunningTable, ask_to_stop

SELF_FENCE = 0.7
"""The part of a lock's life after which an attempt without contact must stop."""

MOST = 500
"""Locks per script call."""

MISSED = 2
"""Renewals that may not go through before locks are in doubt. They last for more, so none has expired by then."""


class Heartbeat(Service):
    """Renews all locks of this worker, one script call per queue, and says that the worker is alive."""

    def __init__(
        self,
        worker: str,
        jobs: Jobs,
        contact: Contact,
        running: RunningTable,
        *,
        lock: float,
        interval: float,
        facts: Callable[[], dict[str, str | int | float]],
        on_crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`facts` gives what is shown of this worker to others; called once a beat."""
        super().__init__("heartbeat", on_crash)
        self._worker = worker
        self._jobs = jobs
        self._contact = contact
        self._running = running
        self._lock = lock
        self._interval = interval
        self._facts = facts
        self._due = threading.Event()
        self._heard = time.monotonic()  # when the last beat went through
        self._doubt_until = 0.0
        self.lost = 0

    def wake(self) -> None:
        """Beat now: what is shown of this worker has changed."""
        self._due.set()

    @property
    def out_of_contact(self) -> bool:
        """True while Redis cannot be reached."""
        return self._contact.down_since is not None

    def in_doubt(self) -> bool:
        """True if no beat went through for long, or for one lock after it did again. From any thread."""
        now = time.monotonic()
        return now < self._doubt_until or now - self._heard > self._doubtful()

    def doubt(self) -> None:
        """Redis was away for an unknown time."""
        self._doubt_until = time.monotonic() + self._lock

    def run(self) -> None:
        """Beat until stopped. While Redis is away, try often: the locks are running out."""
        self._heard = time.monotonic()
        try:
            while not self.stopping.is_set():
                reached = self._beat()
                self._fence()
                self._due.wait(self._interval if reached else min(self._interval, self._contact.pause()))
                self._due.clear()
            self._say_goodbye()
        finally:
            self._contact.close()

    def _beat(self) -> bool:
        sent = time.monotonic()
        by_queue: dict[str, list[Running]] = defaultdict(list)
        for entry in self._newest():
            if self._left_behind(entry, sent):
                self._let_go(entry)
                continue
            by_queue[entry.job.queue].append(entry)
        lease = int(self._lock * 1000)
        batches = [
            (queue, entries[start : start + MOST])
            for queue, entries in by_queue.items()
            for start in range(0, len(entries), MOST)
        ]
        calls: list[Any] = [
            self._jobs.extend(queue, [(entry.job.id, entry.job.token) for entry in entries], lease)
            for queue, entries in batches
        ]
        calls += self._jobs.beat(self._worker, self._facts(), ttl_ms=max(lease, int(self._interval * 3000)))
        try:
            replies = self._contact.round_trip(calls)
        except Unavailable:
            return False
        self._went_through()
        refused = 0
        for (queue, entries), reply in zip(batches, replies, strict=False):
            if isinstance(reply, StoreError):
                log.warning("a renewal was refused", queue=queue, error=str(reply))
                refused += 1
                continue
            self._renewed(entries, sent, set(reply.lost), set(reply.cancelled))
        return not refused

    def _went_through(self) -> None:
        now = time.monotonic()
        gap = now - self._heard
        if gap > self._doubtful():
            self.doubt()
            log.info("no renewal went through for a while; leaving expired locks alone", gap_s=round(gap, 3))
        self._heard = now  # last: it ends the doubt for whoever asks meanwhile

    def _doubtful(self) -> float:
        return max(self._lock - MISSED * self._interval, 1.5 * self._interval)

    def _newest(self) -> list[Running]:
        """The last attempt of each job. If the same job is here twice, the older one has lost its lock to the newer."""
        newest: dict[tuple[str, str], Running] = {}
        for entry in self._running.entries():
            older = newest.pop((entry.job.queue, entry.job.id), None)
            if older is not None:
                self._lost_one(older)
            newest[entry.job.queue, entry.job.id] = entry
        return list(newest.values())

    def _left_behind(self, entry: Running, now: float) -> bool:
        if entry.lane is None or entry.over or entry.lane.holds(entry.job.id, entry.job.token):
            return False
        if entry.left_at is None:
            entry.left_at = now
        return now - entry.left_at > self._lock

    def _let_go(self, entry: Running) -> None:
        log.error("an attempt was never settled; its lock is let go", job=entry.job.id, queue=entry.job.queue)
        self._running.remove(entry.job.id, entry.job.token)

    def _lost_one(self, entry: Running) -> None:
        if not entry.ended and not entry.lost:
            entry.lost = True
            self.lost += 1
            log.warning("lost the lock of a running job", job=entry.job.id, queue=entry.job.queue)
        ask_to_stop(entry, "lock_lost")

    def _renewed(self, entries: list[Running], sent: float, lost: set[str], cancelled: set[str]) -> None:
        for entry in entries:
            if entry.job.id in lost:
                self._lost_one(entry)
                continue
            entry.renewed = sent
            if entry.job.id in cancelled:
                ask_to_stop(entry, "cancelled")

    def _fence(self) -> None:
        now = time.monotonic()
        for entry in self._running.entries():
            if not entry.finish_alone and now - entry.renewed > SELF_FENCE * self._lock:
                ask_to_stop(entry, "lost_contact")

    def _say_goodbye(self) -> None:
        try:
            self._contact.round_trip(self._jobs.leave(self._worker))
        except Unavailable:
            pass  # the entry has a time to live

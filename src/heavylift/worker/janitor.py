"""The janitor: repairs what others left behind, by a timer and not by traffic.

Each round, for every known queue: locks that expired are taken over, and their jobs get the outcome
`Abandoned`, which goes down the same path as any other; jobs that were not started in time and records
that were kept long enough are removed. Every call is bounded, and so is a round: no queue's lost jobs wait for what
there is to remove in another. If more is left, the next round follows at once.

After Redis was away, or took no writes, for a good part of a lock, all locks may look expired though their holders
live; and so they may when this worker was frozen, Redis' clock was set forward, or Redis came back with older data. The
janitor then takes nothing for one lock period and lets them renew first. That an outage was too long says the
heartbeat, which goes to Redis so often that it also sees what falls between two of this janitor's rounds. A sweep that
went through is the proof that a queue takes writes; only then are its locks looked at.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from heavylift.codec import decode_envelope
from heavylift.errors import StoreError, Unavailable
from heavylift.job import ClaimedJob
from heavylift.log import log
from heavylift.outcome import Abandoned
from heavylift.service import Service
from heavylift.settings import Settings
from heavylift.store.jobs import Call, Jobs
from heavylift.store.repairing import SWEPT_AT_ONCE, SweepReply
from heavylift.worker.contact import Contact
from heavylift.worker.handover import HandOver
from heavylift.worker.running import Running, RunningTable
from heavylift.worker.settler import Settler

MOST = 50
"""Locks taken over per script call."""

FURTHER = 50
"""Times in one round that a queue is looked after again, of all that have more to do."""


class Janitor(Service):
    """Takes over expired locks and enforces retention, for all queues of the installation."""

    def __init__(
        self,
        worker: str,
        jobs: Jobs,
        contact: Contact,
        *,
        numbers: Iterator[int],
        running: RunningTable,
        settler: Settler,
        handover: HandOver,
        queues: Sequence[str],
        settings: Settings,
        in_doubt: Callable[[], bool] = lambda: False,
        on_sweep: Callable[[str, str], None] = lambda queue, epoch: None,
        on_crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`queues` are looked after even before anything was enqueued to them; `numbers` as the dispatcher's.

        `in_doubt` says whether locks may look expired that are not. `on_sweep` is called when a sweep went through,
        with the queue and its epoch.
        """
        super().__init__("janitor", on_crash)
        self.recovered = 0
        self._worker = worker
        self._jobs = jobs
        self._contact = contact
        self._running = running
        self._settler = settler
        self._handover = handover
        self._in_doubt = in_doubt
        self._on_sweep = on_sweep
        self._served = set(queues)
        self._settings = settings
        self._lock = settings.lock
        self._interval = settings.sweep
        self._began = time.monotonic()
        self._numbers = numbers
        self._unanswered: dict[str, Any] = {}
        self._swept: dict[str, tuple[float, int]] = {}  # when the last sweep of a queue went through, here and by Redis
        self._refused: set[str] = set()  # queues whose last sweep did not
        self._hands_off_until: dict[str, float] = {}
        self._noted: dict[str, int] = {}  # by queue: when it was last swept, by Redis' clock
        self._epochs: dict[str, str] = {}

    def run(self) -> None:
        """A round, then a pause of about `interval`, varied so that a fleet does not sweep in step."""
        try:
            while not self.stopping.is_set():
                try:
                    more = self.round()
                    pause = 0.0 if more else self._interval * random.uniform(0.8, 1.2)
                except Unavailable:
                    pause = self._contact.pause()
                self.stopping.wait(pause)
        finally:
            self._contact.close()

    def round(self) -> bool:
        """Look after every queue; True if there is more to do. The loop calls it; so does who has no loop.

        Raises:
            Unavailable: Redis cannot be reached.
        """
        behind: deque[str] = deque()
        for queue in self._known_queues():
            if self.stopping.is_set():
                return False
            if self._look_after(queue):
                behind.append(queue)
        for _ in range(FURTHER):
            if not behind or self.stopping.is_set():
                break
            queue = behind.popleft()
            if self._look_after(queue):
                behind.append(queue)
        return bool(behind)

    def _look_after(self, queue: str) -> bool:
        """One sweep, and what was lost up to a bound; True if there is more of either."""
        swept = self._sweep(queue)
        if swept is None:
            return False
        self._mind_the_gap(queue, swept.now)
        self._mind_the_epoch(queue, swept.epoch)
        self._on_sweep(queue, swept.epoch)
        return self._take_over(queue) or swept.more

    def _mind_the_gap(self, queue: str, there: int) -> None:
        """Called once a sweep went through, before anything is taken. `there`: Redis' time then (ms)."""
        here = time.monotonic()
        before, before_there = self._swept.get(queue, (self._began, there))
        self._swept[queue] = here, there
        away = here - before if queue in self._refused else 0.0
        self._refused.discard(queue)
        ahead = (there - before_there) / 1000 - (here - before)
        if max(away, ahead) > self._lock / 2:
            self._hands_off_until[queue] = here + self._lock
            why = "could not sweep for a while" if away > ahead else "redis' clock was set forward"
            log.info(f"{why}; leaving expired locks alone", queue=queue, gap_s=round(max(away, ahead), 3))

    def _mind_the_epoch(self, queue: str, epoch: str) -> None:
        """Redis that came back with older data has older locks, too."""
        known = self._epochs.get(queue)
        if known and epoch != known:
            self._hands_off_until[queue] = time.monotonic() + self._lock
            log.info("redis came back without what it had; leaving expired locks alone", queue=queue)
        if epoch:
            self._epochs[queue] = epoch

    def _call(self, call: Call[Any]) -> Any:
        """The reply to one call, or the `StoreError` that refuses it."""
        (reply,) = self._contact.round_trip([call])
        return reply

    def _known_queues(self) -> list[str]:
        reply = self._call(self._jobs.queues())
        if isinstance(reply, StoreError):
            return sorted(self._served)
        for queue in self._served.difference(reply):  # it may be on another node of a Cluster, which has forgotten it
            self._call(self._jobs.register_queue(queue))
        return sorted(self._served.union(reply))

    def _take_over(self, queue: str) -> bool:
        """Take over up to `MOST` expired locks; True if there may be more."""
        if self._in_doubt() or time.monotonic() < self._hands_off_until.get(queue, 0.0):
            return False
        call = self._unanswered.get(queue) or self._jobs.takeover(
            queue, self._worker, next(self._numbers), lease_ms=int(self._lock * 1000), limit=MOST
        )
        sent = time.monotonic()
        self._unanswered[queue] = call  # the same number again if the reply is lost
        reply = self._call(call)
        if isinstance(reply, StoreError):
            log.warning("a takeover was refused", queue=queue, error=str(reply))
            return False
        del self._unanswered[queue]
        for job in reply:
            self._abandoned(job, sent)
        return len(reply) >= MOST

    def _abandoned(self, job: ClaimedJob, sent: float) -> None:
        entry = Running(job, None, None, renewed=sent, started_at=time.time_ns() // 1_000_000)
        try:
            entry.envelope = decode_envelope(job.spec)
        except ValueError:
            pass  # unreadable: the default policy decides, and the next claim sorts it out
        self._running.add(entry)
        self.recovered += 1
        log.warning("took over the job of a lost worker", job=job.id, queue=job.queue, worker=job.previous)
        self._settler.put(entry, Abandoned(job.previous or "unknown"))

    def _sweep(self, queue: str) -> SweepReply | None:
        """Expire and retire some records; None if it was refused."""
        settings = self._settings
        call = self._jobs.sweep(
            queue,
            limit=SWEPT_AT_ONCE,
            keep_completed_ms=int(settings.keep_completed * 1000),
            keep_failed_ms=int(settings.keep_failed * 1000),
            most_completed=settings.keep_completed_count,
            most_failed=settings.keep_failed_count,
            noted=self._noted.get(queue, 0),
        )
        reply = self._call(call)
        if isinstance(reply, StoreError):
            log.warning("a sweep was refused", queue=queue, error=str(reply))
            self._refused.add(queue)
            return None
        if reply.flows:
            self._handover.look_after(queue)
        swept: SweepReply = reply
        self._noted[queue] = swept.noted
        return swept

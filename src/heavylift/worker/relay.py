"""The relay: what running attempts say of themselves, on its way to Redis.

Progress is coalesced: however often a handler reports, a job costs at most about ten writes a second, and the
last value is never lost, because whatever is not known to be written when the attempt ends travels with its
settlement (`take`): also what is on its way just then, for the settlement may overtake it on the other connection,
and a write that comes after it is refused. Checkpoints go the same way. A write carries the attempt's token; from an
attempt that has lost its lock it changes nothing.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from heavylift.codec import encode_progress
from heavylift.errors import Unavailable
from heavylift.job import Progress
from heavylift.service import Service
from heavylift.store.jobs import Jobs, ProgressItem
from heavylift.store.verbs import runs
from heavylift.worker.contact import Contact

INTERVAL = 0.1
"""Seconds between two writes for the same job."""

MOST = 200
"""Jobs per script call, and no more than fit into it."""


@dataclass(slots=True)
class _Report:
    queue: str
    progress: Progress | None = None
    checkpoint: bytes | None = None


_NOTHING = _Report("")


class Relay(Service):
    """A buffer of the latest report per attempt, and the loop that sends it on."""

    def __init__(self, jobs: Jobs, contact: Contact, on_crash: Callable[[BaseException], None] | None = None) -> None:
        super().__init__("relay", on_crash)
        self._jobs = jobs
        self._contact = contact
        self._reports: dict[tuple[str, str], _Report] = {}
        self._sending: dict[tuple[str, str], _Report] = {}  # on its way, not answered
        self._guard = threading.Lock()
        self._some = threading.Event()

    def progressed(self, queue: str, job: str, token: str, progress: Progress) -> None:
        """Note the latest progress of an attempt. Never blocks on Redis."""
        with self._guard:
            self._reports.setdefault((job, token), _Report(queue)).progress = progress
        self._some.set()

    def checkpointed(self, queue: str, job: str, token: str, state: bytes) -> None:
        """Note the latest checkpoint of an attempt. Never blocks on Redis."""
        with self._guard:
            self._reports.setdefault((job, token), _Report(queue)).checkpoint = state
        self._some.set()

    def take(self, job: str, token: str) -> tuple[Progress | None, bytes | None]:
        """What is not known to be written of an attempt that has ended; its settlement carries it."""
        if not self._reports and not self._sending:
            return None, None
        with self._guard:
            sending = self._sending.get((job, token), _NOTHING)
            report = self._reports.pop((job, token), _NOTHING)
        return report.progress or sending.progress, report.checkpoint or sending.checkpoint

    def run(self) -> None:
        """Send what has gathered, then let it gather for `INTERVAL`."""
        try:
            while not self.stopping.is_set():
                self._some.wait()
                self._some.clear()
                if not self._send():
                    self.stopping.wait(self._contact.pause())
                self.stopping.wait(INTERVAL)
        finally:
            self._contact.close()

    def wake(self) -> None:
        """Make the loop look at `stopping`."""
        self._some.set()

    def _send(self) -> bool:
        with self._guard:
            self._sending = reports = self._reports
            self._reports = {}
        by_queue: dict[str, list[ProgressItem]] = defaultdict(list)
        for (job, token), report in reports.items():
            progress = None if report.progress is None else encode_progress(report.progress)
            by_queue[report.queue].append(ProgressItem(job, token, progress, report.checkpoint))
        calls = [
            self._jobs.progress(queue, run) for queue, items in by_queue.items() for run in runs(items, MOST, _weight)
        ]
        try:
            replies = self._contact.round_trip(calls) if calls else []
        except Unavailable:
            replies = [None]
        written = all(isinstance(reply, list) for reply in replies)
        if not written:
            self._put_back(reports)
        self._sending = {}
        return written

    def _put_back(self, reports: dict[tuple[str, str], _Report]) -> None:
        with self._guard:
            for attempt, report in reports.items():
                newer = self._reports.setdefault(attempt, report)
                newer.progress = newer.progress or report.progress
                newer.checkpoint = newer.checkpoint or report.checkpoint
        self._some.set()


def _weight(item: ProgressItem) -> int:
    """About how many bytes it takes to write this."""
    return len(item.progress or b"") + len(item.checkpoint or b"")

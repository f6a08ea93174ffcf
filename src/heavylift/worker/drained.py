"""Whether queues have nothing to do, and will not soon: then a worker of `--burst` ends."""

from __future__ import annotations

from collections.abc import Iterable

from heavylift.errors import Unavailable
from heavylift.store.jobs import Jobs, QueueCounts
from heavylift.worker.contact import Contact


def drained(jobs: Jobs, contact: Contact, queues: Iterable[str], horizon: float) -> bool:
    """True if no job of these queues is waiting, running or due within `horizon` seconds. Paused ones may wait."""
    try:
        replies = contact.round_trip([jobs.counts(name) for name in queues])
    except Unavailable:
        return False
    return all(isinstance(counts, QueueCounts) and _is_idle(counts, horizon) for counts in replies)


def _is_idle(counts: QueueCounts, horizon: float) -> bool:
    if counts.active or (counts.waiting and not counts.paused):
        return False
    return counts.next_due_ms is None or counts.next_due_ms > horizon * 1000

"""The attempts this worker holds locks for, from claim to settlement.

Who touches what: the dispatcher adds after a claim and removes when the settlement was answered; the lanes
report through the sink; the heartbeat reads all and notes renewals. An entry stays until its settlement has
been answered, so that the heartbeat keeps the lock of a result that waits for Redis to come back.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import msgspec

from heavylift.errors import StopReason
from heavylift.job import ClaimedJob, Envelope, Progress
from heavylift.lanes.lane import Lane
from heavylift.middleware import Attempt
from heavylift.outcome import Outcome


class Running(msgspec.Struct, eq=False):
    """One claimed job. Times are monotonic seconds.

    Attributes:
        envelope: what the producer stored, decoded; None if it could not be read.
        lane: where it runs; None if it never reached a lane.
        renewed: when the last call that set the lock's expiry was *sent*; the lock is good from then on.
        started_at: wall clock, ms since 1970, for the record.
        begun: the handler has started.
        ended: its outcome is known and the settlement is on its way.
        waits: its outcome is known, and is settled when what it has asked is answered.
        lost: its lock is another's.
        left_at: when it was first seen that its lane has it no more, though what it came to is not known.
        got_on: it has saved a checkpoint that it was not given.
        finish_alone: its handler may finish although contact to Redis is lost.
        progress: what it last said of how far it is; for whoever shows this worker at work.
        outcome: what it came to, once it has ended.
        attempt: as middleware knows it, if there is any that asks.
    """

    job: ClaimedJob
    envelope: Envelope | None
    lane: Lane | None
    renewed: float
    started_at: int
    begun: bool = False
    ended: bool = False
    waits: bool = False
    lost: bool = False
    left_at: float | None = None
    got_on: bool = False
    finish_alone: bool = False
    progress: Progress | None = None
    outcome: Outcome | None = None
    attempt: Attempt | None = None

    @property
    def over(self) -> bool:
        """Its lane is done with it."""
        return self.ended or self.waits


@dataclass(slots=True)
class RunningTable:
    """Entries by job id and token. The token tells two attempts of the same job apart."""

    _entries: dict[tuple[str, str], Running] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, entry: Running) -> None:
        """Note a claimed job."""
        self._entries[entry.job.id, entry.job.token] = entry  # one step for the interpreter: needs no lock

    def get(self, job: str, token: str) -> Running | None:
        """The entry of this attempt, None if it is gone."""
        return self._entries.get((job, token))

    def remove(self, job: str, token: str) -> Running | None:
        """Forget an attempt whose settlement was answered; wakes `wait_empty` after the last."""
        entry = self._entries.pop((job, token), None)
        if not self._entries:
            with self._changed:
                self._changed.notify_all()
        return entry

    def entries(self) -> list[Running]:
        """All entries at this moment."""
        return list(self._entries.values())

    def of_queue(self, queue: str, ids: set[str]) -> list[Running]:
        """The attempts of these jobs of one queue."""
        return [entry for entry in self.entries() if entry.job.queue == queue and entry.job.id in ids]

    def __len__(self) -> int:
        return len(self._entries)

    def wait_empty(self, timeout: float) -> bool:
        """Wait until nothing runs; False if that took longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._entries, timeout)


def ask_to_stop(entry: Running, reason: StopReason) -> None:
    """Have its lane stop this attempt. Ask again as long as there is reason to: a lane that has not got it yet does not
    remember, and one that was told before keeps the first reason (see `lanes.lane`).

    An attempt that loses its lock while it is being stopped needs no other rule: what it comes to carries a stale token
    and changes nothing.
    """
    if entry.lane is not None and not entry.ended:
        entry.lane.stop_attempt(entry.job.id, entry.job.token, reason)

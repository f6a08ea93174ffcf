"""Verbs of operators and of the janitor: cancel, remove, pause, sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from heavylift.job import State
from heavylift.store.call import Call
from heavylift.store.verbs import Verbs, flag, nothing

MOST = 1000
"""Jobs that one call looks at, at most: Redis serves nobody else meanwhile."""

SWEPT_AT_ONCE = 10
"""Jobs of each kind that a janitor has one sweep look at: those that expired, are over their time, or too many."""

Cancelled: TypeAlias = Literal["cancelled", "asked", "ended"]
Removed: TypeAlias = Literal["removed", "active", "gone"]


@dataclass(frozen=True, slots=True)
class CancelReply:
    """What cancelling did.

    Attributes:
        state: the state the job was in.
        how: `cancelled`: nobody ran it, it is cancelled now. `asked`: it runs, and its worker was told.
            `ended`: too late.
    """

    state: State
    how: Cancelled


@dataclass(frozen=True, slots=True)
class SweepReply:
    """What a sweep did: jobs that expired, ended jobs that were removed, and whether to sweep on at once.

    `flows`: some jobs have to be told how their parents ended, or looked after. `now`: Redis' time (ms). `epoch`: the
    queue's mark (see `Fleet.epoch`), or "". `noted`: when the queue was last swept, for the next sweep.
    """

    expired: int
    removed: int
    more: bool
    flows: bool = False
    now: int = 0
    epoch: str = ""
    noted: int = 0


class Repairing(Verbs):
    """Cancel, remove, pause, resume, sweep."""

    def cancel(self, queue: str, id: str) -> Call[CancelReply | None]:
        """Cancel a job, or ask the worker that runs it to stop. None: there is no such job."""

        def parse(reply: Any) -> CancelReply | None:
            return CancelReply(State(reply[0].decode()), reply[1].decode()) if reply else None

        return self._script("cancel", queue, parse, id=id)

    def remove(self, queue: str, id: str) -> Call[Removed]:
        """Delete a job and all that is kept of it. A running one is left alone."""
        return self._script("remove", queue, lambda reply: reply.decode(), id=id)

    def pause(self, queue: str) -> Call[None]:
        """Give out no more jobs of the queue. What runs goes on."""
        return self._plain(nothing, "HSET", self.keys(queue).meta, "paused", "1")

    def resume(self, queue: str) -> Call[bool]:
        """Give out jobs again and wake the idle workers it takes. False: the queue was not paused."""
        return self._script("resume", queue, flag)

    def sweep(
        self,
        queue: str,
        limit: int,
        *,
        keep_completed_ms: int,
        keep_failed_ms: int,
        most_completed: int,
        most_failed: int,
        noted: int = 0,
    ) -> Call[SweepReply]:
        """Bury what did not start in time, remove what was kept long enough or is too many.

        At most `limit` (and never more than 1,000) of each. The two durations become the queue's rule for jobs that end
        from now on; cancelled jobs go by the one for completed ones. `noted` is that of the last reply: if the queue
        has not even been swept by then, it has no epoch any more.
        """

        def parse(reply: Any) -> SweepReply:
            expired, removed, more, flows, now, epoch, noted = reply
            return SweepReply(expired, removed, bool(more), bool(flows), now, epoch.decode(), noted)

        return self._script(
            "sweep",
            queue,
            parse,
            limit=min(limit, MOST),
            keep_completed=keep_completed_ms,
            keep_failed=keep_failed_ms,
            most_completed=most_completed,
            most_failed=most_failed,
            noted=noted,
        )

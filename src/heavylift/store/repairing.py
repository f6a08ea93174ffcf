"""Verbs of operators and of the janitor: cancel, remove, pause, limit, sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from heavylift.errors import InvalidArgument
from heavylift.job import State
from heavylift.store.call import Call
from heavylift.store.verbs import Verbs, flag, nothing

MOST = 1000
"""Jobs that one call looks at, at most: Redis serves nobody else meanwhile."""

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

    `flows`: some jobs have to be told how their parents ended, or looked after.
    """

    expired: int
    removed: int
    more: bool
    flows: bool = False


class Repairing(Verbs):
    """Cancel, remove, pause, resume, limit, sweep."""

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

    def limit(self, queue: str, most: int | None, *, group: str = "", per_key: bool = False) -> Call[None]:
        """Set how many jobs may run at once, over all workers; None lifts the limit.

        Args:
            queue: its name.
            most: 0 or more; per key 1 or more.
            group: limit this group instead of the queue.
            per_key: limit each key of the group instead.

        Raises:
            InvalidArgument: `most` is too low, or `per_key` stands without a group.
        """
        if most is not None and most < per_key:
            raise InvalidArgument("most", most, "give 1 or more per key (a group or queue may be held at 0), or None")
        if per_key and not group:
            raise InvalidArgument("group", group, "name the group whose keys are limited")
        scope = f"{group}/*" if per_key else group
        return self._script("limit", queue, nothing, scope=scope, most=-1 if most is None else most)

    def set_step(self, queue: str, step_us: int) -> Call[None]:
        """Set how much waiting, in microseconds, one unit of priority is worth (60 s unless set; at most 7e12)."""
        return self._plain(nothing, "HSET", self.keys(queue).meta, "step", step_us)

    def sweep(
        self,
        queue: str,
        limit: int,
        *,
        keep_completed_ms: int,
        keep_failed_ms: int,
        most_completed: int,
        most_failed: int,
    ) -> Call[SweepReply]:
        """Bury what did not start in time, remove what was kept long enough or is too many.

        At most `limit` (and never more than 1,000) of each. The two durations become the queue's rule for jobs that end
        from now on; cancelled jobs go by the one for completed ones.
        """

        def parse(reply: Any) -> SweepReply:
            expired, removed, more, flows = reply
            return SweepReply(expired, removed, bool(more), bool(flows))

        return self._script(
            "sweep",
            queue,
            parse,
            limit=min(limit, MOST),
            keep_completed=keep_completed_ms,
            keep_failed=keep_failed_ms,
            most_completed=most_completed,
            most_failed=most_failed,
        )

"""Which queues to ask next, and for how many jobs: pure bookkeeping, no I/O.

A queue is asked only when there is a hint that it has work: a wake-up, a due time that has come, a reply that
used up its credits, or the fallback poll. Credits are the free places of the queue's lane; what is handed
out in one round never exceeds them, so nothing is claimed that could not start at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from heavylift.errors import InvalidArgument
from heavylift.lanes.lane import LaneName


@dataclass(slots=True)
class ServedQueue:
    """One queue of this worker.

    Attributes:
        weight: its part of the places when several queues of the lane have work.
        flagged: there may be work.
        woken: a producer took this worker out of the idle ones; if it cannot take the job, another must be told.
        due: monotonic time at which to ask again without a hint: the next delayed job, or the fallback poll.
        credit: carried over between rounds, so that parts smaller than one place add up.
    """

    name: str
    lane: LaneName
    weight: int = 1
    flagged: bool = True
    woken: bool = False
    due: float | None = None
    credit: float = 0.0


@dataclass(slots=True)
class ServedQueues:
    """The queues of one worker, in the order of preference.

    Attributes:
        strict: a queue is asked only when none before it (of its lane) has work.
    """

    queues: dict[str, ServedQueue] = field(default_factory=dict)
    strict: bool = False

    @classmethod
    def build(
        cls, lanes: Mapping[str, LaneName], wanted: Mapping[str, int] | None = None, strict: bool = False
    ) -> ServedQueues:
        """From the registry's queue → lane map and what the user asked for.

        Args:
            lanes: lane of each queue that the loaded handlers name.
            wanted: weights of the queues to serve; all with equal weight if None.

        Raises:
            InvalidArgument: a wanted queue that no loaded handler names, or a weight below 1.
        """
        chosen = dict.fromkeys(lanes, 1) if wanted is None else dict(wanted)
        for name, weight in chosen.items():
            if name not in lanes:
                known = ", ".join(sorted(lanes)) or "none"
                raise InvalidArgument("queues", name, f"no loaded handler is of this queue (known: {known})")
            if weight < 1:
                raise InvalidArgument("queues", {name: weight}, "give weights of 1 or more")
        return cls({name: ServedQueue(name, lanes[name], weight) for name, weight in chosen.items()}, strict)

    def flag(self, name: str) -> None:
        """Note a hint that this queue has work."""
        if queue := self.queues.get(name):
            queue.flagged = True

    def flag_all(self) -> None:
        """The fallback: look everywhere once."""
        for queue in self.queues.values():
            queue.flagged = True

    def flag_due(self, now: float) -> None:
        """Flag the queues that are to be asked again by now."""
        for queue in self.queues.values():
            if queue.due is not None and queue.due <= now:
                queue.due, queue.flagged = None, True

    def next_due(self) -> float | None:
        """The earliest time a queue is to be asked again, monotonic; None if all are flagged already."""
        return min((queue.due for queue in self.queues.values() if queue.due is not None), default=None)

    def allot(self, lane: LaneName, free: int, busy: Iterable[str] = ()) -> list[tuple[ServedQueue, int]]:
        """Spend the free places of a lane on its flagged queues.

        Args:
            free: places free now.
            busy: queues that have a claim in flight and cannot be asked again yet.
        """
        asking = [q for q in self.queues.values() if q.flagged and q.lane == lane and q.name not in busy]
        if free <= 0 or not asking:
            return []
        if len(asking) == 1 or self.strict:
            return [(asking[0], free)]
        total = sum(queue.weight for queue in asking)
        for queue in asking:
            queue.credit += free * queue.weight / total
        return self._whole_places(asking, free)

    @staticmethod
    def _whole_places(asking: list[ServedQueue], free: int) -> list[tuple[ServedQueue, int]]:
        shares: dict[str, int] = {}
        for queue in asking:
            shares[queue.name] = max(0, min(free, int(queue.credit)))
            free -= shares[queue.name]
        for queue in sorted(asking, key=lambda q: q.credit - shares[q.name], reverse=True):
            if free > 0:
                shares[queue.name] += 1
                free -= 1
        for queue in asking:
            queue.credit -= shares[queue.name]
        return [(queue, shares[queue.name]) for queue in asking if shares[queue.name]]

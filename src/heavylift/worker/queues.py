"""Which queues to ask next, and for how many jobs: pure bookkeeping, no I/O.

A queue is asked only when there is a hint that it has work: a wake-up, a due time that has come, a reply that
used up its credits, or the fallback poll. What is handed out in one round never exceeds the free places of the queue's
lane, so nothing is claimed that could not start at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace

from heavylift.errors import InvalidArgument
from heavylift.lanes.lane import LaneName

MOST = 1 << 30
"""More than there can be."""


@dataclass(slots=True)
class ServedQueue:
    """One queue of this worker.

    Attributes:
        weight: its part of the places when several queues of the lane have work.
        flagged: there may be work.
        woken: a producer took this worker out of the idle ones; if it cannot take the job, another must be told.
        due: monotonic time at which to ask again without a hint: the next delayed job, or the fallback poll.
        cost: places that one of its jobs takes.
        had: places it has been given, by its weight: who has had least is next.
        seen: places that were free when it was last asked whether it has a job; -1 if it was not.
    """

    name: str
    lane: LaneName
    weight: int = 1
    cost: int = 1
    flagged: bool = True
    woken: bool = False
    due: float | None = None
    had: float = 0.0
    seen: int = -1

    def needs(self, size: int) -> int:
        """Places one of its jobs takes where there are so many in all: not more than these."""
        return max(1, min(self.cost, size))

    def look(self, free: int) -> list[tuple[ServedQueue, int]]:
        """A claim of nothing, which tells whether there is a job; not again before other places are free."""
        known, self.seen = self.seen == free, free
        return [] if known else [(self, 0)]


@dataclass(slots=True)
class ServedQueues:
    """The queues of one worker, in the order of preference.

    Attributes:
        strict: a queue is asked only when none before it (of its lane) has work.
    """

    queues: dict[str, ServedQueue] = field(default_factory=dict)
    strict: bool = False
    _turn: dict[LaneName, float] = field(default_factory=lambda: {"io": 0.0, "cpu": 0.0})
    """What the queue of the lane had that was next last: who comes back has no claim on what it has missed."""

    @property
    def costly(self) -> bool:
        """Some job takes more than one place."""
        return any(queue.cost > 1 for queue in self.queues.values())

    @classmethod
    def build(
        cls,
        lanes: Mapping[str, LaneName],
        wanted: Mapping[str, int] | None = None,
        strict: bool = False,
        costs: Mapping[str, int] | None = None,
    ) -> ServedQueues:
        """From the registry's queue → lane map and what the user asked for.

        Args:
            lanes: lane of each queue that the loaded handlers name.
            wanted: weights of the queues to serve; all with equal weight if None.
            strict: a queue is asked only when none before it (of its lane) has work.
            costs: places that a job of a queue takes; one if not said.

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
        costs = costs or {}
        return cls({name: ServedQueue(name, lanes[name], chosen[name], costs.get(name, 1)) for name in chosen}, strict)

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

    def allot(
        self, lane: LaneName, free: int, busy: Iterable[str] = (), *, size: int = MOST, most: int = MOST
    ) -> list[tuple[ServedQueue, int]]:
        """Spend the free places of a lane on its flagged queues: how many jobs each may claim, never more than fit.

        Always the next place to the queue that has had the least for its weight. If its job needs more than are free,
        the rest is saved for it, or jobs that need little would take every place before it came to that. Whether it has
        a job at all is asked first: then it comes with 0.

        Args:
            free: places free now.
            busy: queues that have a claim in flight and cannot be asked again yet.
            size: places there are in all; no job needs more.
            most: of one claim.
        """
        asking = [q for q in self.queues.values() if q.flagged and q.lane == lane and q.name not in busy]
        if free <= 0 or not asking:
            return []
        if len(asking) == 1 or self.strict:
            return self._to_one(asking[0], free, size, most)
        return self._shared(asking, free, size, most)

    def _to_one(self, queue: ServedQueue, free: int, size: int, most: int) -> list[tuple[ServedQueue, int]]:
        if jobs := min(free // queue.needs(size), most):
            turn = self._turn[queue.lane] = max(queue.had, self._turn[queue.lane])
            queue.had = turn + jobs * queue.needs(size) / queue.weight
            return [(queue, jobs)]
        return queue.look(free)

    def _shared(self, asking: list[ServedQueue], free: int, size: int, most: int) -> list[tuple[ServedQueue, int]]:
        given = dict.fromkeys((queue.name for queue in asking), 0)
        looks: list[tuple[ServedQueue, int]] = []
        turn = self._turn[asking[0].lane]
        turns = [(max(queue.had, turn), index) for index, queue in enumerate(asking)]
        heapify(turns)
        left = free
        while left and turns:
            had, index = turns[0]
            queue = asking[index]
            needs = queue.needs(size)
            if needs > left:
                if not given[queue.name]:
                    looks = queue.look(free)
                break
            self._turn[queue.lane], left = had, left - needs
            given[queue.name] += 1
            queue.had = had + needs / queue.weight
            if given[queue.name] < most:
                heapreplace(turns, (queue.had, index))
            else:
                heappop(turns)
        return [(queue, given[queue.name]) for queue in asking if given[queue.name]] + looks

    def unused(self, queue: ServedQueue, jobs: int, size: int) -> None:
        """It was given places for so many jobs more than it had."""
        queue.had -= jobs * queue.needs(size) / queue.weight

"""Why a job does not run, as values. Each says it as a sentence, too: `str(reason)`.

What must be lifted first comes first. Times are ms since 1970 by the Redis server's clock, spans are seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from heavylift.duration import span
from heavylift.states import State


class Because(msgspec.Struct, frozen=True, tag_field="because"):
    """One reason. In JSON its field `because` is the name of its type."""


class Ended(Because, frozen=True):
    """It has ended, and will not run again by itself.

    Attributes:
        state: completed, failed or cancelled.
        at: when.
        reason: why it is in the dead letters, or was cancelled by its parents.
        cause: what the last attempt came to.
        message: what that said.
        blame: the parent that ended it: queue, id and how it ended.
    """

    state: State
    at: int
    reason: str = ""
    cause: str = ""
    message: str = ""
    blame: str = ""

    def __str__(self) -> str:
        if self.reason == "malformed":
            return f"what is stored of it cannot be read: it was put aside at {_clock(self.at)}"
        if self.blame:
            ended = "cancelled" if self.state is State.CANCELLED else "put into the dead letters"
            return f"it was {ended} at {_clock(self.at)} because of a parent: {self.blame}"
        if self.state is State.COMPLETED:
            return f"it has completed at {_clock(self.at)}"
        if self.state is State.CANCELLED:
            return f"it was cancelled at {_clock(self.at)}" + (f" ({self.reason})" if self.reason else "")
        why = ", ".join(filter(None, (self.reason, self.cause)))
        said = f": {self.message}" if self.message else ""
        return f"it is in the dead letters since {_clock(self.at)} ({why}){said}"


class Running(Because, frozen=True):
    """It runs.

    Attributes:
        worker: where.
        since: the start of this attempt.
        attempt: which one, from 1.
        stopping: it was asked to stop.
        lost: its lock has expired; another worker is about to take it over.
    """

    worker: str
    since: int
    attempt: int
    stopping: bool = False
    lost: bool = False

    def __str__(self) -> str:
        where = f"attempt {self.attempt} of it runs on {self.worker} since {_clock(self.since)}"
        if self.lost:
            return f"{where}, but that worker does not renew its lock: another will take it over"
        return where + (", and was asked to stop" if self.stopping else "")


class Staged(Because, frozen=True):
    """Its parents are noted, but it is not enqueued: its producer is at it, or has died.

    Attributes:
        forgotten_in: seconds until the note is gone.
    """

    forgotten_in: float

    def __str__(self) -> str:
        return (
            "it is not enqueued yet: its producer has noted its parents and nothing more; enqueue it again if that "
            f"does not change (the note is kept for {span(self.forgotten_in)})"
        )


class Parent(msgspec.Struct, frozen=True):
    """A job that another waits for. `state` is None for one that is gone."""

    queue: str
    id: str
    state: State | None

    def __str__(self) -> str:
        return f"{self.id} in {self.queue} ({self.state or 'gone'})"


class WaitsForParents(Because, frozen=True):
    """Parents have not ended, or it was not told of their end yet.

    Attributes:
        parents: some of them.
        count: how many there are.
    """

    parents: Sequence[Parent]
    count: int

    def __str__(self) -> str:
        if not self.count:
            return "it waited for jobs that are not noted any more; a worker is about to see to it"
        named = ", ".join(map(str, self.parents))
        more = f" and {self.count - len(self.parents)} more" if self.count > len(self.parents) else ""
        told = "; it is about to be told of those that have ended" if any(_over(one) for one in self.parents) else ""
        return f"it waits for {named}{more}{told}"


class Debounced(Because, frozen=True):
    """It waits for quiet: another request like it puts it off again.

    Attributes:
        at: when it runs if there is quiet.
        wait: seconds until then.
        latest: it is put off no longer than this, if that was said.
    """

    at: int
    wait: float
    latest: int | None = None

    def __str__(self) -> str:
        most = f", and by {_clock(self.latest)} at the latest" if self.latest else ""
        return f"it is debounced: it runs in {span(self.wait)} unless another like it comes{most}"


class RetryDue(Because, frozen=True):
    """An attempt did not come to an end that counts, and the next is later.

    Attributes:
        at: when.
        wait: seconds until then.
        attempt: the attempt that was.
        cause: what it came to.
        message: what it said.
    """

    at: int
    wait: float
    attempt: int
    cause: str = ""
    message: str = ""

    def __str__(self) -> str:
        said = ": ".join(filter(None, (self.cause, self.message)))
        was = f"attempt {self.attempt} of it ended" + (f" ({said})" if said else "")
        return f"{was}; the next is due in {span(self.wait)}, at {_clock(self.at)}"


class Due(Because, frozen=True):
    """It is to run later.

    Attributes:
        at: when.
        wait: seconds until then.
    """

    at: int
    wait: float

    def __str__(self) -> str:
        return f"it is due in {span(self.wait)}, at {_clock(self.at)}"


class Paused(Because, frozen=True):
    """Somebody has paused its queue."""

    queue: str

    def __str__(self) -> str:
        return f"queue {self.queue} is paused; `heavylift resume {self.queue}` has it go on"


class Resting(Because, frozen=True):
    """A handler has asked that its queue rest.

    Attributes:
        queue: which.
        until: when it goes on.
        wait: seconds until then.
    """

    queue: str
    until: int
    wait: float

    def __str__(self) -> str:
        return f"a handler has asked queue {self.queue} to rest, for {span(self.wait)} more"


class Full(Because, frozen=True):
    """As many run as may run at once, over all workers.

    Attributes:
        queue: whose limit it is; of `group` if that is not None, and of `key` within it if that is not.
        limit: how many may run.
        running: how many do.
        holders: ids of some of them.
    """

    queue: str
    limit: int
    running: int
    holders: Sequence[str] = ()
    group: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        held = f": {', '.join(self.holders)}" if self.holders else ""
        more = ", ..." if self.holders and self.running > len(self.holders) else ""
        place = _place(self.queue, self.group, self.key)
        return f"{place} may run {self.limit} at once, and {self.running} run{held}{more}"


class RateSpent(Because, frozen=True):
    """As many were started lately as may be.

    Attributes:
        queue: whose rate it is; of `group` if that is not None, and of `key` within it if that is not.
        count: so many may start ...
        seconds: ... in this time.
        opens_at: when the next may start.
        wait: seconds until then.
    """

    queue: str
    count: int
    seconds: float
    opens_at: int
    wait: float
    group: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        rate = f"{self.count} every {span(self.seconds)}"
        return f"{_place(self.queue, self.group, self.key)} may start {rate}: the next in {span(self.wait)}"


class Overdue(Because, frozen=True):
    """It has not started in time: it is about to become a dead letter, `expired`.

    Attributes:
        expired_at: by when it was to start.
    """

    expired_at: int

    def __str__(self) -> str:
        return f"it was to start by {_clock(self.expired_at)}: it is about to be put into the dead letters"


class Unserved(Because, frozen=True):
    """No living worker serves its queue."""

    queue: str

    def __str__(self) -> str:
        return f"no worker serves queue {self.queue}; start one"


class HandlerUnknown(Because, frozen=True):
    """No worker of its queue knows its handler: a claim would put it back a few times, then into the dead letters."""

    handler: str
    queue: str

    def __str__(self) -> str:
        return (
            f"no worker that serves queue {self.queue} has a handler named {self.handler}; "
            "if it is new, restart a worker, or run it with --reload"
        )


class AllQuiet(Because, frozen=True):
    """Every worker that could run it is paused or stopping."""

    workers: Sequence[str]

    def __str__(self) -> str:
        return f"every worker that could run it is paused or stopping: {', '.join(self.workers)}"


class LaneDown(Because, frozen=True):
    """The workers that could run it cannot start what its lane needs.

    Attributes:
        workers: their ids.
        problem: what the first of them says.
    """

    workers: Sequence[str]
    problem: str

    def __str__(self) -> str:
        said = f": {self.problem}" if self.problem else ""
        return f"{', '.join(self.workers)} could run it, but its lane is not ready{said}"


class AllBusy(Because, frozen=True):
    """No worker that could run it has a free place, or as many of them as a job of its queue takes.

    Attributes:
        workers: how many could.
        places: places they have in its lane, together.
        said_ago: seconds since the latest of them said so.
        needs: places that it takes, if more than one.
        free: the most that are free on one of them.
    """

    workers: int
    places: int
    said_ago: float
    needs: int = 1
    free: int = 0

    def __str__(self) -> str:
        whose = f"the {self.workers} workers" if self.workers > 1 else "the worker"
        if not self.places:
            return f"there are no places for it: its lane has none on {whose} that could run it"
        said = f"said {span(self.said_ago)} ago"
        if self.needs > 1:
            return f"it takes {self.needs} places, and no more than {self.free} are free at once on {whose} ({said})"
        return f"no place is free of {self.places}, on {whose} that could run it ({said})"


class InLine(Because, frozen=True):
    """It is in line, and others go before it.

    Attributes:
        ahead: how many; 0: it is next.
        exact: False where that is a guess, and the sentence says "about": more than 200 keys have jobs waiting (200 are
            looked at), some are due and not in line yet, or limits are just being changed.
        fair: keys take turns.
    """

    ahead: int
    exact: bool = True
    fair: bool = False

    def __str__(self) -> str:
        if not self.ahead:
            return "no other job goes before it" if self.exact else "hardly a job goes before it"
        jobs = "job goes" if self.ahead == 1 else "jobs go"
        turns = ", as keys take turns" if self.fair else ""
        return f"{'' if self.exact else 'about '}{self.ahead} {jobs} before it{turns}"


class Lost(Because, frozen=True):
    """It waits, but stands in no line: somebody has changed what is in Redis by hand."""

    def __str__(self) -> str:
        return "it says that it waits but stands in no line: what is in Redis was changed by hand; enqueue it again"


@dataclass(frozen=True, slots=True)
class Why:
    """Why a job does not run, or that it does.

    Attributes:
        queue: its queue.
        id: its own.
        state: where it is; None if it is not enqueued yet.
        at: when this was so.
        reasons: all of them, what must be lifted first at the front. A job that only is in line has `InLine`.
    """

    queue: str
    id: str
    state: State | None
    at: int
    reasons: tuple[Because, ...]

    @property
    def blocked(self) -> bool:
        """Something has to change before a worker could be given it."""
        return not all(isinstance(reason, InLine) for reason in self.reasons)

    def __str__(self) -> str:
        return "\n".join(map(str, self.reasons))


def _over(parent: Parent) -> bool:
    return parent.state is None or parent.state.ended


def _place(queue: str, group: str | None, key: str | None) -> str:
    if group is None:
        return f"queue {queue}"
    return f"group {group}" if key is None else f"key {key} of group {group}"


def _clock(ms: int) -> str:
    """In this machine's zone, as all other times that people are shown."""
    return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")

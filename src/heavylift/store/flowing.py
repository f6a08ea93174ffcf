"""Verbs of flows: jobs that wait for others, and how they hear of their end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from heavylift.options import JobRef
from heavylift.states import ENDED, LETTERS, State
from heavylift.store.call import Arg, Call
from heavylift.store.verbs import BATCH_BYTES, Verbs, nothing, runs

MOST_STAGED = 250
MOST_LINKED = 100
MOST_TOLD = 50
MOST_LISTED = 500
"""Parents noted, children linked, children told, and jobs listed by one call at most."""

STAGING = 2
"""Noting that a job has parents takes as long as noting so many of them."""

How: TypeAlias = Literal["c", "f", "x", "g"]
"""How a parent ended: completed, failed, cancelled, gone."""

GONE: How = "g"

_ENDS = {LETTERS[state]: state for state in ENDED} | {"C": State.COMPLETED}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job about to be enqueued, and some of its parents: those from place `first` on."""

    id: str
    parents: Sequence[JobRef]
    first: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """That a child waits for a parent. `life` is the child's: a retry begins another."""

    parent: JobRef
    child: JobRef
    life: int
    flow: str


Linked: TypeAlias = Literal["ok", "ended", "gone"]
_LINKED: dict[int, Linked] = {ord("o"): "ok", ord("e"): "ended", ord("g"): "gone"}


@dataclass(frozen=True, slots=True)
class Told:
    """What one child has to be told of one parent."""

    parent: JobRef
    child: JobRef
    life: int
    how: How
    result: bytes = b""


Relived: TypeAlias = Literal["ok", "blocked", "not_failed", "gone", "held"]
"""What became of a job that was to get another life. `blocked`: it has, and waits for parents; it must be linked to
them once all have theirs. `held`: another job holds its unique key, so that it stays where it is."""
_RELIVED: dict[int, Relived] = {
    ord("o"): "ok",
    ord("b"): "blocked",
    ord("n"): "not_failed",
    ord("g"): "gone",
    ord("h"): "held",
}

RELIVED: tuple[Relived, ...] = ("ok", "blocked")
"""It has another life."""

Delivered: TypeAlias = Literal["ok", "outbox", "stale", "gone"]
_DELIVERED: dict[int, Delivered] = {ord("o"): "ok", ord("h"): "outbox", ord("s"): "stale", ord("g"): "gone"}


@dataclass(frozen=True, slots=True)
class FlowJob:
    """A job of a flow. `last`: nothing waits for it."""

    queue: str
    id: str
    state: State
    reason: str
    last: bool


@dataclass(frozen=True, slots=True)
class FlowPage:
    """Some jobs of a flow in one queue, and how many the queue has."""

    total: int
    jobs: list[FlowJob]


@dataclass(frozen=True, slots=True)
class ParentEnd:
    """A parent as its child knows it.

    Attributes:
        place: where it stood in `after`.
        state: how it ended; None while it has not, or if it was removed before it could say so.
        result: JSON of a completed one; None if it was too much to keep it with the child: read the parent's.
    """

    parent: JobRef
    place: int
    state: State | None
    result: bytes | None


def staged(waiting: Sequence[Waiting]) -> Iterator[list[Waiting]]:
    """Jobs and their parents in runs that each fit one call of `stage`; a job of many parents comes in several."""
    run: list[Waiting] = []
    room = MOST_STAGED
    for job in waiting:
        for first in range(0, len(job.parents), MOST_STAGED):
            part = Waiting(job.id, job.parents[first : first + MOST_STAGED], first)
            if run and len(part.parents) + STAGING > room:
                yield run
                run, room = [], MOST_STAGED
            run.append(part)
            room -= len(part.parents) + STAGING
    if run:
        yield run


class Flowing(Verbs):
    """Stage, link, handover, deliver, tend, flow, revive."""

    def stage(self, queue: str, jobs: Sequence[Waiting], nonce: str) -> Call[None]:
        """Note the parents of jobs that will be enqueued next: one of `staged`. One nonce for all runs of a job."""
        rest: list[Arg] = []
        for job in jobs:
            rest += (job.id, job.first, len(job.parents), *map(str, job.parents))
        return self._script("stage", queue, nothing, rest, nonce=nonce)

    def link(self, queue: str, links: Sequence[Link]) -> Call[list[Linked]]:
        """Have parents of one queue tell their children how they ended; at most `MOST_LINKED`."""
        rest: list[Arg] = []
        for link in links:
            rest += (link.parent.id, str(link.child), link.life, link.flow)
        return self._script("link", queue, lambda reply: [_LINKED[letter] for letter in reply], rest)

    def handover(self, queue: str, told: Sequence[Told] = ()) -> Call[list[Told]]:
        """What parents of the queue have to tell their children, at most `MOST_TOLD`; `told` are those that were."""
        rest: list[Arg] = []
        for one in told:
            rest += (one.parent.id, str(one.child), one.life)
        args: dict[str, Arg] = {"most": MOST_TOLD, "max_bytes": BATCH_BYTES}
        return self._script("handover", queue, lambda reply: _read_told(queue, reply), rest, **args)

    def deliver(self, queue: str, told: Sequence[Told]) -> Call[list[Delivered]]:
        """Tell children of one queue. One of `deliveries`."""
        rest: list[Arg] = []
        for one in told:
            rest += (one.child.id, one.life, str(one.parent), one.how, one.result)
        return self._script("deliver", queue, lambda reply: [_DELIVERED[letter] for letter in reply], rest)

    def tend(self, queue: str, ids: Sequence[str] = ()) -> Call[tuple[bool, list[Link]]]:
        """Links to be made again, of jobs that have been blocked for a while; and whether to ask on at once.

        Of these jobs, if any are named, `REPLAYS_AT_ONCE` at most: links that were not made yet in their present life.
        """

        def parse(reply: Any) -> tuple[bool, list[Link]]:
            return bool(reply[0]), list(_read_links(queue, reply))

        return self._script("tend", queue, parse, ids, most=MOST_LINKED)

    def flow(self, queue: str, id: str, offset: int, count: int = MOST_LISTED) -> Call[FlowPage]:
        """Jobs of a flow in one queue, `count` of them from `offset` on."""

        def parse(reply: Any) -> FlowPage:
            jobs = []
            for at in range(1, len(reply), 4):
                job, state, reason, last = (part.decode() for part in reply[at : at + 4])
                jobs.append(FlowJob(queue, job, State(state), reason, last != "0"))
            return FlowPage(reply[0], jobs)

        return self._script("flow", queue, parse, id=id, offset=offset, count=min(count, MOST_LISTED))

    def revive(self, queue: str, ids: Sequence[str], nonce: str = "") -> Call[list[Relived]]:
        """Give jobs of a flow that failed or were cancelled another life. One word per job; `REPLAYS_AT_ONCE` at most.

        Args:
            queue: its name.
            ids: of the jobs.
            nonce: fresh for each retry of a flow: no call of it gives a job more than one, however often repeated.
        """
        return self._script("revive", queue, relived, ids, nonce=nonce)

    def pending(self, queue: str, id: str, count: int = 20) -> Call[list[JobRef]]:
        """The first `count` parents that a job waits for."""

        def parse(reply: Any) -> list[JobRef]:
            return [JobRef.parse(name.decode()) for name in reply]

        return self._plain(parse, "ZRANGE", self.keys(queue).pending(id), 0, count - 1)

    def result(self, queue: str, id: str) -> Call[bytes | None]:
        """JSON of what a job returned; None if it is not kept, or has none."""
        return self._plain(lambda reply: reply, "HGET", self.keys(queue).job(id), "result")

    def place(self, job: JobRef) -> Call[str | None]:
        """The flow a job is in, "" for none; None if there is no such job."""

        def parse(reply: Any) -> str | None:
            state, flow = reply
            return None if state is None else (flow or b"").decode()

        return self._plain(parse, "HMGET", self.keys(job.queue).job(job.id), "state", "flow")

    def parents(self, queue: str, id: str, cursor: int = 0) -> Call[tuple[int, list[ParentEnd]]]:
        """Some of a job's parents, and the cursor to ask on with, 0 after the last."""

        def parse(reply: Any) -> tuple[int, list[ParentEnd]]:
            cursor, fields = reply
            pairs = zip(fields[::2], fields[1::2], strict=True)
            return int(cursor), [_read_end(name.decode(), end) for name, end in pairs if b" " in name]

        return self._plain(parse, "HSCAN", self.keys(queue).parents(id), cursor, "COUNT", MOST_LISTED)


def relived(reply: Any) -> list[Relived]:
    """What became of each job, from letters."""
    return [_RELIVED[letter] for letter in reply]


def deliveries(told: Sequence[Told]) -> Iterator[tuple[str, Sequence[Told]]]:
    """What is to be told, by the children's queues, in runs that each fit one call of `deliver`."""
    by_queue: dict[str, list[Told]] = {}
    for one in told:
        by_queue.setdefault(one.child.queue, []).append(one)
    for queue, mine in by_queue.items():
        for run in runs(mine, MOST_TOLD, lambda one: len(one.result)):
            yield queue, run


def _read_told(queue: str, reply: Any) -> list[Told]:
    told: list[Told] = []
    at = 0
    while at < len(reply):
        id, how, result, count = reply[at : at + 4]
        parent = JobRef(queue, id.decode())
        end = at + 4 + 2 * count
        told += [
            Told(parent, JobRef.parse(child.decode()), int(life), how.decode(), result)
            for child, life in zip(reply[at + 4 : end : 2], reply[at + 5 : end : 2], strict=True)
        ]
        at = end
    return told


def _read_links(queue: str, reply: Any) -> Iterator[Link]:
    at = 1
    while at < len(reply):
        id, life, flow, count = reply[at : at + 4]
        for name in reply[at + 4 : at + 4 + count]:
            yield Link(JobRef.parse(name.decode()), JobRef(queue, id.decode()), life, flow.decode())
        at += 4 + count


def _read_end(name: str, end: bytes) -> ParentEnd:
    place, _, said = end.partition(b" ")
    how, result = said[:1].decode(), said[1:]
    kept = (result or b"null") if how == "c" else None
    return ParentEnd(JobRef.parse(name), int(place), _ENDS.get(how), kept)

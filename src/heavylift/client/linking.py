"""Jobs that wait for others, as their producers see to it: parents are noted before, children linked after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from heavylift.client.operations import Operations
from heavylift.client.plan import Plan, ask_all, ask_in_parts
from heavylift.errors import JobNotFound
from heavylift.job import new_id
from heavylift.options import JobOptions, JobRef
from heavylift.store.call import Call
from heavylift.store.flowing import Flowing, Link, Relived, Waiting, staged
from heavylift.store.handover import Trip, link, look_after
from heavylift.store.jobs import NewJob
from heavylift.store.letters import REPLAYS_AT_ONCE

T = TypeVar("T")

AT_ONCE = 500
"""Small calls sent together."""

STAGED_AT_ONCE = 20
"""Calls of `stage` sent together: each names hundreds of parents."""


def travel(trip: Trip[T], patience: float) -> Plan[T]:
    """Carry out a trip of the store."""
    try:
        calls = next(trip)
        while True:
            calls = trip.send((yield from ask_all(calls, patience)))
    except StopIteration as end:
        value: T = end.value
        return value


class Blocked:
    """Jobs that got another life and wait for parents.

    They are linked once all that are meant have theirs: a parent that still is as it ended would end its child again.
    """

    def __init__(self) -> None:
        self._ids: dict[str, list[str]] = {}

    def note(self, queue: str, ids: Sequence[str], words: Sequence[Relived]) -> None:
        """What became of these."""
        found = [id for id, word in zip(ids, words, strict=True) if word == "blocked"]
        if found:
            self._ids.setdefault(queue, []).extend(found)

    def link(self, verbs: Flowing, patience: float) -> Plan[None]:
        """Link them. What is missed here, a janitor makes up for."""
        for queue, ids in self._ids.items():
            for start in range(0, len(ids), REPLAYS_AT_ONCE):
                yield from travel(look_after(verbs, queue, ids[start : start + REPLAYS_AT_ONCE]), patience)


class Linking:
    """Plans that tie jobs to each other.

    Args:
        operations: the other plans, whose verbs and patience are used.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._jobs = operations.jobs
        self._patience = operations.patience

    def resolved(self, options: JobOptions) -> Plan[JobOptions]:
        """The options with the queues of all parents found, and the flow named.

        Raises:
            JobNotFound: one of the parents is not there (any more).
        """
        found = yield from self._operations.find_all(one for one in options.after if isinstance(one, str))
        parents = [JobRef(found[one], one) if isinstance(one, str) else one for one in options.after]
        flows: list[str] = []
        answers = yield from ask_in_parts([self._jobs.place(parent) for parent in parents], self._patience, AT_ONCE)
        for parent, flow in zip(parents, answers, strict=True):
            if flow is None:
                raise JobNotFound(f"after: no job {parent.id} in queue {parent.queue} (any more)")
            flows.append(flow)
        named = options.flow or flows[0] or parents[0].id
        return msgspec.structs.replace(options, after=tuple(parents), flow=named)

    def stage(self, jobs: Iterable[tuple[str, NewJob]]) -> Plan[None]:
        """Note the parents of jobs that will be enqueued next."""
        by_queue: dict[str, list[Waiting]] = {}
        for queue, job in jobs:
            if job.after:
                by_queue.setdefault(queue, []).append(Waiting(job.id, job.after))
        nonce = new_id()
        calls: list[Call[Any]] = []
        for queue, mine in by_queue.items():
            calls += [self._jobs.stage(queue, run, nonce) for run in staged(mine)]
        yield from ask_in_parts(calls, self._patience, STAGED_AT_ONCE)

    def link(self, jobs: Iterable[tuple[str, NewJob]]) -> Plan[None]:
        """Have parents tell these jobs how they end. What is missed here, a janitor makes up for."""
        links = [Link(parent, JobRef(queue, job.id), 0, job.flow) for queue, job in jobs for parent in job.after]
        for start in range(0, len(links), AT_ONCE * 10):
            yield from travel(link(self._jobs, links[start : start + AT_ONCE * 10]), self._patience)

"""Tells a running job how its parents have ended, with their results."""

from __future__ import annotations

from typing import Any

from heavylift.job import State
from heavylift.parents import MOST_BYTES, ParentSaid, ParentsAsked
from heavylift.store.flowing import ParentEnd
from heavylift.store.jobs import Jobs
from heavylift.worker.questions import Asker, Plan

AT_ONCE = 20
"""Results of parents read together, where they were too large to be kept with the child."""


def parents(jobs: Jobs, asker: Asker, _: ParentsAsked) -> Plan:
    """In the order of `after`; results as far as there is room."""
    found: dict[Any, ParentEnd] = {}
    cursor = -1
    while cursor:
        ((cursor, ends),) = yield [jobs.parents(asker.queue, asker.job, max(cursor, 0))]
        found.update((end.parent, end) for end in ends)
    ordered = sorted(found.values(), key=lambda end: end.place)
    results = {end.parent: end.result for end in ordered}
    room = MOST_BYTES - sum(len(result) for result in results.values() if result)
    missing = [end.parent for end in ordered if end.state is State.COMPLETED and end.result is None]
    left_out = set(missing)
    for start in range(0, len(missing), AT_ONCE):
        some = missing[start : start + AT_ONCE]
        if room <= 0:
            break
        replies = yield [jobs.result(parent.queue, parent.id) for parent in some]
        for parent, result in zip(some, replies, strict=True):
            if result is None:
                left_out.remove(parent)
            elif len(result) <= room:
                left_out.remove(parent)
                results[parent] = result
                room -= len(result)
    return [
        ParentSaid(end.parent.queue, end.parent.id, end.state, results[end.parent], end.parent in left_out)
        for end in ordered
    ]

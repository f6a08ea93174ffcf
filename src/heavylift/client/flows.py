"""Flows, as plans: all jobs of one flow, wherever they are; cancelling and retrying them; waiting for the end."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from heavylift.client.linking import Blocked, travel
from heavylift.client.operations import AT_ONCE, OUTAGE, Operations
from heavylift.client.plan import Plan, ask, ask_in_parts
from heavylift.client.watching import listen_until
from heavylift.errors import JobNotFound, ResultTimeout
from heavylift.job import new_id
from heavylift.options import JobRef
from heavylift.states import State, may
from heavylift.store.flowing import MOST_LISTED, RELIVED, FlowJob, ParentEnd
from heavylift.store.glance import ending
from heavylift.store.handover import hand_over
from heavylift.store.letters import REPLAYS_AT_ONCE

BY_PARENTS = ("parent_failed", "parents_completed")
"""Reasons that say: see the parents."""

ORDER = (State.BLOCKED, State.DELAYED, State.WAITING, State.ACTIVE)
"""In which to cancel: whoever waits goes before what it waits for."""


class Flows:
    """Plans for whole flows.

    Args:
        operations: the other plans, whose verbs and patience are used.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._jobs = operations.jobs
        self._patience = operations.patience

    def jobs(self, id: str) -> Plan[list[FlowJob]]:
        """All jobs of a flow that are kept, by their ids.

        Raises:
            JobNotFound: there are none (any more).
        """
        found: list[FlowJob] = []
        for queue in (yield from self._operations.queues()):
            offset, total = 0, 1
            while offset < total:
                page = yield from ask(self._jobs.flow(queue, id, offset), self._patience)
                found += page.jobs
                offset, total = offset + MOST_LISTED, page.total
        if not found:
            raise JobNotFound(f"no job of a flow {id} (any more)")
        return sorted(found, key=lambda job: job.id)

    def counts(self, id: str) -> Plan[dict[State, int]]:
        """How many of a flow's jobs are in each state; states without any are left out."""
        return _counts((yield from self.jobs(id)))

    def cancel(self, id: str) -> Plan[int]:
        """Cancel all jobs of a flow that have not ended. How many it were; running ones are asked to stop."""
        jobs = yield from self.jobs(id)
        cancelled = 0
        for state in ORDER:
            calls = [self._jobs.cancel(job.queue, job.id) for job in jobs if job.state is state]
            replies = yield from ask_in_parts(calls, self._patience, AT_ONCE)
            cancelled += sum(1 for reply in replies if reply and reply.how != "ended")
        yield from travel(hand_over(self._jobs, sorted({job.queue for job in jobs})), self._patience)
        return cancelled

    def retry(self, id: str) -> Plan[int]:
        """Give all jobs of a flow that did not complete another life. How many it were."""
        by_queue: dict[str, list[str]] = defaultdict(list)
        for job in (yield from self.jobs(id)):
            if may("revive", job.state):
                by_queue[job.queue].append(job.id)
        parts = [
            (queue, ids[start : start + REPLAYS_AT_ONCE])
            for queue, ids in by_queue.items()
            for start in range(0, len(ids), REPLAYS_AT_ONCE)
        ]
        nonce = new_id()
        calls = [self._jobs.revive(queue, ids, nonce) for queue, ids in parts]
        answers = yield from ask_in_parts(calls, self._patience, AT_ONCE)
        blocked = Blocked()
        for (queue, ids), words in zip(parts, answers, strict=True):
            blocked.note(queue, ids, words)
        yield from blocked.link(self._jobs, self._patience)
        return sum(words.count(word) for words in answers for word in RELIVED)

    def wait(self, id: str, timeout: float | None) -> Plan[dict[State, int]]:
        """How many of a flow's jobs ended in each way, once all have.

        Raises:
            ResultTimeout: they had not in time.
        """
        return _counts((yield from self._all_ended(id, timeout)))

    def _all_ended(self, id: str, timeout: float | None) -> Plan[list[FlowJob]]:
        """All jobs of a flow, once they have ended.

        Raises:
            ResultTimeout: they had not in time.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            jobs = yield from self.jobs(id)
            going = [job for job in jobs if not job.state.ended]
            if not going:
                return jobs
            one = next((job for job in reversed(going) if job.last), going[-1])
            look: Callable[[], Plan[bool | None]] = partial(self._ended, one, end)
            ended = yield from look()
            if ended is None and (end is None or time.monotonic() < end):
                channel = self._jobs.keys(one.queue).event_channel(one.id)
                ended = yield from listen_until([channel], look, self._operations.reread, end)
            if ended is None:
                raise ResultTimeout(f"flow {id}: {len(going)} jobs had not ended after {timeout:g} s; it goes on")

    def result(self, id: str, timeout: float | None) -> Plan[Any]:
        """What the last job of a flow returned; a list of it where nothing waits for several.

        Where that is an `on_failure` alone, which had nothing to do: what the jobs before it returned.

        Raises:
            JobFailed, JobCancelled: the first job that did not complete by itself. ResultTimeout: as `wait`.
        """
        jobs = yield from self._all_ended(id, timeout)
        culprits = [job for job in jobs if job.state is not State.COMPLETED and job.reason not in BY_PARENTS]
        wanted = culprits[:1] or [job for job in jobs if job.last and job.reason not in BY_PARENTS]
        if not wanted:
            wanted = yield from self._before_the_last(jobs)
        results: list[Any] = []
        for job in wanted:
            results += [(yield from self._operations.result(job.queue, job.id, Any, 0))]
        return results[0] if len(results) == 1 else results

    def _before_the_last(self, jobs: Sequence[FlowJob]) -> Plan[list[FlowJob]]:
        """The jobs that none waits for but the last, in the order in which those name them."""
        parents = yield from self._parents(jobs)
        by_place = {(job.queue, job.id): job for job in jobs}
        waited_for = {parent for job in jobs if not job.last for parent in parents[job]}
        before = dict.fromkeys(parent for job in jobs if job.last for parent in parents[job])
        kept = (by_place.get((parent.queue, parent.id)) for parent in before if parent not in waited_for)
        return [job for job in kept if job is not None]

    def _parents(self, jobs: Sequence[FlowJob]) -> Plan[dict[FlowJob, list[JobRef]]]:
        """The parents of each job, in its order."""
        ends: dict[FlowJob, dict[JobRef, ParentEnd]] = {job: {} for job in jobs}
        todo = dict.fromkeys(jobs, 0)
        while todo:
            calls = [self._jobs.parents(job.queue, job.id, cursor) for job, cursor in todo.items()]
            replies = yield from ask_in_parts(calls, self._patience, AT_ONCE)
            for job, (cursor, found) in zip(list(todo), replies, strict=True):
                ends[job].update((end.parent, end) for end in found)
                todo[job] = cursor
            todo = {job: cursor for job, cursor in todo.items() if cursor}
        return {job: sorted(found, key=lambda parent: found[parent].place) for job, found in ends.items()}

    def _ended(self, job: FlowJob, end: float | None) -> Plan[bool | None]:
        patience = OUTAGE if end is None else max(0.0, end - time.monotonic())
        found = yield from ask(ending(self._jobs.keys(job.queue), job.id), patience)
        return True if found is None or found.state.ended else None


def _counts(jobs: Iterable[FlowJob]) -> dict[State, int]:
    counts = Counter(job.state for job in jobs)
    return {state: counts[state] for state in State if state in counts}

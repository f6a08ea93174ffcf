"""Why a job does not run: what its queue says and what the workers say of themselves, made into reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from heavylift.client.operations import Operations, missing
from heavylift.client.overview import Overview, WorkerStatus
from heavylift.client.plan import Plan, ask, ask_all, or_raise
from heavylift.errors import HeavyliftError, ResultTimeout
from heavylift.job import State
from heavylift.options import JobRef
from heavylift.store.glance import Ending, ending
from heavylift.store.reading import read_blame
from heavylift.store.standing import Standing
from heavylift.why import (
    AllBusy,
    AllQuiet,
    Because,
    Debounced,
    Due,
    Ended,
    Full,
    HandlerUnknown,
    InLine,
    LaneDown,
    Lost,
    Overdue,
    Parent,
    Paused,
    RateSpent,
    Resting,
    RetryDue,
    Running,
    Staged,
    Unserved,
    WaitsForParents,
    Why,
)


def why(operations: Operations, queue: str, id: str) -> Plan[Why]:
    """Ask the job's queue, its parents' queues, and the workers; only as many as are needed.

    Raises:
        JobNotFound: there is no such job, nor is one about to be.
    """
    jobs, patience = operations.jobs, operations.patience
    found = yield from ask(jobs.why(queue, id), patience)
    if found is None:
        raise missing(queue, id)
    calls = [ending(jobs.keys(parent.queue), parent.id) for parent in found.parents]
    ends = (yield from ask_all(calls, patience)) if calls else []
    parents = [_parent(ref, or_raise(end)) for ref, end in zip(found.parents, ends, strict=True)]
    workers = (yield from Overview(operations).worker_states()) if needs_workers(found) else []
    return Why(queue, id, state_of(found), found.now, tuple(reasons(queue, found, parents, workers)))


def result(operations: Operations, queue: str, id: str, kind: Any, timeout: float | None) -> Plan[Any]:
    """As `Operations.result`; where the wait is over in vain, the error says what the job waits for itself.

    Not where nobody waited: who asks again and again needs no reasons.
    """
    try:
        return (yield from operations.result(queue, id, kind, timeout))
    except ResultTimeout as late:
        if not timeout:
            raise
        reasons = yield from _reasons_now(operations, queue, id)
        raise ResultTimeout(f"{late} ({reasons})" if reasons else str(late)) from None


def _reasons_now(operations: Operations, queue: str, id: str) -> Plan[str]:
    """In a few words; nothing if they cannot be had at once."""
    impatient = Operations(operations.jobs, 0.0, operations.reread, operations.max_payload)
    try:
        found = yield from why(impatient, queue, id)
    except HeavyliftError:
        return ""
    return "; ".join(map(str, found.reasons))


def _parent(ref: JobRef, end: Ending | None) -> Parent:
    return Parent(ref.queue, ref.id, None if end is None else end.state)


def state_of(found: Standing) -> State | None:
    """Where it is; None if it is not enqueued. What cannot be read is as good as failed."""
    if found.staged is not None:
        return None
    try:
        return State(found.job.get("state", ""))
    except ValueError:
        return State.FAILED


def needs_workers(found: Standing) -> bool:
    """Whether it matters who lives."""
    state = state_of(found)
    return state is not None and not state.ended and state is not State.ACTIVE


def reasons(
    queue: str, found: Standing, parents: Sequence[Parent], workers: Sequence[WorkerStatus]
) -> Iterator[Because]:
    """All reasons, what must be lifted first at the front."""
    state = state_of(found)
    if found.staged is not None:
        yield Staged(found.staged / 1000)
    elif state is State.ACTIVE:
        yield _running(found)
    elif state is None or state.ended:
        yield _ended(found, state or State.FAILED)
    else:
        if state is State.BLOCKED:
            yield WaitsForParents(tuple(parents), found.pending)
        elif state is State.DELAYED and found.ahead is None:
            yield _due(found)
        expires = found.number("expires")
        if expires and expires <= found.now and not found.number("starts"):
            yield Overdue(expires)
        yield from _of_queue(queue, found)
        yield from _of_workers(queue, found, workers)
        if found.lost:
            yield Lost()
        elif found.ahead is not None:
            yield InLine(found.ahead, found.exact, found.fair)


def _running(found: Standing) -> Running:
    return Running(
        worker=found.job.get("worker", ""),
        since=found.number("started_at"),
        attempt=found.number("starts"),
        stopping="cancel" in found.job,
        lost=found.lock_end is not None and found.lock_end <= found.now,
    )


def _ended(found: Standing, state: State) -> Ended:
    said = found.job
    return Ended(
        state=state,
        at=found.number("finished_at"),
        reason=said.get("reason", "") if said.get("state") in set(State) else "malformed",
        cause=said.get("cause", ""),
        message=found.last.message if found.last and state is State.FAILED else "",
        blame=read_blame(said.get("blame", "")) or "",
    )


def _due(found: Standing) -> Because:
    at = found.number("due")
    wait = max(0.0, (at - found.now) / 1000)
    starts = found.number("starts")
    if starts:
        last = found.last
        return RetryDue(at, wait, starts, last.cause if last else "", last.message if last else "")
    if found.job.get("unique", "").startswith("d."):
        return Debounced(at, wait, found.number("latest") or None)
    return Due(at, wait)


def _of_queue(queue: str, found: Standing) -> Iterator[Because]:
    if found.paused:
        yield Paused(queue)
    if found.rests_until is not None:
        yield Resting(queue, found.rests_until, (found.rests_until - found.now) / 1000)
    for full in found.full:
        group, key = _parts(full.place)
        yield Full(queue, full.limit, full.running, tuple(full.holders), group, key)
    for spent in found.spent:
        group, key = _parts(spent.place)
        wait = max(0.0, (spent.opens_at - found.now) / 1000)
        yield RateSpent(queue, spent.count, spent.period / 1000, spent.opens_at, wait, group, key)


def _parts(place: str) -> tuple[str | None, str | None]:
    group, slash, key = place.partition("/")
    return group if place else None, key if slash else None


def _of_workers(queue: str, found: Standing, workers: Sequence[WorkerStatus]) -> Iterator[Because]:
    """The first that holds; the others would follow from it. Who is free matters only to one that could run."""
    serving = [worker for worker in workers if queue in worker.queues]
    handler = found.job.get("handler", "")
    able = [worker for worker in serving if handler in worker.facts.get("handlers", [handler])]
    awake = [worker for worker in able if not worker.quiet]
    ready = [worker for worker in awake if _lane(worker, queue).get("ready", True)]
    if not serving:
        yield Unserved(queue)
    elif not able:
        yield HandlerUnknown(handler, queue)
    elif not awake:
        yield AllQuiet(tuple(worker.id for worker in able))
    elif not ready:
        yield LaneDown(tuple(worker.id for worker in awake), str(_lane(awake[0], queue).get("problem") or ""))
    elif found.ahead is not None and not any(_free(worker, queue) >= _needs(worker, queue) for worker in ready):
        places = sum(int(_lane(worker, queue).get("places", 0)) for worker in ready)
        said_ago = max(0.0, (found.now - max(worker.seen_at for worker in ready)) / 1000)
        needs, free = (max(of(worker, queue) for worker in ready) for of in (_needs, _free))
        yield AllBusy(len(ready), places, said_ago, needs, free)


def _free(worker: WorkerStatus, queue: str) -> int:
    return int(_lane(worker, queue).get("free", 1))


def _needs(worker: WorkerStatus, queue: str) -> int:
    """Places that a job of the queue takes: no more than there are, whatever it costs."""
    cost = int(worker.facts.get("costs", {}).get(queue, 1))
    return max(1, min(cost, int(_lane(worker, queue).get("places", cost))))


def _lane(worker: WorkerStatus, queue: str) -> Mapping[str, Any]:
    return worker.lanes.get(worker.queues[queue], {})

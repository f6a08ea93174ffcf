"""Flows as values: jobs and which of them wait for which. `Client.enqueue_flow` puts one in.

`chain`, `group` and `batch` make them and take each other's, so that `chain(a, group(b, c), d)` is a fan-out and a
fan-in. Parents stand before their children, so no circle can be made. Jobs of a flow are not `unique`: each is there
because others wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from heavylift.errors import InvalidArgument
from heavylift.job import JobSpec
from heavylift.options import OnParentFailure

MOST_JOBS = 100_000
MOST_LINKS = 200_000
"""Of one flow. Between two large groups a job in the middle makes a sum of links of what would be their product."""


@dataclass(frozen=True, slots=True)
class Node:
    """A job of a flow.

    Attributes:
        after: places of its parents, all before its own.
        on_parent_failure: what becomes of it when one of them does not complete, if the request does not say.
    """

    spec: JobSpec[Any]
    after: tuple[int, ...] = ()
    on_parent_failure: OnParentFailure | None = None


@dataclass(frozen=True, slots=True)
class FlowSpec:
    """A flow that has not been enqueued yet. Made by `chain`, `group` and `batch`.

    Attributes:
        nodes: its jobs, parents before children.
        last: places of those that what comes next in a `chain` waits for.
    """

    nodes: tuple[Node, ...]
    last: tuple[int, ...]


Step: TypeAlias = "JobSpec[Any] | FlowSpec"
"""What a flow is built of: a job, or a flow again."""


class _Builder:
    """Nodes put together."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._links = 0

    def add(self, step: Step, after: Sequence[int] = (), policy: OnParentFailure | None = None) -> tuple[int, ...]:
        """Put a step in; its first jobs wait for `after`. Places of its last ones."""
        start = len(self._nodes)
        for node in _flow(step).nodes:
            parents = tuple(start + place for place in node.after) or tuple(after)
            self._links += len(parents)
            self._nodes.append(replace(node, after=parents, on_parent_failure=node.on_parent_failure or policy))
            if len(self._nodes) > MOST_JOBS or self._links > MOST_LINKS:
                remedy = f"give at most {MOST_JOBS} jobs and {MOST_LINKS} links; put one job between two large groups"
                raise InvalidArgument("flow", f"{len(self._nodes)} jobs, {self._links} links", remedy)
        return tuple(start + place for place in _flow(step).last)

    def build(self, last: Iterable[int]) -> FlowSpec:
        """The flow."""
        return FlowSpec(tuple(self._nodes), tuple(last))


def _flow(step: Step) -> FlowSpec:
    if isinstance(step, FlowSpec):
        return step
    if not isinstance(step, JobSpec):
        raise InvalidArgument("flow", step, "give what handler.job(...) returns, or what chain, group or batch do")
    if step.options.after:
        raise InvalidArgument("after", step.options.after, "leave it out in a flow, which says who waits for whom")
    return FlowSpec((Node(step),), (0,))


def chain(*steps: Step) -> FlowSpec:
    """Each step after the one before: `chain(fetch.job(url), group(shrink.job(n) for n in range(9)), bind.job())`.

    A job after a group waits for all of it; each job of a group waits for what stands before the group.

    Raises:
        InvalidArgument: no steps, something that is none, or too many links.
    """
    if not steps:
        raise InvalidArgument("steps", steps, "give at least one")
    builder = _Builder()
    last: tuple[int, ...] = ()
    for step in steps:
        last = builder.add(step, last)
    return builder.build(last)


def group(jobs: Iterable[Step]) -> FlowSpec:
    """Steps that do not wait for each other.

    Raises:
        InvalidArgument: no jobs, something that is none, or too many.
    """
    builder = _Builder()
    last = [place for job in jobs for place in builder.add(job)]
    if not last:
        raise InvalidArgument("jobs", jobs, "give at least one")
    return builder.build(last)


def batch(jobs: Iterable[Step], *, on_complete: Step | None = None, on_failure: Step | None = None) -> FlowSpec:
    """A group with somebody to tell.

    Args:
        jobs: as for `group`.
        on_complete: runs once all have completed; cancelled if one did not.
        on_failure: runs once all have ended, if one of them did not complete; cancelled if all did. Its
            `ctx.parents` say which.

    Raises:
        InvalidArgument: as `group`.
    """
    builder = _Builder()
    all_of_them = builder.add(group(jobs))
    last = all_of_them
    if on_complete is not None:
        last = builder.add(on_complete, all_of_them, "cancel")
    if on_failure is not None:
        builder.add(on_failure, all_of_them, "require")
    return builder.build(last)

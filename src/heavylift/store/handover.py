"""How the end of a parent comes to its children in other queues: which calls follow which. Nothing is sent here.

A *trip* is a generator that yields calls to be sent together and is sent their answers, each of which may be the
`StoreError` it was refused with. It can be left at any point, and begun again by anybody: every call may be repeated.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeAlias, TypeVar

from heavylift.errors import StoreError
from heavylift.store.call import Call
from heavylift.store.flowing import GONE, MOST_LINKED, Flowing, Link, Told, deliveries
from heavylift.store.verbs import runs

T = TypeVar("T")

Trip: TypeAlias = Generator[Sequence[Call[Any]], list[Any], T]


def hand_over(verbs: Flowing, queues: Sequence[str]) -> Trip[None]:
    """Tell the children of all parents of these queues that have ended, and the children of those that ended by it."""
    todo = list(dict.fromkeys(queues))
    while todo:
        queue = todo.pop()
        for more in (yield from _hand_over(verbs, queue)):
            if more not in todo:
                todo.append(more)


def _hand_over(verbs: Flowing, queue: str) -> Trip[set[str]]:
    """The outbox of one queue. Queues whose outboxes have something now."""
    more: set[str] = set()
    told: list[Told] = []
    while True:
        (page,) = yield [verbs.handover(queue, told)]
        if isinstance(page, StoreError) or not page:
            return more
        told, filled = yield from deliver(verbs, page)
        more |= filled
        if not told:
            return more  # nobody could be told: the entries come up again by themselves


def deliver(verbs: Flowing, page: Sequence[Told]) -> Trip[tuple[list[Told], set[str]]]:
    """Tell these. Those that were told, and the queues whose outboxes have something now."""
    parts = list(deliveries(page))
    answers = yield [verbs.deliver(queue, run) for queue, run in parts]
    told: list[Told] = []
    filled: set[str] = set()
    for (queue, run), answer in zip(parts, answers, strict=True):
        if not isinstance(answer, StoreError):
            told += run
            if "outbox" in answer:
                filled.add(queue)
    return told, filled


def link(verbs: Flowing, links: Sequence[Link]) -> Trip[StoreError | None]:
    """Link children to their parents; tell those whose parent has ended or is gone. The first refusal, if any."""
    by_queue: dict[str, list[Link]] = {}
    for one in links:
        by_queue.setdefault(one.parent.queue, []).append(one)
    parts = [(queue, run) for queue, mine in by_queue.items() for run in runs(mine, MOST_LINKED, lambda _: 0)]
    if not parts:
        return None
    answers = yield [verbs.link(queue, run) for queue, run in parts]
    ended: list[str] = []
    gone: list[Told] = []
    trouble: StoreError | None = None
    for (queue, run), answer in zip(parts, answers, strict=True):
        if isinstance(answer, StoreError):
            trouble = trouble or answer
            continue
        if "ended" in answer:
            ended.append(queue)
        gone += [
            Told(one.parent, one.child, one.life, GONE) for one, how in zip(run, answer, strict=True) if how == "gone"
        ]
    if gone:
        ended += (yield from deliver(verbs, gone))[1]
    yield from hand_over(verbs, ended)
    return trouble


def look_after(verbs: Flowing, queue: str, ids: Sequence[str] = ()) -> Trip[None]:
    """Link jobs of the queue that have been blocked for a while to their parents, again; or those named, now."""
    more = True
    while more:
        (answer,) = yield [verbs.tend(queue, ids)]
        if isinstance(answer, StoreError):
            return
        more, links = answer
        yield from link(verbs, links)
    yield from hand_over(verbs, [queue])

"""How a job stands in its queue: all that the queue knows of why it does not run, in one read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from heavylift.errors import UNREADABLE
from heavylift.job import AttemptRecord
from heavylift.options import JobRef
from heavylift.store.call import Call
from heavylift.store.verbs import Verbs

NAMED = 10
"""Parents, and jobs that hold a place, that are named at most."""


@dataclass(frozen=True, slots=True)
class Full:
    """A place where as many run as may. `place`: "" the queue, `<group>`, or `<group>/<key>`."""

    place: str
    limit: int
    running: int
    holders: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Spent:
    """A place whose rate lets none start before `opens_at` (ms): `count` in `period` ms."""

    place: str
    opens_at: int
    count: int
    period: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What the queue says. Times in ms since 1970.

    Attributes:
        now: when it was said, by the server's clock.
        job: fields of the job's hash as they are stored.
        staged: ms for which its parents are still noted, if it is not enqueued yet.
        paused: the queue gives out no jobs, by hand; `rests_until`: because a handler asked for it.
        ahead: jobs that go before it, if it is in line; as far as is known, unless `exact`.
        fair: keys take turns.
        lost: it waits, but stands in no line.
        parents: some of those it waits for; `pending` says how many there are.
        lock_end: when the lock of an active one expires.
        last: its last attempt, if that is kept.
    """

    now: int = 0
    job: Mapping[str, str] = field(default_factory=dict)
    staged: int | None = None
    paused: bool = False
    rests_until: int | None = None
    full: Sequence[Full] = ()
    spent: Sequence[Spent] = ()
    ahead: int | None = None
    exact: bool = True
    fair: bool = False
    lost: bool = False
    parents: Sequence[JobRef] = ()
    pending: int = 0
    lock_end: int | None = None
    last: AttemptRecord | None = None

    def number(self, name: str) -> int:
        """A field of the job that is a number; 0 if it is none."""
        text = self.job.get(name, "")
        return int(text) if text.lstrip("-").isdigit() else 0


class Explaining(Verbs):
    """Why."""

    def why(self, queue: str, id: str) -> Call[Standing | None]:
        """How a job stands in its queue; None if there is no such job."""
        return self._script("why", queue, _read, id=id, most=NAMED)


def _read(reply: Any) -> Standing | None:
    if not reply:
        return None
    said: dict[str, list[str]] = {}
    for name, value in zip(reply[::2], reply[1::2], strict=True):
        said.setdefault(name.decode(), []).append(value.decode("utf-8", "replace"))
    single = {name: values[0] for name, values in said.items()}
    holders: dict[str, list[str]] = {}
    for one in said.get("holds", ()):
        place, _, holder = one.rpartition(" ")
        holders.setdefault(place, []).append(holder)

    def number(name: str) -> int | None:
        return int(float(single[name])) if name in single else None

    return Standing(
        now=number("now") or 0,
        job=single,
        staged=number("staged"),
        paused="paused" in single,
        rests_until=number("rests"),
        full=[_full(one, holders) for one in said.get("full", ())],
        spent=[_spent(one) for one in said.get("spent", ())],
        ahead=number("ahead"),
        exact=single.get("exact") != "0",
        fair="fair" in single,
        lost="lost" in single,
        parents=[JobRef.parse(one) for one in said.get("parent", ())],
        pending=number("pending") or 0,
        lock_end=number("lock"),
        last=_attempt(single.get("last")),
    )


def _full(text: str, holders: Mapping[str, Sequence[str]]) -> Full:
    limit, running, place = text.split(" ", 2)
    return Full(place, int(limit), int(running), tuple(holders.get(place, ())))


def _spent(text: str) -> Spent:
    opens, count, period, _, place = text.split(" ", 4)
    return Spent(place, int(opens), int(count), int(period))


def _attempt(text: str | None) -> AttemptRecord | None:
    try:
        return msgspec.json.decode(text, type=AttemptRecord) if text else None
    except UNREADABLE:
        return None

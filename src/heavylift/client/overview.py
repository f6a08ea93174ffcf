"""The state of queues, workers and server at one moment, as values and as plans that read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import msgspec

from heavylift.client.operations import AT_ONCE, Operations
from heavylift.client.plan import Plan, ask, ask_all, or_raise
from heavylift.errors import UNREADABLE, StoreError
from heavylift.limits import QueueLimits
from heavylift.store.facts import ServerFacts, server_facts
from heavylift.store.jobs import QueueCounts


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """One queue.

    Attributes:
        counts: jobs per state, whether it is paused, how long its first job has waited.
        lane: the lane that serves it, if a worker does.
        workers: ids of the living workers that serve it.
        limits: what is limited, and by what its jobs take turns.
    """

    name: str
    counts: QueueCounts
    lane: str | None = None
    workers: Sequence[str] = ()
    limits: QueueLimits = field(default_factory=QueueLimits)


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One living worker, as it last spoke of itself. Times in ms since 1970.

    Attributes:
        queues: the queues it serves, with their lanes.
        lanes: facts about its lanes: `places`, `free`, `busy`, `stuck`, `pids` ...
        running: ids of jobs it runs, at most 100.
        quiet: it takes no more jobs.
        facts: all that it said.
    """

    id: str
    host: str
    pid: int
    version: str
    started_at: int
    seen_at: int
    quiet: bool = False
    queues: Mapping[str, str] = field(default_factory=dict)
    lanes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    running: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def places(self) -> int:
        """Attempts it runs at once, over its lanes: slots and places."""
        return sum(int(lane.get("places", 0)) for lane in self.lanes.values())


@dataclass(frozen=True, slots=True)
class Status:
    """All queues, all living workers and the server, at one moment."""

    queues: Sequence[QueueStatus]
    workers: Sequence[WorkerStatus]
    server: ServerFacts


class Overview:
    """Plans that read how things stand.

    Args:
        operations: the other plans, whose verbs and patience are used.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._jobs = operations.jobs
        self._patience = operations.patience

    def status(self) -> Plan[Status]:
        """Queues, workers and server."""
        server: ServerFacts = yield from ask(server_facts(), self._patience)
        workers = yield from self.worker_states()
        names = sorted({*(yield from self._operations.queues()), *(name for w in workers for name in w.queues)})
        queues: list[QueueStatus] = []
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            reads = [read(name) for name in some for read in (self._jobs.counts, self._jobs.limits)]
            found = [or_raise(one) for one in (yield from ask_all(reads, self._patience))]
            queues += map(_queue, some, found[::2], found[1::2], repeat(workers))
        return Status(queues, workers, server)

    def worker_states(self) -> Plan[list[WorkerStatus]]:
        """All living workers, those seen last first."""
        return [_worker(facts) for facts in (yield from self.workers())]

    def workers(self) -> Plan[list[dict[str, Any]]]:
        """What each living worker says about itself, those seen last first."""
        seen = yield from ask(self._jobs.workers(), self._patience)
        living: list[dict[str, Any]] = []
        for start in range(0, len(seen), AT_ONCE):
            some = seen[start : start + AT_ONCE]
            said = yield from ask_all([self._jobs.worker_info(worker.id) for worker in some], self._patience)
            for worker, info in zip(some, said, strict=True):
                if not isinstance(info, StoreError) and info:
                    living.append(_facts(info) | {"id": worker.id, "seen_at": worker.seen_at})
        return living


_WORDS = frozenset({"id", "host", "version"})
"""Facts that are never anything but text."""


def _facts(said: Mapping[str, str]) -> dict[str, Any]:
    """What a worker said, its numbers and JSON decoded."""
    facts: dict[str, Any] = dict(said)
    for name, text in said.items():
        if name not in _WORDS:
            try:
                facts[name] = msgspec.json.decode(text)
            except UNREADABLE:
                pass
    return facts


def _worker(facts: Mapping[str, Any]) -> WorkerStatus:
    def one(name: str, kind: Any, otherwise: Any) -> Any:
        value = facts.get(name, otherwise)
        return value if isinstance(value, kind) else otherwise

    return WorkerStatus(
        id=facts["id"],
        host=one("host", str, ""),
        pid=one("pid", int, 0),
        version=one("version", str, ""),
        started_at=one("started_at", int, 0),
        seen_at=facts["seen_at"],
        quiet=bool(one("quiet", int, 0)),
        queues=one("queues", dict, {}),
        lanes=one("lanes", dict, {}),
        running=one("running", list, []),
        facts=facts,
    )


def _queue(name: str, counts: QueueCounts, limits: QueueLimits, workers: Sequence[WorkerStatus]) -> QueueStatus:
    serving = [worker for worker in workers if name in worker.queues]
    lane = serving[0].queues[name] if serving else None
    return QueueStatus(name, counts, lane, [worker.id for worker in serving], limits)

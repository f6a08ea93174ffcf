"""Dead letters, as plans: listing them and giving them another life, by id or by what they have in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from heavylift.client.operations import AT_ONCE, Operations
from heavylift.client.plan import Plan, ask, ask_all, or_raise
from heavylift.errors import InvalidArgument
from heavylift.job import JobRecord, State
from heavylift.store.glance import glance

PAGE = 1000
"""Dead letters listed at once at most."""


@dataclass(frozen=True, slots=True)
class Which:
    """Which dead letters: of one queue, with a reason, of a handler; None leaves it open."""

    queue: str | None = None
    reason: str | None = None
    handler: str | None = None

    @property
    def all_of_queue(self) -> bool:
        """The jobs themselves need not be read."""
        return self.reason is None and self.handler is None

    def fits(self, record: JobRecord | None) -> bool:
        """True if a job is meant."""
        return (
            record is not None
            and record.state is State.FAILED
            and self.reason in (None, record.reason)
            and self.handler in (None, record.handler)
        )


class Repairing:
    """Plans for dead letters.

    Args:
        operations: the other plans, whose verbs and patience are used.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._jobs = operations.jobs
        self._patience = operations.patience

    def failed(self, which: Which, offset: int, limit: int) -> Plan[list[JobRecord]]:
        """Dead letters, those that ended last first: `limit` of them after the first `offset`."""
        for name, value, most in (("offset", offset, 1_000_000), ("limit", limit, PAGE)):
            if not isinstance(value, int) or not 0 <= value <= most:
                raise InvalidArgument(name, value, f"give a whole number, 0 to {most}")
        found: list[JobRecord] = []
        for queue in (yield from self._operations.named(which.queue)):
            found += yield from self._newest(queue, which, offset + limit)
        found.sort(key=lambda record: record.finished_at or 0, reverse=True)
        wanted = found[offset : offset + limit]
        records: list[JobRecord] = []
        for start in range(0, len(wanted), AT_ONCE):
            calls = [self._jobs.job(record.queue, record.id) for record in wanted[start : start + AT_ONCE]]
            answers = yield from ask_all(calls, self._patience)
            records += [record for answer in answers if (record := or_raise(answer)) is not None]
        return records

    def replay(self, ids: Sequence[str], which: Which) -> Plan[int]:
        """Put dead letters back in line with fresh counters, by id, or all that are meant. How many it were."""
        if ids:
            return (yield from self._replay_ids(ids, which.queue))
        if which == Which():
            raise InvalidArgument("ids", ids, "give ids, or say which: by queue, reason or handler")
        replayed = 0
        for queue in (yield from self._operations.named(which.queue)):
            replayed += yield from self._replay_queue(queue, which)
        return replayed

    def _replay_ids(self, ids: Sequence[str], queue: str | None) -> Plan[int]:
        by_queue: dict[str, list[str]] = defaultdict(list)
        for id in ids:
            by_queue[(yield from self._operations.find(id, queue))].append(id)
        replayed = 0
        for name, mine in by_queue.items():
            for start in range(0, len(mine), AT_ONCE):
                words = yield from ask(self._jobs.replay(name, mine[start : start + AT_ONCE]), self._patience)
                replayed += words.count("ok")
        return replayed

    def _replay_queue(self, queue: str, which: Which) -> Plan[int]:
        """Oldest first, and no more than there were at the beginning: one that fails again stays failed."""
        left: int = (yield from ask(self._jobs.counts(queue), self._patience)).failed
        replayed = stayed = 0
        while left > 0:
            ids = yield from ask(self._jobs.page(queue, State.FAILED, stayed, min(AT_ONCE, left)), self._patience)
            if not ids:
                break
            left -= len(ids)
            chosen = ids if which.all_of_queue else (yield from self._fitting(queue, ids, which))
            words = (yield from ask(self._jobs.replay(queue, chosen), self._patience)) if chosen else []
            replayed += words.count("ok")
            stayed += len(ids) - words.count("ok")
        return replayed

    def _newest(self, queue: str, which: Which, most: int) -> Plan[list[JobRecord]]:
        found: list[JobRecord] = []
        offset = 0
        while len(found) < most:
            page = self._jobs.page(queue, State.FAILED, offset, AT_ONCE, newest_first=True)
            ids = yield from ask(page, self._patience)
            records = yield from self._glances(queue, ids)
            found += [record for record in records if record is not None and which.fits(record)]
            offset += len(ids)
            if len(ids) < AT_ONCE:
                break
        return found[:most]

    def _fitting(self, queue: str, ids: Sequence[str], which: Which) -> Plan[list[str]]:
        records = yield from self._glances(queue, ids)
        return [record.id for record in records if record is not None and which.fits(record)]

    def _glances(self, queue: str, ids: Sequence[str]) -> Plan[list[JobRecord | None]]:
        keys = self._jobs.keys(queue)
        answers = (yield from ask_all([glance(keys, id) for id in ids], self._patience)) if ids else []
        return [or_raise(answer) for answer in answers]

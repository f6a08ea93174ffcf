"""Verbs that only read: counts, one job, pages of jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from heavylift.errors import UNREADABLE
from heavylift.job import AttemptRecord, Counters, Envelope, JobRecord, Progress, State
from heavylift.redaction import redacted_json
from heavylift.store.call import Call
from heavylift.store.verbs import Verbs


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many jobs of a queue are in each state, at one moment. Age of the first in line, time until the next delayed
    one is due, and how much longer the queue rests because a handler asked for it, in ms."""

    waiting: int
    delayed: int
    blocked: int
    active: int
    completed: int
    failed: int
    cancelled: int
    paused: bool
    oldest_waiting_ms: int | None
    next_due_ms: int | None = None
    held_ms: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """Jobs that ended in one way, by their ends.

    Attributes:
        now: Redis's time (ms).
        ends: ids, and when each ended (ms).
    """

    now: int
    ends: list[tuple[str, int]]


_SIZES = tuple(map(str, State))


class Reading(Verbs):
    """Counts, records and pages."""

    def counts(self, queue: str) -> Call[QueueCounts]:
        """How many jobs are in each state, whether the queue is paused, how long its first job has waited."""

        def parse(reply: Any) -> QueueCounts:
            sizes = dict(zip(_SIZES, reply, strict=False))
            paused, age, due, held = reply[len(_SIZES) :]
            return QueueCounts(
                **sizes,
                paused=bool(paused),
                oldest_waiting_ms=None if age < 0 else age,
                next_due_ms=None if due < 0 else due,
                held_ms=held,
            )

        return self._script("counts", queue, parse)

    def job(self, queue: str, id: str) -> Call[JobRecord | None]:
        """All that is known about one job; None if there is none."""
        return self._plain(lambda reply: read_record(id, queue, reply), "HGETALL", self.keys(queue).job(id))

    def raw(self, queue: str, id: str) -> Call[dict[bytes, bytes]]:
        """The job's hash as it stands in Redis; empty if there is none."""
        return self._plain(_pairs, "HGETALL", self.keys(queue).job(id))

    def page(
        self, queue: str, state: State, offset: int = 0, count: int = 100, *, newest_first: bool = False
    ) -> Call[list[str]]:
        """Ids of jobs in one state, `count` from `offset` on. Sorted by due time, end, or (waiting) turn."""

        def parse(reply: Any) -> list[str]:
            return [id.decode() for id in reply]

        return self._script(
            "page", queue, parse, state=str(state), offset=offset, count=count, newest=int(newest_first)
        )

    def ended(self, queue: str, state: State, since: int, offset: int, count: int) -> Call[Ended]:
        """Jobs that ended in this way at `since` (ms) or later, the earliest first, `count` from `offset` on."""

        def parse(reply: Any) -> Ended:
            now, found = reply
            pairs = zip(found[::2], found[1::2], strict=True)
            return Ended(int(now), [(id.decode(), int(float(at))) for id, at in pairs])

        return self._script("ended", queue, parse, state=str(state), since=since, offset=offset, count=count)


def _pairs(reply: Any) -> dict[bytes, bytes]:
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def read_record(id: str, queue: str, reply: Any) -> JobRecord | None:
    """A job's hash as a value. Fields that cannot be read are left out rather than hide the rest."""
    stored = _pairs(reply)
    if not stored:
        return None
    envelope, original = _envelope(stored.get(b"spec")), _envelope(stored.get(b"original"))
    numbers = {name: _number(stored.get(name.encode())) for name in _NUMBERS}
    return JobRecord(
        id=id,
        queue=queue,
        state=_state(stored.get(b"state")),
        handler=_text(stored, b"handler") or (envelope.handler if envelope else ""),
        args=_decoded(envelope.args, Any) if envelope else None,
        options=envelope,
        priority=numbers["prio"] or 0,
        counters=Counters(*(numbers[name] or 0 for name in _COUNTERS)),
        enqueued_at=numbers["enqueued_at"] or (envelope.enqueued_at if envelope else 0),
        due_at=numbers["due"],
        started_at=numbers["started_at"],
        finished_at=numbers["finished_at"],
        worker=_text(stored, b"worker"),
        progress=_decoded(stored.get(b"progress"), Progress),
        result=_decoded(stored.get(b"result"), Any),
        reason=_text(stored, b"reason"),
        attempts=_attempts(stored),
        cancel_requested=b"cancel" in stored,
        original_args=_decoded(original.args, Any) if original else None,
        flow=_text(stored, b"flow"),
        blame=_blame(stored),
    )


_COUNTERS = ("starts", "attempts", "crashes", "interruptions", "unknown", "unbegun", "overcome")
_NUMBERS = (*_COUNTERS, "prio", "enqueued_at", "due", "started_at", "finished_at")


def _envelope(raw: bytes | None) -> Envelope | None:
    """An envelope without its secrets."""
    envelope: Envelope | None = _decoded(raw, Envelope)
    if envelope and envelope.secret:
        return msgspec.structs.replace(envelope, args=redacted_json(envelope.args, envelope.secret))
    return envelope


def _attempts(stored: dict[bytes, bytes]) -> list[AttemptRecord]:
    found = (_decoded(value, AttemptRecord) for name, value in stored.items() if name.startswith(b"attempt:"))
    return sorted((record for record in found if record), key=lambda record: record.number)


def _state(raw: bytes | None) -> State:
    try:
        return State((raw or b"").decode())
    except ValueError:
        return State.FAILED  # nothing else it could be: the next claim puts it into the dead letters


def _number(raw: bytes | None) -> int | None:
    try:
        return int(float(raw)) if raw else None
    except (ValueError, OverflowError):
        return None


def _text(stored: dict[bytes, bytes], name: bytes) -> str | None:
    return stored.get(name, b"").decode("utf-8", "replace") or None


_HOW = {"f": "failed", "x": "was cancelled", "g": "is gone"}


def _blame(stored: dict[bytes, bytes]) -> str | None:
    return read_blame(_text(stored, b"blame") or "")


def read_blame(text: str) -> str | None:
    """Which parent has ended a job, and how; None if none has."""
    said, _, how = text.rpartition(" ")
    return f"{said} {_HOW.get(how, how)}" if said else None


def _decoded(raw: Any, kind: Any) -> Any:
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except UNREADABLE:
        return None

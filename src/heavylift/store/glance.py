"""Small reads of one job, for those who look often: without its arguments and past attempts, which may be large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from heavylift.job import JobRecord, State
from heavylift.store.call import Call
from heavylift.store.keys import Keys
from heavylift.store.reading import read_record

_GLANCE = (
    *("state", "handler", "reason", "worker", "prio", "progress", "cancel"),
    *("enqueued_at", "due", "started_at", "finished_at"),
    *("starts", "attempts", "crashes", "interruptions", "unknown", "unbegun", "overcome"),
)


def glance(keys: Keys, id: str) -> Call[JobRecord | None]:
    """A job's record but for its arguments, result and attempts; None if there is none."""

    def parse(reply: Any) -> JobRecord | None:
        pairs = zip(_GLANCE, reply, strict=True)
        return read_record(id, keys.queue, {name.encode(): value for name, value in pairs if value is not None})

    key = keys.job(id)
    return Call((key,), ("HMGET", key, *_GLANCE), parse)


@dataclass(frozen=True, slots=True)
class Ending:
    """How far a job is, for whoever waits for its result. `result` is JSON, of a completed job."""

    state: State
    result: bytes | None


def ending(keys: Keys, id: str) -> Call[Ending | None]:
    """A job's state, with the result of a completed one; None if there is none."""

    def parse(reply: Any) -> Ending | None:
        state, result = reply
        return None if state is None else Ending(State(state.decode()), result)

    key = keys.job(id)
    return Call((key,), ("HMGET", key, "state", "result"), parse)

"""What watchers are told. Events are hints sent over pub/sub; the truth is the job in Redis.

The scripts write events as JSON, one message per event, on the channel of the job
(`<prefix>:{<queue>}:job:<id>`); whoever watches a whole queue subscribes to the pattern.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from heavylift.job import Progress
from heavylift.states import ENDED


class Kind(StrEnum):
    """What happened. The first seven are changes of state, named by the state that was entered."""

    WAITING = "waiting"
    DELAYED = "delayed"
    BLOCKED = "blocked"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PROGRESS = "progress"
    STALLED = "stalled"
    REMOVED = "removed"

    @property
    def final(self) -> bool:
        """True if the job has ended with this event."""
        return self in FINAL


FINAL = frozenset({*(Kind(state) for state in ENDED), Kind.REMOVED})


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message. `at` in ms since 1970 by the Redis server's clock.

    `detail` is the reason of a failure, the cause of a retry, or the worker of an active job.
    """

    event: Kind
    job: str
    queue: str
    at: int
    detail: str = ""
    due: int | None = None
    progress: Progress | None = None


_decoder = msgspec.json.Decoder(Event)


def decode(message: bytes) -> Event:
    """Parse one pub/sub message.

    Raises:
        msgspec.ValidationError: it is not an event (a newer or foreign sender); watchers skip it.
    """
    return _decoder.decode(message)

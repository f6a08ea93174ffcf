"""What a job is, as values: what is stored of it and what is read back.

Times on the wire are whole milliseconds since 1970 by the Redis server's clock; in the API they are seconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import getrandbits
from typing import Any, Generic, TypeVar

import msgspec

from heavylift.errors import InvalidArgument
from heavylift.options import NAME, Backoff, JobOptions
from heavylift.redaction import redacted
from heavylift.states import State as State

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


ENVELOPE_VERSION = 1
"""The newest that is understood here."""


class Reason(StrEnum):
    """Why a job is in the dead letters."""

    EXHAUSTED = "exhausted"
    REJECTED = "rejected"
    INVALID = "invalid"
    UNKNOWN_HANDLER = "unknown_handler"
    TOO_NEW = "too_new"
    POISON = "poison"
    IN_DOUBT = "in_doubt"
    EXPIRED = "expired"
    MALFORMED = "malformed"
    PARENT_FAILED = "parent_failed"


@dataclass(frozen=True, slots=True)
class JobSpec(Generic[R_co]):
    """A request that has not been enqueued yet: which handler, with what, and how.

    `resize.job(...)` makes one that type checkers know the result type of. Where the handler's code is not
    installed, make it by hand: `JobSpec("resize", {"source": "a.jpg", "width": 800}, queue="images")`.

    Attributes:
        encoded: the arguments as JSON, where they have been checked against the handler's signature already.
        returns: the type the handler returns, where it is known.
    """

    handler: str
    args: Mapping[str, Any] = field(default_factory=dict)
    queue: str = "default"
    options: JobOptions = field(default_factory=JobOptions)
    encoded: bytes | None = field(default=None, repr=False, compare=False)
    returns: Any = field(default=Any, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, value in (("handler", self.handler), ("queue", self.queue)):
            if not isinstance(value, str) or not NAME.fullmatch(value):
                raise InvalidArgument(name, value, "use 1 to 100 letters, digits and _ . -")

    def with_options(self, options: JobOptions) -> JobSpec[R_co]:
        """The same request with these options over its own: a step of a flow that is to wait, or to go elsewhere.

        `resize.job("a.jpg").with_options(JobOptions(priority=-5, delay=60))`. They are checked when it is enqueued.
        """
        return replace(self, options=self.options.merged(options))

    def __repr__(self) -> str:
        args = redacted(self.args, self.options.secret)
        return f"JobSpec({self.handler!r}, {args!r}, queue={self.queue!r}, options={self.options!r})"


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is stored of a request, written once by the producer, never changed, opaque to the scripts.

    Part of the wire contract (JSON). Unknown fields of a newer producer are kept, as the bytes are.

    Attributes:
        enqueued_at: ms since 1970, by the producer's clock; for the job of a schedule, its tick.
        timeout, grace, keep, keep_failed: seconds.
        v: what a worker must understand to run it; a worker that does not leaves it to another. Raised only where
            running it without would be wrong.
    """

    handler: str
    args: msgspec.Raw = msgspec.Raw(b"{}")
    enqueued_at: int = 0
    retries: int | None = None
    backoff: Backoff | None = None
    timeout: float | None = None
    grace: float | None = None
    keep: float | None = None
    keep_failed: float | None = None
    tags: tuple[str, ...] = ()
    correlation_id: str | None = None
    secret: tuple[str, ...] = ()
    flow: str | None = None
    after: int = 0
    carrier: dict[str, str] | None = None
    v: int = ENVELOPE_VERSION


class Counters(msgspec.Struct, frozen=True):
    """How often a job was started, and how those starts ended. Kept apart on purpose.

    Attributes:
        starts: times it was claimed.
        attempts: failures of the handler itself; what `retries` counts.
        crashes: its process or its worker died.
        interruptions: taken away through no fault of its own; free.
        unknown: claimed by workers that did not know its handler, or were too old for it.
        unbegun: its process ended, or was ended, before its handler was called.
        overcome: of the crashes, those before the last checkpoint that was new: it has got on since.
    """

    starts: int = 0
    attempts: int = 0
    crashes: int = 0
    interruptions: int = 0
    unknown: int = 0
    unbegun: int = 0
    overcome: int = 0


class ClaimedJob(msgspec.Struct, frozen=True):
    """A job as a worker got it: with its lock (`token`) and all that an attempt needs. One read per job.

    Attributes:
        spec: the stored envelope, JSON.
        checkpoint: last state the handler saved, JSON, if any.
        previous: for a job taken over, the worker that held it.
        started_at: when this start began, ms since 1970 by the Redis server's clock.
    """

    id: str
    queue: str
    token: str
    spec: bytes
    counters: Counters
    checkpoint: bytes | None = None
    previous: str | None = None
    started_at: int = 0


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run of a job, as kept on it (the last 20). Times in ms since 1970."""

    number: int
    worker: str
    started_at: int
    ended_at: int
    cause: str
    error: str = ""
    message: str = ""
    traceback: str = ""
    fingerprint: str = ""
    log: tuple[str, ...] = ()


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a job is.

    Attributes:
        fraction: 0 to 1, or None if only counts or a message are known.
        done, total: the counts it was made from, if any.
        message: free text.
    """

    fraction: float | None = None
    done: float | None = None
    total: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """All that is known about one job, as read at one moment. Times in ms since 1970, None if not yet.

    Attributes:
        original_args: the arguments it came with, if it was replayed with others.
        flow: id of the flow it is in.
        blame: queue and id of the parent that ended it by not completing, and how that ended.
    """

    id: str
    queue: str
    state: State
    handler: str
    args: Any
    options: Envelope | None
    priority: int
    counters: Counters
    enqueued_at: int
    due_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    worker: str | None = None
    progress: Progress | None = None
    result: Any = None
    reason: str | None = None
    attempts: Sequence[AttemptRecord] = ()
    cancel_requested: bool = False
    original_args: Any = None
    flow: str | None = None
    blame: str | None = None


def new_id() -> str:
    """A fresh job id: 27 hexadecimal characters, sorts by time to the millisecond, 64 random bits behind it."""
    return f"{time.time_ns() // 1_000_000:011x}{getrandbits(64):016x}"

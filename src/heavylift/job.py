"""What a job is, as values: its states, its options, what is stored of it and what is read back.

Times on the wire are whole milliseconds since 1970 by the Redis server's clock; in the API they are seconds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from random import getrandbits
from typing import Any, Generic, Literal, TypeVar

import msgspec

from heavylift.errors import InvalidArgument

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

PRIORITY_LIMIT = 1000
"""Priorities lie within ± this, so that rank stays exact in a double (see `store/lua`)."""

NAME = re.compile(r"[A-Za-z0-9_.\-]{1,100}")
"""Handlers and queues: they stand in keys, channels, labels and file names."""

ID = re.compile(r"[A-Za-z0-9_.:@\-]{1,200}")
"""Job ids: nothing that needs escaping in JSON, keys or a shell."""


class State(StrEnum):
    """Where a job is. *Stalled* is an event, not a state."""

    WAITING = "waiting"
    DELAYED = "delayed"
    BLOCKED = "blocked"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True if the job will not change its state by itself any more."""
        return self in ENDED


ENDED = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})


class Reason(StrEnum):
    """Why a job is in the dead letters."""

    EXHAUSTED = "exhausted"
    REJECTED = "rejected"
    INVALID = "invalid"
    UNKNOWN_HANDLER = "unknown_handler"
    POISON = "poison"
    IN_DOUBT = "in_doubt"
    EXPIRED = "expired"
    MALFORMED = "malformed"
    PARENT_FAILED = "parent_failed"


class Backoff(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long to wait before the next attempt, in seconds.

    Attributes:
        initial: the wait after the first failure.
        factor: each further wait is this many times longer; 1 for a fixed wait.
        cap: no wait is longer.
        jitter: 0 to 1, the part of each wait that is random; spreads a crowd of retries.
        delays: an explicit list instead; the last one repeats.
    """

    initial: float = 1.0
    factor: float = 2.0
    cap: float = 600.0
    jitter: float = 0.5
    delays: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.initial >= 0:
            raise InvalidArgument("backoff.initial", self.initial, "give seconds, zero or more")
        if not self.factor >= 1:
            raise InvalidArgument("backoff.factor", self.factor, "give 1 (fixed) or more")
        if not self.cap >= 0:
            raise InvalidArgument("backoff.cap", self.cap, "give seconds, zero or more")
        if not 0 <= self.jitter <= 1:
            raise InvalidArgument("backoff.jitter", self.jitter, "give a part between 0 and 1")
        if self.delays is not None and (not self.delays or min(self.delays) < 0):
            raise InvalidArgument("backoff.delays", self.delays, "give at least one wait, none negative")

    @classmethod
    def of(cls, value: Backoff | float | Sequence[float]) -> Backoff:
        """A backoff from its short forms: a number is a fixed wait, a list gives each wait. Neither is jittered.

        Raises:
            InvalidArgument: it is none of these, or out of range.
        """
        if isinstance(value, Backoff):
            return value
        listed = [value] if isinstance(value, (int, float)) else value
        if not isinstance(listed, (list, tuple)) or not all(_is_wait(wait) for wait in listed):
            raise InvalidArgument("backoff", value, "give a Backoff, seconds, or a list of seconds")
        return cls(delays=tuple(float(wait) for wait in listed), jitter=0.0)


def _is_wait(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e10


OnLostContact = Literal["stop", "finish"]


class JobOptions(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Everything that can be said about one job beside its arguments. None means: not said.

    The same fields are defaults on `@handler` (where they make sense there) and options of `enqueue`.
    """

    id: str | None = None
    queue: str | None = None
    delay: float | timedelta | None = None
    at: datetime | None = None
    priority: int | None = None
    group: str | None = None
    key: str | None = None
    expires: float | timedelta | None = None
    retries: int | None = None
    backoff: Backoff | None = None
    timeout: float | None = None
    grace: float | None = None
    keep: float | timedelta | None = None
    tags: tuple[str, ...] = ()
    correlation_id: str | None = None

    def merged(self, over: JobOptions) -> JobOptions:
        """These options with what `over` says put on top."""
        said = {name: value for name in self.__struct_fields__ if (value := getattr(over, name)) not in (None, ())}
        return msgspec.structs.replace(self, **said) if said else self


def seconds(field_name: str, value: float | timedelta) -> float:
    """A duration as seconds; refuses negatives, NaN and booleans by name."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < 1e10:
        raise InvalidArgument(field_name, value, "give seconds (zero or more) or a timedelta")
    return float(number)


def check_options(options: JobOptions) -> None:
    """Refuse what cannot be meant, by name and value.

    Raises:
        InvalidArgument: the first option that is wrong.
    """
    for name in ("delay", "expires", "keep"):
        if (value := getattr(options, name)) is not None:
            seconds(name, value)
    for name in ("timeout", "grace"):
        if (value := getattr(options, name)) is not None and (isinstance(value, timedelta) or seconds(name, value) < 0):
            raise InvalidArgument(name, value, "give seconds as a number")
    if options.timeout is not None and options.timeout <= 0:
        raise InvalidArgument("timeout", options.timeout, "give seconds above zero, or leave it out")
    if options.at is not None:
        _check_at(options)
    if options.priority is not None and not (_whole(options.priority) and abs(options.priority) <= PRIORITY_LIMIT):
        raise InvalidArgument("priority", options.priority, f"give a whole number within ±{PRIORITY_LIMIT}")
    if options.retries is not None and not (_whole(options.retries) and options.retries >= 0):
        raise InvalidArgument("retries", options.retries, "give a whole number, zero or more")
    if options.backoff is not None and not isinstance(options.backoff, Backoff):
        raise InvalidArgument("backoff", options.backoff, "give a Backoff; Backoff.of makes one of seconds or a list")
    _check_names(options)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_at(options: JobOptions) -> None:
    if options.delay is not None:
        raise InvalidArgument("at", options.at, "give either delay or at, not both")
    if not isinstance(options.at, datetime) or options.at.tzinfo is None:
        raise InvalidArgument("at", options.at, "give a datetime with a time zone")


def _check_names(options: JobOptions) -> None:
    for name, form, remedy in (
        ("id", ID, "use 1 to 200 letters, digits and _ . : @ -"),
        ("queue", NAME, "use 1 to 100 letters, digits and _ . -"),
        ("group", NAME, "use 1 to 100 letters, digits and _ . -"),
        ("key", ID, "use 1 to 200 letters, digits and _ . : @ -"),
    ):
        value = getattr(options, name)
        if value is not None and not (isinstance(value, str) and form.fullmatch(value)):
            raise InvalidArgument(name, value, remedy)
    if not isinstance(options.tags, (tuple, list)):
        raise InvalidArgument("tags", options.tags, "give a tuple of strings")
    for tag in options.tags:
        if not isinstance(tag, str) or not 1 <= len(tag) <= 100:
            raise InvalidArgument("tags", tag, "each tag is a string of 1 to 100 characters")
    said = options.correlation_id
    if said is not None and not (isinstance(said, str) and 1 <= len(said) <= 200):
        raise InvalidArgument("correlation_id", said, "give a string of 1 to 200 characters")


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


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is stored of a request, written once by the producer, never changed, opaque to the scripts.

    Part of the wire contract (JSON). Unknown fields of a newer producer are kept, as the bytes are.
    """

    handler: str
    args: msgspec.Raw = msgspec.Raw(b"{}")
    enqueued_at: int = 0
    retries: int | None = None
    backoff: Backoff | None = None
    timeout: float | None = None
    grace: float | None = None
    keep: float | None = None
    tags: tuple[str, ...] = ()
    correlation_id: str | None = None
    v: int = 1


class Counters(msgspec.Struct, frozen=True):
    """How often a job was started, and how those starts ended. Kept apart on purpose.

    Attributes:
        starts: times it was claimed.
        attempts: failures of the handler itself; what `retries` counts.
        crashes: its process or its worker died.
        interruptions: taken away through no fault of its own; free.
        unknown: claimed by workers that did not know its handler.
    """

    starts: int = 0
    attempts: int = 0
    crashes: int = 0
    interruptions: int = 0
    unknown: int = 0


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
    """All that is known about one job, as read at one moment. Times in ms since 1970, None if not yet."""

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


def new_id() -> str:
    """A fresh job id: 27 hexadecimal characters, sorts by time to the millisecond, 64 random bits behind it."""
    return f"{time.time_ns() // 1_000_000:011x}{getrandbits(64):016x}"

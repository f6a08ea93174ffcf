"""What can be said about a job beside its arguments, and when that is refused.

The same options are defaults on `@handler` and words of `enqueue`. Durations are seconds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from math import inf
from typing import Literal, get_args

import msgspec

from heavylift.duration import seconds
from heavylift.errors import InvalidArgument
from heavylift.redaction import PATH
from heavylift.unique import Unique

PRIORITY_LIMIT = 1000
"""Priorities lie within ± this, so that rank stays exact in a double (see `store/lua`)."""

MOST_KEPT = 10_000_000
"""No count of ended jobs to keep is above this."""

LONGEST_RUN = 1e9
"""Seconds: no timeout and no grace is longer, about 32 years. Clocks and the system's own waits end somewhere."""

NAME = re.compile(r"[A-Za-z0-9_.\-]{1,100}")
"""Handlers and queues: they stand in keys, channels, labels and file names."""

ID = re.compile(r"[A-Za-z0-9_.:@\-]{1,200}")
"""Job ids: nothing that needs escaping in JSON, keys or a shell."""


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
        if not _between(0, self.initial, inf):
            raise InvalidArgument("backoff.initial", self.initial, "give finite seconds, zero or more")
        if not _between(1, self.factor, inf):
            raise InvalidArgument("backoff.factor", self.factor, "give 1 (fixed) or more, but finite")
        if not _between(0, self.cap, inf):
            raise InvalidArgument("backoff.cap", self.cap, "give finite seconds, zero or more")
        if not (self.jitter == 1 or _between(0, self.jitter, 1)):
            raise InvalidArgument("backoff.jitter", self.jitter, "give a part between 0 and 1")
        if self.delays is not None and not (self.delays and all(_between(0, wait, inf) for wait in self.delays)):
            raise InvalidArgument("backoff.delays", self.delays, "give at least one wait, none negative or endless")

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
    return not isinstance(value, bool) and _between(0, value, 1e10)


def _between(least: float, value: object, bound: float) -> bool:
    """A number from `least` to below `bound`; what is no number, NaN too, is not."""
    return isinstance(value, (int, float)) and least <= value < bound


OnLostContact = Literal["stop", "finish"]
"""What becomes of an attempt whose worker cannot reach Redis: `stop` ends it, `finish` lets it go on."""

Durable = Literal["fast", "fsync", "replicated"]
"""When `enqueue` returns: once Redis has the job, once it is on its disk, or once a replica has it too."""

DURABLE = get_args(Durable)

OnParentFailure = Literal["fail", "run", "cancel", "require"]
"""What becomes of a job when one that it waits for does not complete: it fails too (`fail`), it runs all the same once
all have ended (`run`), it is cancelled (`cancel`), or it runs because of that, and is cancelled if all complete
(`require`)."""


class JobRef(msgspec.Struct, frozen=True):
    """Which job: its queue and id."""

    queue: str
    id: str

    def __str__(self) -> str:
        return f"{self.queue} {self.id}"

    @classmethod
    def parse(cls, text: str) -> JobRef:
        """From the form that stands in the store."""
        queue, _, id = text.partition(" ")
        return cls(queue, id)


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
    unique: Unique | Literal[False] | None = None
    durable: Durable | None = None
    secret: tuple[str, ...] = ()
    expires: float | timedelta | None = None
    retries: int | None = None
    backoff: Backoff | None = None
    timeout: float | timedelta | None = None
    grace: float | timedelta | None = None
    keep: float | timedelta | None = None
    keep_failed: float | timedelta | None = None
    keep_count: int | None = None
    keep_failed_count: int | None = None
    tags: tuple[str, ...] = ()
    correlation_id: str | None = None
    after: tuple[JobRef | str, ...] = ()
    on_parent_failure: OnParentFailure | None = None
    flow: str | None = None

    def merged(self, over: JobOptions) -> JobOptions:
        """These options with those of `over` on top. A delay, a time or a debounce said there replaces any of these."""
        said = {name: value for name in self.__struct_fields__ if (value := getattr(over, name)) not in (None, ())}
        if self.secret and "secret" in said:
            said["secret"] = tuple(dict.fromkeys(self.secret + over.secret))  # a secret stays one
        if over.delay is not None or over.at is not None or getattr(over.unique, "debounce", None) is not None:
            said = {"delay": None, "at": None} | said
        return msgspec.structs.replace(self, **said) if said else self


def check_options(options: JobOptions) -> None:
    """Refuse what cannot be meant, by name and value.

    Raises:
        InvalidArgument: the first option that is wrong.
    """
    for name in ("delay", "expires", "timeout", "grace", "keep", "keep_failed"):
        if (value := getattr(options, name)) is not None:
            seconds(name, value)
    for name in ("keep_count", "keep_failed_count"):
        value = getattr(options, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_KEPT):
            raise InvalidArgument(name, value, f"give a whole number, 0 to {MOST_KEPT:,}")
    for name in ("timeout", "grace"):
        if (value := getattr(options, name)) is not None and seconds(name, value) > LONGEST_RUN:
            raise InvalidArgument(name, value, f"give {LONGEST_RUN:,.0f} seconds at most")
    if options.timeout is not None and not seconds("timeout", options.timeout):
        raise InvalidArgument("timeout", options.timeout, "give seconds above zero, or leave it out")
    if options.at is not None:
        _check_at(options)
    if options.priority is not None and not (_whole(options.priority) and abs(options.priority) <= PRIORITY_LIMIT):
        raise InvalidArgument("priority", options.priority, f"give a whole number within ±{PRIORITY_LIMIT}")
    if options.retries is not None and not (_whole(options.retries) and options.retries >= 0):
        raise InvalidArgument("retries", options.retries, "give a whole number, zero or more")
    if options.backoff is not None and not isinstance(options.backoff, Backoff):
        raise InvalidArgument("backoff", options.backoff, "give a Backoff; Backoff.of makes one of seconds or a list")
    _check_secret(options.secret)
    if options.durable is not None and options.durable not in DURABLE:
        raise InvalidArgument("durable", options.durable, 'give "fast", "fsync" or "replicated"')
    _check_flow(options)
    if options.unique:
        _check_unique(options, options.unique)
    if options.expires is not None:
        _check_in_time(options, options.expires)
    _check_names(options)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_at(options: JobOptions) -> None:
    if options.delay is not None:
        raise InvalidArgument("at", options.at, "give either delay or at, not both")
    if not isinstance(options.at, datetime) or options.at.tzinfo is None:
        raise InvalidArgument("at", options.at, "give a datetime with a time zone")


def _check_secret(paths: object) -> None:
    remedy = 'give names of arguments, like ("password", "card.number")'
    if not isinstance(paths, (tuple, list)):
        raise InvalidArgument("secret", paths, remedy)
    for path in paths:
        if not isinstance(path, str) or not PATH.fullmatch(path):
            raise InvalidArgument("secret", path, remedy)


def _check_flow(options: JobOptions) -> None:
    if options.on_parent_failure not in (None, *get_args(OnParentFailure)):
        words = ", ".join(get_args(OnParentFailure))
        raise InvalidArgument("on_parent_failure", options.on_parent_failure, f"give one of {words}")
    for parent in options.after:
        if not isinstance(parent, (JobRef, str)):
            raise InvalidArgument("after", parent, "give jobs that were enqueued, or their ids")


def _check_unique(options: JobOptions, unique: Unique) -> None:
    if not isinstance(unique, Unique):
        raise InvalidArgument("unique", unique, "give a Unique; Unique.of makes one of a key or True")
    for name in ("delay", "at"):
        if unique.debounce is not None and (value := getattr(options, name)) is not None:
            raise InvalidArgument(name, value, "leave it out: unique.debounce says when the job is due")


def _check_in_time(options: JobOptions, expires: float | timedelta) -> None:
    """Refuse a job that is over before it may start: it could never run."""
    for name, value, wait in _waits(options):
        if 0 < wait >= seconds("expires", expires):
            remedy = f"is over before the job may start ({name}={value}), as it counts from the enqueue too"
            raise InvalidArgument("expires", expires, f"{remedy}; give a longer time, or leave one of them out")


def _waits(options: JobOptions) -> Iterator[tuple[str, object, float]]:
    """What puts a job off, by name and value, and for how many seconds from now."""
    if options.delay is not None:
        yield "delay", options.delay, seconds("delay", options.delay)
    if options.at is not None:
        yield "at", options.at, options.at.timestamp() - time.time()
    if options.unique and options.unique.debounce is not None:
        quiet, most = options.unique.debounce, options.unique.max_wait
        wait = seconds("unique.debounce", quiet)
        yield "unique.debounce", quiet, wait if most is None else min(wait, seconds("unique.max_wait", most))


def _check_names(options: JobOptions) -> None:
    for name, form, remedy in (
        ("flow", ID, "use 1 to 200 letters, digits and _ . : @ -"),
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

"""From what a caller says to a job that can be stored. No I/O: everything that can be refused is refused here.

What is said with `enqueue` goes over what the request brought (its handler's defaults), and the result is checked by
name. A web process enqueues the same handler again and again with nothing said, so the last merge and the last
check are remembered: by identity, since options never change.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, TypedDict

import msgspec

from heavylift.codec import encode_args, seal, stamped
from heavylift.duration import seconds
from heavylift.errors import InvalidArgument, InvalidJob
from heavylift.job import JobSpec, new_id
from heavylift.middleware import Enqueuing, check_carrier
from heavylift.options import ID, Backoff, Durable, JobOptions, JobRef, OnParentFailure, check_options
from heavylift.store.jobs import NewJob
from heavylift.unique import Unique


class EnqueueOptions(TypedDict, total=False):
    """What can be said about a job when it is enqueued. None is the same as not said.

    Attributes:
        id: an id of your own; a job of that id that is there already is left as it is (`Job.duplicate`).
        queue: another queue of the handler's lane.
        delay: seconds or timedelta until it may run.
        at: the time from which it may run, with a time zone; instead of `delay`.
        priority: lower goes first; one unit is worth a minute of waiting.
        group, key: where the job stands for limits.
        durable: when `enqueue` returns: `fast` (Redis has the job), `fsync` (it is on its disk) or `replicated` (a
            replica has it too). If not in time, `NotDurable`; where the server cannot tell, `ServerUnsupported`.
        unique: not if one like it is there (`Job.duplicate`): True (the same arguments), a key, or a `Unique`;
            False takes the handler's default away.
        expires: seconds or timedelta from the enqueue; not started by then, it goes to the dead letters.
        retries: tries after the first.
        backoff: waits between tries: a `Backoff`, seconds, or a list of seconds.
        timeout: seconds or timedelta that an attempt may take.
        grace: seconds or timedelta between asking an attempt to stop and ending it.
        keep: seconds or timedelta that the job is kept once it has ended.
        keep_failed: the same for a dead letter; as long as `keep` says, if not given.
        tags: words to find it by.
        secret: names of arguments, like `("password", "card.number")`, that are left out of logs and records.
        correlation_id: written into each log line of the job, and kept in its record; its events do not carry it.
        after: jobs it waits for, from `enqueue` or by their ids; they must be there.
        on_parent_failure: what becomes of it when one of those does not complete: it fails too (`fail`, the default),
            it runs all the same once all have ended (`run`), it is cancelled (`cancel`), or it runs because of that
            and is cancelled if all complete (`require`).
        flow: id of the flow it belongs to; else that of its first parent.
    """

    id: str | None
    queue: str | None
    delay: float | timedelta | None
    at: datetime | None
    priority: int | None
    group: str | None
    key: str | None
    unique: Unique | bool | str | None
    durable: Durable | None
    expires: float | timedelta | None
    retries: int | None
    backoff: Backoff | float | Sequence[float] | None
    timeout: float | timedelta | None
    grace: float | timedelta | None
    keep: float | timedelta | None
    keep_failed: float | timedelta | None
    tags: Sequence[str] | None
    secret: Sequence[str] | None
    correlation_id: str | None
    after: Sequence[Any] | None
    on_parent_failure: OnParentFailure | None
    flow: str | None


NAMES = tuple(EnqueueOptions.__annotations__)

NOTHING = JobOptions()

Announce: TypeAlias = Callable[[Enqueuing], None]
"""Tells middleware of a job that is about to be enqueued; it may fill its carrier."""


def check_request(spec: object) -> None:
    """Refuse what is no request, in the words of what it is.

    Raises:
        InvalidJob: it is not.
    """
    if isinstance(spec, JobSpec):
        return
    name = getattr(spec, "__name__", None)
    if callable(spec) and name and name.isidentifier():
        first = "" if hasattr(spec, "job") else f"{name} is no handler: put @handler on it, and "
        raise InvalidJob("job", spec, f"{first}give {name}.job(...), with its arguments")
    raise InvalidJob("job", spec, "give what handler.job(...) returns, or a JobSpec")


class Requests:
    """Makes storable jobs of requests.

    Args:
        limit: the largest size of a job's encoded arguments in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last: tuple[JobOptions, JobOptions, JobOptions] = (NOTHING, NOTHING, NOTHING)

    def make(
        self, spec: JobSpec[Any], over: JobOptions = NOTHING, announce: Announce | None = None
    ) -> tuple[str, NewJob]:
        """The queue a request goes to, and the job as it is stored.

        Args:
            spec: the request.
            over: what was said with `enqueue`, from `said`.
            announce: who is to know of it.

        Raises:
            InvalidArgument: an option will not do; `InvalidJob`, `PayloadTooLarge`: its arguments.
        """
        check_request(spec)
        options = self.merged(spec.options, over)
        queue = options.queue or spec.queue
        id = options.id or new_id()
        carrier = None
        if announce is not None:
            options, carrier = _announced(announce, Enqueuing(id, queue, spec.handler, options.tags), options)
        envelope = seal(spec, options, limit=self._limit, carrier=carrier)
        if options is NOTHING:
            return queue, NewJob(id, envelope, spec.handler)
        return queue, NewJob(
            id=id,
            spec=envelope,
            handler=spec.handler,
            priority=options.priority or 0,
            delay_ms=_ms("delay", options.delay) or 0,
            due_ms=None if options.at is None else math.ceil(options.at.timestamp() * 1000),
            expires_ms=_ms("expires", options.expires),
            keep_ms=_ms("keep", options.keep),
            keep_failed_ms=_ms("keep_failed", options.keep_failed),
            keep_count=options.keep_count,
            keep_failed_count=options.keep_failed_count,
            group=options.group or "",
            key=options.key or "",
            durable=options.durable,
            **_unique(options.unique, spec),
            **_flow(id, options),
        )

    def make_repeated(self, spec: JobSpec[Any], over: JobOptions = NOTHING) -> tuple[str, NewJob]:
        """The queue and the pattern for jobs that a schedule makes again and again; the pattern's id does not count.

        The tick says when they are due, not the handler's `delay`.

        Raises:
            InvalidArgument: as `make`, and for what makes no sense of many jobs.
        """
        for name in ("id", "delay", "at", "after", "flow", "durable"):
            if value := getattr(over, name):
                raise InvalidArgument(name, value, "leave it out: it makes no sense for the jobs of a schedule")
        queue, job = self.make(spec, over)
        return queue, replace(job, spec=stamped(job.spec, 0), durable=None, delay_ms=0)

    def merged(self, base: JobOptions, over: JobOptions) -> JobOptions:
        """What is said of one job, checked: its own options with `over` on top."""
        last_base, last_over, last = self._last
        if base is last_base and over is last_over:
            return last
        merged = base.merged(over)
        check_options(merged)
        _check_correlation(merged.correlation_id)
        if merged == NOTHING:
            merged = NOTHING
        self._last = base, over, merged
        return merged


def said(given: Mapping[str, Any]) -> JobOptions:
    """The keywords of `enqueue` as options.

    Raises:
        InvalidArgument: one is not known, or cannot be read.
    """
    if not given:
        return NOTHING
    if unknown := given.keys() - set(NAMES):
        name = min(unknown)
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(NAMES)}"
        raise InvalidArgument(name, given[name], f"is no option of a job; {hint}")
    options = {name: value for name, value in given.items() if value is not None}
    if "tags" in options:
        if not isinstance(options["tags"], (list, tuple)):
            raise InvalidArgument("tags", options["tags"], "give a list of strings")
        options["tags"] = tuple(options["tags"])
    if "secret" in options and isinstance(options["secret"], list):
        options["secret"] = tuple(options["secret"])
    if "backoff" in options:
        options["backoff"] = Backoff.of(options["backoff"])
    if "after" in options:
        options["after"] = _parents(options["after"])
    if "unique" in options:
        options["unique"] = Unique.of(options["unique"])
    made = JobOptions(**options)
    for name in ("id", "queue", "group", "key"):
        if (value := getattr(made, name)) is not None and not isinstance(value, str):
            raise InvalidArgument(name, value, "give a string")
    if made.at is not None and not isinstance(made.at, datetime):
        raise InvalidArgument("at", made.at, "give a datetime with a time zone")
    return made


def _parents(given: Any) -> tuple[JobRef | str, ...]:
    """Jobs as they are named with `after`: handles, references or ids; the first of each."""
    listed = given if isinstance(given, (list, tuple)) else [given]
    named = [
        one if isinstance(one, str) else JobRef(getattr(one, "queue", ""), getattr(one, "id", "")) for one in listed
    ]
    for value, name in zip(listed, named, strict=True):
        if not ID.fullmatch(name if isinstance(name, str) else name.id):
            raise InvalidArgument("after", value, "give a list of jobs from enqueue, or of their ids")
    return tuple(dict.fromkeys(named))


def _announced(announce: Announce, job: Enqueuing, options: JobOptions) -> tuple[JobOptions, dict[str, str]]:
    """The options and the carrier that middleware has made of a job's."""
    job.correlation_id = options.correlation_id
    announce(job)
    carrier = check_carrier(job.carrier)
    if job.correlation_id != options.correlation_id:
        _check_correlation(job.correlation_id)
        options = msgspec.structs.replace(options, correlation_id=job.correlation_id)
    return options, carrier


def _check_correlation(value: object) -> None:
    if value is not None and (not isinstance(value, str) or not 1 <= len(value) <= 200):
        raise InvalidArgument("correlation_id", value, "give a string of 1 to 200 characters")


def _unique(unique: Unique | Literal[False] | None, spec: JobSpec[Any]) -> dict[str, Any]:
    """What a job that is to be unique says about that in Redis."""
    if not unique:
        return {}
    return {
        "unique": f"{unique.letter}.{unique.digest(spec.handler, encode_args(spec))}",
        "window_ms": _ms("unique.window", unique.window),
        "quiet_ms": _ms("unique.debounce", unique.debounce),
        "latest_ms": _ms("unique.max_wait", unique.max_wait),
    }


def _flow(id: str, options: JobOptions) -> dict[str, Any]:
    """What a job of a flow says about that in Redis."""
    if not options.after:
        return {"flow": options.flow or ""}
    parents = tuple(dict.fromkeys(one for one in options.after if isinstance(one, JobRef)))
    if any(parent.id == id for parent in parents):
        raise InvalidArgument("after", id, "is the job itself; it would wait for ever")
    policy = options.on_parent_failure or "fail"
    return {"flow": options.flow or parents[0].id, "after": parents, "policy": "" if policy == "fail" else policy}


def _ms(name: str, value: float | timedelta | None) -> int | None:
    """Milliseconds, rounded up: a job is never early."""
    return None if value is None else math.ceil(seconds(name, value) * 1000)

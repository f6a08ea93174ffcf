"""Reading a declaration: is this a function that jobs can ask for, and can its options be meant?

Everything that can be wrong about a handler is refused here, when its module is imported, and not when its first job
runs at night. A refusal names the option or parameter, what was given, and what to do instead.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import FunctionType
from typing import Any, Literal, TypedDict, cast

import msgspec

from heavylift import plain
from heavylift.arguments import Arguments, refusal, type_name
from heavylift.calculated import check_function_of_arguments
from heavylift.context import Context
from heavylift.errors import HandlerError, InvalidArgument
from heavylift.limits import Limit, Rate, declared_limits
from heavylift.options import NAME, Backoff, Durable, JobOptions, OnLostContact, check_options
from heavylift.parameters import Parameter, place_of, read_parameters, type_hints
from heavylift.redaction import is_secret
from heavylift.schedule import Declared, Schedule, Times, declared
from heavylift.setup import Setup, listed
from heavylift.size import in_bytes
from heavylift.unique import Unique

LaneName = Literal["io", "cpu"]
"""Where an attempt runs: `io` (threads and an event loop) or `cpu` (processes)."""

DEFAULT_QUEUES: Mapping[LaneName, str] = {"io": "default", "cpu": "cpu"}
"""A queue is served by one lane, so each lane has a queue of its own."""


class HandlerOptions(TypedDict, total=False):
    """The options of `@handler`. What is not said here or with the job follows the defaults.

    Attributes:
        name: what it is registered under; the function's name if not given.
        lane: `io` (threads and an event loop) or `cpu` (processes).
        queue: where its jobs wait; `default` or `cpu`, by its lane, if not given.
        timeout: seconds or timedelta that an attempt may take; for ever if not given.
        grace: seconds or timedelta between asking an attempt to stop and ending it.
        retries: tries after the first.
        backoff: waits between tries: a `Backoff`, seconds, a list of seconds, or a function of the number of
            failures so far (from 1) that returns seconds.
        retry_on: only these exceptions are tried again; all if not given.
        give_up_on: these are not, whatever `retry_on` says.
        delay: seconds or timedelta until its jobs may run, from the enqueue.
        priority: of its jobs; lower goes first.
        expires: seconds or timedelta; a job not started by then is not started at all.
        keep: seconds or timedelta that ended jobs are kept; `keep_failed`: that dead letters are, if not as long.
        keep_count: so many of its completed jobs are kept at most; `keep_failed_count`: of its dead letters.
        tags: on each of its jobs.
        secret: names of arguments, like `("password", "card.number")`, that are left out of logs, records, messages and
            tracebacks; besides those annotated `Secret[...]`. Where a function (`key`, `group`, `unique`) takes one, a
            hash of what it returns is used.
        durable: when `enqueue` returns: `fast`, `fsync` or `replicated`.
        unique: its jobs are unique: True (by their arguments), a key, a function that makes the key of the arguments
            it names, or a `Unique`.
        on_lost_contact: `stop` or `finish` an attempt whose worker cannot reach Redis.
        concurrency: of its jobs so many run at once, over all workers: for each `key` if there is one, else in all.
        rate: so many start in a time: `"100/min"`, `"10/s"`, a `Rate`; for each `key` if there is one, else in all.
        burst: so many of them may start at once after a pause.
        key: whose turn it is: a function that makes the key of the arguments it names (an account, a host), called by
            the producer; or one key for all.
        group: what its jobs share their limits with: those of all handlers of the queue that name the same group. Its
            own name, if not given. Where it declares no limits, also a function, like `key`.
        group_concurrency, group_rate: with `key`: the same for the group, over all of its keys.
        memory: bytes, or a text like `512MB`, that an attempt and all it starts may take; only in the cpu lane.
        setup: a `Setup`, or several, that its slot has loaded before an attempt begins; only in the cpu lane.
        schedule: when a job of it is made by itself: `"0 3 * * *"`, `"every 5 minutes"`, a `Cron`, an `Every`, a
            `Schedule` with arguments and more, or a list of them.
    """

    name: str
    lane: LaneName
    queue: str
    timeout: float | timedelta
    grace: float | timedelta
    retries: int
    backoff: Backoff | float | Sequence[float] | Callable[[int], float]
    retry_on: type[BaseException] | tuple[type[BaseException], ...]
    give_up_on: type[BaseException] | tuple[type[BaseException], ...]
    delay: float | timedelta
    priority: int
    expires: float | timedelta
    keep: float | timedelta
    keep_failed: float | timedelta
    keep_count: int
    keep_failed_count: int
    tags: Sequence[str]
    unique: Unique | bool | str | Callable[..., str]
    durable: Durable
    secret: Sequence[str]
    on_lost_contact: OnLostContact
    concurrency: int
    rate: Rate | str
    burst: int
    key: str | Callable[..., str]
    group: str | Callable[..., str]
    group_concurrency: int
    group_rate: Rate | str
    memory: int | str
    setup: Setup[Any] | Sequence[Setup[Any]]
    schedule: Times | Schedule | Sequence[Times | Schedule]


@dataclass(frozen=True, eq=False, kw_only=True)
class Declaration:
    """All that is said about a handler, checked.

    Attributes:
        function: what runs.
        name: what it is registered under.
        lane: where it runs.
        queue: where its jobs wait unless they say otherwise.
        options: the defaults of its jobs.
        carried: those of them that a producer needs; the others are looked up when a job runs, so that
            a new release changes them for waiting jobs too.
        calculated: those that are made of a job's arguments, by name, each with its function.
        limits: what it declares for its group and its keys.
        schedules: those that it declares.
        backoff: waits between tries; None for the default.
        retry_on: exceptions worth another try; all if empty.
        give_up_on: exceptions that are not.
        on_lost_contact: what becomes of an attempt whose worker cannot reach Redis.
        memory: bytes an attempt may take; None for any number.
        setups: what is loaded before an attempt begins.
        parameters: the arguments of a job, in order; the context is none of them.
        arguments: their codec.
        is_async: the function is `async def`.
        wants_context: its first parameter is a `Context`.
        returns: its return type; Any if not said.
        place: where it is written.
    """

    function: Callable[..., Any]
    name: str
    lane: LaneName
    queue: str
    options: JobOptions
    carried: JobOptions
    calculated: Mapping[str, Callable[..., Any]]
    limits: tuple[Limit, ...]
    schedules: tuple[Declared, ...]
    backoff: Backoff | Callable[[int], float] | None
    retry_on: tuple[type[BaseException], ...]
    give_up_on: tuple[type[BaseException], ...]
    on_lost_contact: OnLostContact
    memory: int | None
    setups: tuple[Setup[Any], ...]
    parameters: tuple[Parameter, ...]
    arguments: Arguments
    is_async: bool
    wants_context: bool
    returns: Any
    place: str


def read_declaration(fn: Any, options: Mapping[str, Any], names: Mapping[str, Any]) -> Declaration:
    """What `@handler` with these options on this function declares.

    Args:
        fn: what was decorated.
        options: see `HandlerOptions`.
        names: what annotations may refer to beside the names of the function's module.

    Raises:
        HandlerError: an option or the function's signature will not do.
    """
    check_function(fn)
    name = options.get("name", fn.__name__)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise HandlerError("name", name, f"use 1 to 100 letters, digits and _ . -; for {place_of(fn)}")
    is_async = inspect.iscoroutinefunction(fn)
    lane = _lane(options.get("lane", "io"), is_async, fn)
    retry_on = _exceptions("retry_on", options.get("retry_on", ()))
    give_up_on = _exceptions("give_up_on", options.get("give_up_on", ()))
    parameters, wants_context = _parameters(fn, names)
    job_options = _job_options(options)
    secret = _secret(job_options.secret, parameters)
    job_options = msgspec.structs.replace(job_options, secret=secret)
    arguments = Arguments(name, parameters, secret)
    return Declaration(
        function=fn,
        name=name,
        lane=lane,
        queue=options.get("queue", DEFAULT_QUEUES[lane]),
        options=job_options,
        carried=JobOptions(**{name: getattr(job_options, name) for name in _CARRIED}),
        calculated=_calculated(options, job_options.unique, parameters),
        limits=declared_limits(name, options),
        schedules=_schedules(name, options.get("schedule", ()), arguments),
        backoff=_backoff(options.get("backoff")),
        retry_on=retry_on,
        give_up_on=give_up_on,
        on_lost_contact=_one_of("on_lost_contact", options.get("on_lost_contact", "stop"), ("stop", "finish")),
        memory=_memory(options.get("memory"), lane),
        setups=listed(options.get("setup", ()), lane),
        parameters=parameters,
        arguments=arguments,
        is_async=is_async,
        wants_context=wants_context,
        returns=_returns(fn, names),
        place=place_of(fn),
    )


# --- the function -------------------------------------------------------------------------------------


def check_function(fn: Any) -> None:
    """Refuse what a job could not call by name.

    Raises:
        HandlerError: a method, a class, a generator and the like.
    """
    if not isinstance(fn, FunctionType):
        shown = fn.place if isinstance(fn, Declaration) else fn
        raise HandlerError("handler", shown, "put @handler directly on a plain function; other decorators go below it")
    owner = fn.__qualname__.rpartition(".")[0]
    if owner and not owner.endswith("<locals>"):
        remedy = "is a method; a job has no object to call it on: move it out of the class"
        raise HandlerError("handler", place_of(fn), remedy)
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        remedy = "is a generator; a job has one result: return a list, or report steps by ctx.progress"
        raise HandlerError("handler", place_of(fn), remedy)


def _lane(lane: Any, is_async: bool, fn: FunctionType) -> LaneName:
    _one_of("lane", lane, ("io", "cpu"))
    if lane == "cpu" and is_async:
        remedy = (
            "is `async def` in the cpu lane, where there is no event loop: make it a plain `def`, or use the io lane"
        )
        raise HandlerError("handler", place_of(fn), remedy)
    return cast(LaneName, lane)


def _parameters(fn: FunctionType, names: Mapping[str, Any]) -> tuple[tuple[Parameter, ...], bool]:
    """The parameters without the context, and whether there is one."""
    found = read_parameters(fn, names)
    if found and found[0].positional and found[0].annotation in (Any, object):
        remedy = f"annotate the first parameter as Context or with the argument's own type; in {place_of(fn)}"
        raise HandlerError("parameter", f"{found[0].name}: {type_name(found[0].annotation)}", remedy)
    wants_context = bool(found) and found[0].positional and found[0].annotation is Context
    found = found[1:] if wants_context else found
    for parameter in found:
        if parameter.annotation is Context:
            raise HandlerError("parameter", parameter.name, f"the Context comes first; in {place_of(fn)}")
        if why := refusal(parameter.annotation):
            shown = f"{parameter.name}: {type_name(parameter.annotation)}"
            remedy = f"cannot be the type of a job's argument ({why}); in {place_of(fn)}"
            raise HandlerError("parameter", shown, remedy)
    return found, wants_context


def _returns(fn: FunctionType, names: Mapping[str, Any]) -> Any:
    kind = type_hints(fn, names).get("return", Any)
    return Any if refusal(kind) else kind


# --- the options --------------------------------------------------------------------------------------

_KEPT = ("keep", "keep_failed", "keep_count", "keep_failed_count")
_CARRIED = ("delay", "priority", "expires", *_KEPT, "tags", "unique", "durable", "secret", "group", "key")
_JOB_OPTIONS = ("timeout", "grace", "retries", "delay", "priority", "expires", *_KEPT, "durable")


def _plain(value: Any) -> Any:
    """A number as one that crosses to a slot's process; anything else as it is, to be refused by name."""
    return plain.number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _job_options(options: Mapping[str, Any]) -> JobOptions:
    """Those options that are defaults of its jobs."""
    if unknown := options.keys() - HandlerOptions.__annotations__.keys():
        name = min(unknown)
        near = difflib.get_close_matches(name, HandlerOptions.__annotations__, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(HandlerOptions.__annotations__)}"
        raise HandlerError(name, options[name], f"is no option of a handler{hint}")
    tags = options.get("tags", ())
    if not isinstance(tags, (list, tuple)):
        raise HandlerError("tags", tags, "give a list of strings")
    said: dict[str, Any] = {name: _plain(options.get(name)) for name in _JOB_OPTIONS}
    said |= {name: value for name in ("group", "key") if not callable(value := options.get(name))}
    try:
        unique = None if options.get("unique") is None else Unique.of(options["unique"])
        secret = options.get("secret", ())
        secret = tuple(secret) if isinstance(secret, list) else secret
        made = JobOptions(**said, tags=tuple(tags), unique=unique, secret=secret)
        check_options(made.merged(JobOptions(queue=options.get("queue"))))
    except InvalidArgument as wrong:
        raise HandlerError(wrong.field, wrong.value, wrong.remedy) from None
    return made


def _calculated(
    options: Mapping[str, Any], unique: Unique | Literal[False] | None, parameters: Sequence[Parameter]
) -> Mapping[str, Callable[..., Any]]:
    """The options that are functions of the job's arguments."""
    said: dict[str, Any] = {"unique": unique and unique.by, "key": options.get("key"), "group": options.get("group")}
    if (key := said["key"]) in {parameter.name for parameter in parameters}:
        remedy = f"would be one key for all jobs; for that of the argument write key=lambda {key}: {key}"
        raise HandlerError("key", key, remedy)
    found = {name: value for name, value in said.items() if callable(value)}
    for name, fn in found.items():
        check_function_of_arguments(name, fn, parameters)
    return found


def _schedules(name: str, value: Any, arguments: Arguments) -> tuple[Declared, ...]:
    """The schedules that it declares, with arguments that it takes."""
    try:
        found = declared(name, value)
    except InvalidArgument as wrong:
        raise HandlerError(wrong.field, wrong.value, wrong.remedy) from None
    for one in found:
        try:
            arguments.encode((), dict(one.args))
        except InvalidArgument as wrong:
            remedy = f"{wrong}; give Schedule(times=..., args={{...}}) what the handler needs"
            raise HandlerError("schedule", one.name, remedy) from None
    return found


def _secret(named: Sequence[str], parameters: Sequence[Parameter]) -> tuple[str, ...]:
    """The arguments that are secret, by name or by their annotation."""
    known = {parameter.name for parameter in parameters}
    for path in named:
        if path.partition(".")[0] not in known:
            takes = ", ".join(sorted(known)) or "nothing"
            raise HandlerError("secret", path, f"is no argument of the handler, which takes {takes}")
    marked = [parameter.name for parameter in parameters if is_secret(parameter.annotation)]
    return tuple(dict.fromkeys([*named, *marked]))


def _backoff(value: Any) -> Backoff | Callable[[int], float] | None:
    if value is None:
        return None
    if callable(value) and not isinstance(value, type):
        return cast(Callable[[int], float], value)
    try:
        return Backoff.of(cast(Any, value))
    except InvalidArgument as wrong:
        raise HandlerError(
            wrong.field, wrong.value, f"{wrong.remedy}, or a function of the number of failures"
        ) from None


def _memory(value: Any, lane: LaneName) -> int | None:
    if value is None:
        return None
    if lane == "io":
        remedy = 'goes with lane="cpu": attempts of the io lane share one process, whose memory is nobody\'s alone'
        raise HandlerError("memory", value, remedy)
    try:
        return in_bytes("memory", value)
    except InvalidArgument as wrong:
        raise HandlerError(wrong.field, wrong.value, wrong.remedy) from None


def _exceptions(name: str, value: Any) -> tuple[type[BaseException], ...]:
    listed = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in listed):
        raise HandlerError(name, value, "give an exception type, or a tuple of them")
    return listed


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise HandlerError(name, value, "give " + " or ".join(f'"{word}"' for word in allowed))
    return value

"""Running a handler to an outcome. An attempt never raises: whatever the handler does becomes a value.

Both lanes and the slots' processes run handlers through here, and nowhere else. A plain handler takes `run`, an async
one `run_async`; they are the same steps with one `await` between them:

1. `prepare` reads the envelope and finds the handler,
2. the stored arguments are checked against the handler's signature,
3. what the handler wants to have loaded is loaded, if this process does not have it yet,
4. the handler is called, within what middleware puts around it,
5. what it returned is encoded where it ran, within the size limit; or what it raised is turned into plain data.

The one thing that may come out of `run` is a `Stop` that arrived before or after the handler's own lines, while the
arguments were read or the outcome made. Who raises stops into running code catches it (`stopped` makes the outcome).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from functools import partial
from typing import Any, Protocol

import msgspec

from heavylift.codec import decode_envelope, encode_result
from heavylift.context import Context, JobInfo, Reporter
from heavylift.errorinfo import MESSAGE_LIMIT, cut, error_info
from heavylift.errors import EffectHeld, InDoubt, InvalidJob, InvalidResult, Reject, Retry, StopReason
from heavylift.handler import Handler
from heavylift.job import Counters, Envelope, Progress
from heavylift.middleware import Middleware, within, within_async
from heavylift.outcome import (
    Cancelled,
    Completed,
    Doubtful,
    ErrorInfo,
    Held,
    Interrupted,
    Invalid,
    LockLost,
    Outcome,
    OutOfMemory,
    Raised,
    Rejected,
    RetryAsked,
    SetupFailed,
    TimedOut,
    UnknownHandler,
)
from heavylift.parents import Parents
from heavylift.redaction import SILENT, Hush


class Start(msgspec.Struct, frozen=True):
    """All that one attempt needs. Crosses to a slot's process as bytes.

    Attributes:
        spec: the stored envelope, JSON.
        counters: `starts` includes this one.
        timeout: seconds the handler may run; None for ever.
        grace: seconds between asking it to stop and ending it.
        checkpoint: last state saved by an earlier attempt, JSON.
        memory: bytes it may take; None for any number.
        carrier: the job's, as the worker's middleware left it; None for the envelope's.
    """

    id: str
    queue: str
    token: str
    spec: bytes
    counters: Counters = Counters(starts=1)
    timeout: float | None = None
    grace: float = 5.0
    checkpoint: bytes | None = None
    memory: int | None = None
    carrier: dict[str, str] | None = None


class Handlers(Protocol):
    """Where handlers are found by name."""

    def get(self, name: str) -> Handler[..., Any] | None:
        """The handler of this name, if there is one here."""
        ...


class Prepared(msgspec.Struct, frozen=True):
    """A start whose envelope was read and whose handler was found. `hush` takes its secrets out of texts."""

    start: Start
    envelope: Envelope
    handler: Handler[..., Any]
    hush: Hush = SILENT


def hushed(progress: Progress, hush: Hush) -> Progress:
    """Progress without secrets in its message."""
    return msgspec.structs.replace(progress, message=hush(progress.message)) if hush and progress.message else progress


def prepare(start: Start, handlers: Handlers) -> Prepared | Outcome:
    """What is to be run, or the outcome if it cannot be."""
    try:
        envelope = decode_envelope(start.spec)
    except InvalidJob as wrong:
        return Invalid(cut(str(wrong), MESSAGE_LIMIT))
    handler = handlers.get(envelope.handler)
    if handler is None:
        return UnknownHandler(envelope.handler)
    secret = tuple({*envelope.secret, *handler.carried.secret})
    return Prepared(start, envelope, handler, Hush.of_json(envelope.args, secret))


FREELY: AbstractContextManager[object] = nullcontext()


def run(
    prepared: Prepared,
    reporter: Reporter,
    max_result: int,
    middleware: Sequence[Middleware] = (),
    confined: AbstractContextManager[object] = FREELY,
) -> Outcome:
    """Call a plain handler.

    Args:
        prepared: what to run.
        reporter: where its context reports to; `began` is called just before the handler is.
        max_result: largest encoded result in bytes.
        middleware: what it is called within, the outermost first.
        confined: all that runs within; what it came to is made of its exception outside.
    """
    bound = _bind(prepared, reporter, bool(middleware))
    if isinstance(bound, Invalid):
        return bound
    if (failed := _set_up(prepared, reporter)) is not None:
        return failed
    context, args, kwargs = bound
    function = prepared.handler.function
    reporter.began()
    try:
        with confined:
            if context is None or not middleware:
                result = encode_result(function(*args, **kwargs), max_result)
            else:
                call = partial(_result, function, args, kwargs, max_result)
                result = copy_context().run(within, middleware, context, call)
        return Completed(result)
    except BaseException as raised:
        return outcome_of(raised, prepared, reporter)
    finally:
        if context is not None:
            context.close()


async def run_async(
    prepared: Prepared, reporter: Reporter, max_result: int, middleware: Sequence[Middleware] = ()
) -> Outcome:
    """Call an async handler; as `run`. A cancellation that nobody asked for is a failure of the handler."""
    bound = _bind(prepared, reporter, bool(middleware))
    if isinstance(bound, Invalid):
        return bound
    context, args, kwargs = bound
    function = prepared.handler.function
    reporter.began()
    try:
        if context is None or not middleware:
            return Completed(encode_result(await function(*args, **kwargs), max_result))
        call = partial(_result_async, function, args, kwargs, max_result)
        return Completed(await within_async(middleware, context, call))
    except BaseException as raised:
        return outcome_of(raised, prepared, reporter)
    finally:
        if context is not None:
            context.close()


def _result(function: Any, args: Any, kwargs: Any, max_result: int) -> bytes:
    return encode_result(function(*args, **kwargs), max_result)


async def _result_async(function: Any, args: Any, kwargs: Any, max_result: int) -> bytes:
    return encode_result(await function(*args, **kwargs), max_result)


_Bound = tuple[Context | None, tuple[Any, ...], dict[str, Any]]


def _bind(prepared: Prepared, reporter: Reporter, wanted: bool) -> _Bound | Invalid:
    """The arguments, and the context if the handler takes one or it is `wanted` anyway."""
    handler = prepared.handler
    try:
        args, kwargs = handler.arguments.decode(prepared.envelope.args)
    except InvalidJob as wrong:
        return Invalid(cut(prepared.hush(str(wrong)), MESSAGE_LIMIT))
    except Exception as broken:  # a validator of the user's own
        return Invalid(f"the arguments could not be checked: {error_info(broken, prepared.hush).message}")
    if not handler.wants_context:
        return (_context(prepared, reporter) if wanted else None), args, kwargs
    context = _context(prepared, reporter)
    return context, (context, *args), kwargs


def _set_up(prepared: Prepared, reporter: Reporter) -> Outcome | None:
    for setup in prepared.handler.setups:
        if setup.ready:
            continue
        reporter.setting_up(setup.timeout)
        try:
            _ = setup.value
        except BaseException as raised:
            if (reason := reporter.stopping()) is not None:
                return stopped(reason, prepared.start.timeout)
            return SetupFailed(error_info(raised, prepared.hush))
    return None


def _context(prepared: Prepared, reporter: Reporter) -> Context:
    start, envelope = prepared.start, prepared.envelope
    info = job_info(start.id, start.queue, envelope, start.carrier)
    return Context(info, start.counters.starts, start.checkpoint, reporter, Parents(reporter, envelope.after))


def job_info(id: str, queue: str, envelope: Envelope, carrier: dict[str, str] | None = None) -> JobInfo:
    """What middleware and handler may know of a job; with another carrier than it came with, if one is given."""
    return JobInfo(
        id,
        queue,
        envelope.handler,
        envelope.tags,
        envelope.correlation_id,
        envelope.enqueued_at / 1000,
        (envelope.carrier if carrier is None else carrier) or {},
    )


def log_fields(start: Start, envelope: Envelope) -> dict[str, Any]:
    """Whose a log line is: the same fields in every lane."""
    fields = {
        "job": start.id,
        "queue": start.queue,
        "handler": envelope.handler,
        "attempt": start.counters.starts,
        "correlation_id": envelope.correlation_id,
    }
    return {name: value for name, value in fields.items() if value is not None}


# --- what was raised, as an outcome --------------------------------------------------------------------------


def outcome_of(raised: BaseException, prepared: Prepared, reporter: Reporter) -> Outcome:
    """What an exception out of a handler means.

    The control words come first. Then, once the attempt had been asked to stop, whatever came out is taken for the
    answer to that: cleaning up may raise something else. `SystemExit`, `KeyboardInterrupt` and their like are failures
    as any other.
    """
    hush = prepared.hush
    if isinstance(raised, Retry):
        return RetryAsked(raised.after, error_info(raised, hush).message, raised.queue_wide)
    if isinstance(raised, Reject):
        return Rejected(error_info(raised, hush).message)
    if isinstance(raised, InDoubt):
        return Doubtful(error_info(raised, hush).message)
    if isinstance(raised, EffectHeld):
        return Held(error_info(raised, hush).message)
    if (reason := reporter.stopping()) is not None:
        trace = error_info(raised, hush) if reason == "timeout" else None
        return stopped(reason, prepared.start.timeout, error=trace)
    if isinstance(raised, InvalidResult):
        return Raised(error_info(raised, hush), retryable=False)
    retryable = prepared.handler.retryable(raised)
    if isinstance(raised, MemoryError):
        return OutOfMemory(prepared.start.memory, error=error_info(raised, hush), retryable=retryable)
    return Raised(error_info(raised, hush), retryable=retryable)


def stopped(
    reason: StopReason, timeout: float | None, *, forced: bool = False, error: ErrorInfo | None = None
) -> Outcome:
    """The outcome of an attempt that was stopped.

    Args:
        reason: why it was asked to stop.
        timeout: the one it had.
        forced: it did not end by itself.
        error: where it was when it was stopped, if that is known.
    """
    match reason:
        case "timeout":
            return TimedOut(timeout or 0.0, forced, error)
        case "cancelled":
            return Cancelled(forced)
        case "lock_lost":
            return LockLost()
        case "shutdown" | "lost_contact":
            return Interrupted(reason)

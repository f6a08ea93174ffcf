"""What an attempt came to, as a value. Every attempt ends in exactly one of these.

Running never raises: the lane, or the janitor for a worker that is gone, hands one outcome to
`decide`, which says what it means for the job. The types keep apart whose failure it was: the handler
raised (`Raised`, `Rejected`, `RetryAsked`, `TimedOut`), the process died (`Died`, `Abandoned`), or nobody
failed and the attempt was taken away (`Interrupted`, `Cancelled`, `LockLost`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from heavylift.job import ENVELOPE_VERSION
from heavylift.size import shown


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An exception as plain data. User exceptions never cross a process boundary; this does.

    Attributes:
        type: qualified name of the exception's class, `builtins.` left out.
        message: `str()` of it, capped.
        traceback: the formatted traceback, capped in the middle.
        fingerprint: short digest of type and the handler's own frames, equal for equal faults.
    """

    type: str
    message: str
    traceback: str = ""
    fingerprint: str = ""


class Completed(msgspec.Struct, frozen=True):
    """The handler returned. `result` is its value as JSON, within the size limit."""

    result: bytes


@dataclass(frozen=True, slots=True)
class Raised:
    """The handler raised. `retryable` is False where `give_up_on` or `retry_on` rules a retry out."""

    error: ErrorInfo
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """The handler raised `Retry`. `after` in seconds, None for the backoff. `queue_wide`: its queue rests so long."""

    after: float | None
    message: str
    queue_wide: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The handler raised `Reject`."""

    message: str


@dataclass(frozen=True, slots=True)
class Doubtful:
    """An effect of `ctx.once` was begun by an earlier attempt, and whether it happened is not known."""

    message: str


@dataclass(frozen=True, slots=True)
class Held:
    """An effect of `ctx.once` is being done by another attempt just now."""

    message: str


@dataclass(frozen=True, slots=True)
class Invalid:
    """The stored arguments do not fit the handler's signature; it was not called."""

    message: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """What is stored of the job cannot be read at all; it is kept raw."""

    message: str


@dataclass(frozen=True, slots=True)
class UnknownHandler:
    """This worker has no handler of that name; nothing was called."""

    handler: str


@dataclass(frozen=True, slots=True)
class TooNew:
    """A newer release has put it in, and says that workers of this one must not run it; nothing was called."""

    version: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The attempt outlived its `timeout` (seconds). `forced`: it did not end by itself when asked."""

    timeout: float
    forced: bool = False
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class SetupFailed:
    """What the handler has loaded before it begins could not be loaded; it was not called."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """The handler took more memory than it may, or than there is.

    Attributes:
        limit: what it may take, in bytes; None if it has no limit.
        used: what it and all that it had started had taken when they were killed for it; 0 if an allocation failed.
        error: the `MemoryError`, if an allocation failed.
        retryable: False where `give_up_on` or `retry_on` rules a retry out.
    """

    limit: int | None
    used: int = 0
    error: ErrorInfo | None = None
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class Died:
    """The child died while the handler ran, by no doing of ours.

    `cause`: `exited:0`, `killed:SIGSEGV`; `killed:SIGKILL` also when the system itself had no memory left. `detail`:
    e.g. the faulthandler dump.
    """

    cause: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The worker that held the lock is gone or frozen; its lock expired and was taken over."""

    worker: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Taken away through no fault of the job: shutdown, contact lost, no place after all, its process died before it
    was called.
    """

    why: Literal["shutdown", "lost_contact", "no_place", "not_begun"]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Stopped because somebody cancelled the job. `forced`: it had to be killed."""

    forced: bool = False


@dataclass(frozen=True, slots=True)
class LockLost:
    """Stopped because another worker holds the job now. There is nothing left to settle."""


Outcome: TypeAlias = (
    Completed
    | Raised
    | RetryAsked
    | Rejected
    | Doubtful
    | Held
    | Invalid
    | Malformed
    | UnknownHandler
    | TooNew
    | TimedOut
    | SetupFailed
    | OutOfMemory
    | Died
    | Abandoned
    | Interrupted
    | Cancelled
    | LockLost
)
"""What an attempt came to. `cause_of` has the word for it that is kept with the attempt."""


def cause_of(outcome: Outcome) -> str:
    """The word kept with the attempt, and counted in metrics."""
    match outcome:
        case Completed():
            return "completed"
        case Raised():
            return "error"
        case RetryAsked():
            return "retry"
        case Rejected():
            return "rejected"
        case Doubtful():
            return "in_doubt"
        case Held():
            return "held"
        case Invalid():
            return "invalid"
        case Malformed():
            return "malformed"
        case UnknownHandler():
            return "unknown_handler"
        case TooNew():
            return "too_new"
        case TimedOut():
            return "timeout"
        case SetupFailed():
            return "setup"
        case OutOfMemory():
            return "out_of_memory"
        case Died(cause=cause):
            return cause
        case Abandoned():
            return "abandoned"
        case Interrupted(why=why):
            return why
        case Cancelled():
            return "cancelled"
        case LockLost():
            return "lock_lost"


def error_of(outcome: Outcome) -> ErrorInfo | None:
    """What went wrong, for the job's record; None where nothing did."""
    match outcome:
        case Completed() | Cancelled() | LockLost():
            return None
        case Raised(error=error) | SetupFailed(error=error):
            return error
        case RetryAsked(message=message):
            return ErrorInfo("Retry", message)
        case Rejected(message=message):
            return ErrorInfo("Reject", message)
        case Doubtful(message=message):
            return ErrorInfo("InDoubt", message)
        case Held(message=message):
            return ErrorInfo("EffectHeld", message)
        case Invalid(message=message):
            return ErrorInfo("InvalidJob", message)
        case Malformed(message=message):
            return ErrorInfo("MalformedJob", message)
        case UnknownHandler(handler=name):
            return ErrorInfo("UnknownHandler", f"no worker of this queue has a handler named {name!r}")
        case TooNew(version=version):
            return ErrorInfo(
                "TooNew",
                f"it says version {version} of the envelope, and the workers of this queue understand "
                f"{ENVELOPE_VERSION} at most: update them, then replay it",
            )
        case TimedOut(timeout=timeout, forced=forced, error=error):
            ending = "had to be killed" if forced else "was stopped"
            trace = error.traceback if error else ""
            return ErrorInfo("Timeout", f"ran longer than its timeout of {timeout:g} s and {ending}", trace)
        case OutOfMemory(error=error):
            trace, fingerprint = (error.traceback, error.fingerprint) if error else ("", "")
            return ErrorInfo("OutOfMemory", _out_of_memory(outcome), trace, fingerprint)
        case Died(cause=cause, detail=detail):
            return ErrorInfo("ProcessDied", f"the process that ran it ended: {cause}", detail)
        case Abandoned(worker=worker):
            return ErrorInfo("WorkerLost", f"worker {worker} stopped renewing its lock")
        case Interrupted(why=why):
            return ErrorInfo("Interrupted", f"put back without cost: {why}")


def _out_of_memory(outcome: OutOfMemory) -> str:
    if outcome.used and outcome.limit:
        return f"took {shown(outcome.used)}, more than its limit of {shown(outcome.limit)}, and was killed"
    said = f": {outcome.error.message}" if outcome.error and outcome.error.message else ""
    return (
        f"an allocation failed under its limit of {shown(outcome.limit)}{said}"
        if outcome.limit
        else (f"an allocation failed{said}")
    )

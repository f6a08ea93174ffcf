"""Every error heavylift raises on purpose, as one tree that says whose fault it is.

`HeavyliftError` is the root. Below it: what the caller got wrong (`InvalidArgument` and its kin), what the
store could not do (`StoreError`), and how a job ended when its result was asked for (`JobFailed`).

The words a handler uses to steer its own attempt, `Retry` and `Reject`, stand apart: they are not faults.
So does `Stop`, a `BaseException`, which heavylift raises inside a handler that must end now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from msgspec import MsgspecError

UNREADABLE = (MsgspecError, UnicodeDecodeError, RecursionError)
"""What a decoder raises of bytes that are not what they ought to be; text that is none and what is nested too deep are
not among its own errors."""


class HeavyliftError(Exception):
    """Root of every error that heavylift raises on purpose."""


# --- what the caller got wrong ------------------------------------------------------------------------


class InvalidArgument(HeavyliftError, ValueError):
    """A value was refused at the door.

    Attributes:
        field: name of the parameter, option or setting.
        value: what was given.
        remedy: what to do instead, a clause without a capital.
    """

    def __init__(self, field: str, value: object, remedy: str) -> None:
        try:
            shown = repr(value)
        except Exception as wrong:
            shown = f"<{type(value).__name__} that cannot be shown: {type(wrong).__name__}>"
        if len(shown) > 120:
            shown = shown[:117] + "..."
        super().__init__(f"{field}={shown}: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy


class InvalidJob(InvalidArgument):
    """The arguments of a job do not fit the handler's signature. Nothing was enqueued."""


class PayloadTooLarge(InvalidArgument):
    """The encoded arguments of a job are larger than `max_payload`. Nothing was enqueued."""


class InvalidResult(InvalidArgument):
    """What a handler returned cannot be stored: it is not JSON, or larger than `max_result`. No retry helps."""


class ClientClosed(HeavyliftError):
    """The client was closed by one thread or task while another waited for something with it."""

    def __init__(self) -> None:
        super().__init__("the client was closed meanwhile")


class HandlerError(InvalidArgument):
    """A handler cannot be declared or loaded as it is written."""


# --- what the store could not do ----------------------------------------------------------------------


class StoreError(HeavyliftError):
    """Redis answered with a refusal, or could not be asked."""


class Unavailable(StoreError, ConnectionError):
    """Redis cannot be reached, or did not answer in time. Whether the call ran is not known."""


class Busy(StoreError):
    """A key this call must write is moving to another cluster node. Nothing was changed; ask again."""


class ServerFull(StoreError):
    """Redis is at `maxmemory` and takes no new jobs. Settling and heartbeats still run and drain it."""


class NotAllEnqueued(StoreError):
    """Of the jobs given to `enqueue_many` some are in and some are not.

    Attributes:
        jobs: for each job in the order given, what `enqueue_many` would have returned for it; None if it is not known
            to be in.
        errors: why not, by place in that order. `Unavailable` means that it may be in all the same.
        ids: every job's id. Enqueued again under it, a job is there once whatever happened.
    """

    def __init__(self, jobs: Sequence[Any], errors: Mapping[int, StoreError], ids: Sequence[str]) -> None:
        first = errors[min(errors)]
        super().__init__(f"{len(errors)} of {len(jobs)} jobs were not enqueued, the first at {min(errors)}: {first}")
        self.jobs = jobs
        self.errors = errors
        self.ids = ids


class NotDurable(StoreError):
    """Redis has the jobs, but did not say in time that they are kept as asked for (`durable`). They will run.

    Attributes:
        jobs: what `enqueue_many` would have returned, or in a list what `enqueue` would have.
        unsure: the places of those of which it is not known.
    """

    def __init__(self, jobs: Sequence[Any], unsure: Sequence[int]) -> None:
        ids = ", ".join(jobs[place].id for place in unsure[:3])
        super().__init__(f"{len(unsure)} of {len(jobs)} jobs are enqueued but not known to be kept as asked for: {ids}")
        self.jobs = jobs
        self.unsure = unsure

    @property
    def job(self) -> Any:
        """The first of those."""
        return self.jobs[self.unsure[0]]


class ParentsForgotten(StoreError):
    """The parents of a job are not noted any more, so it was not enqueued. Enqueue it again.

    They are noted just before, and forgotten when the job itself does not come within an hour, or when somebody else
    enqueues another of its id meanwhile.
    """


class ServerUnsupported(StoreError):
    """The server is too old, or set up so that it would lose jobs. The message names the remedy."""


class PermissionMissing(StoreError):
    """The ACL user may not do this, or a certificate is not trusted. The message names what is missing."""


class JobNotFound(HeavyliftError, LookupError):
    """No job with this id: never enqueued, or removed by retention."""


class ScheduleNotFound(HeavyliftError, LookupError):
    """No schedule with this name."""


class ScheduleChanging(HeavyliftError):
    """A schedule was changed by others whenever it was to be resumed. Resume it again once they are done."""

    def __init__(self, name: str) -> None:
        super().__init__(f"schedule {name} keeps being changed by others; resume it once they are done")


class EffectNotFound(HeavyliftError, LookupError):
    """Nothing is known of an effect of this key: it was never begun, or is forgotten."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"nothing is known of {key!r}: it was never begun, or is forgotten; the key is the one given to ctx.once"
        )


class WorkerNotFound(HeavyliftError, LookupError):
    """No worker of this id is alive."""


class WorkerSilent(HeavyliftError, TimeoutError):
    """A worker is alive, but has not done in time what it was told: it hangs, or its version knows nothing of this.

    It may do it later. End it and start another if it does not.
    """

    def __init__(self, id: str) -> None:
        super().__init__(f"worker {id} does not answer: it hangs, or its version knows nothing of this; start it anew")


class UniqueHeld(HeavyliftError):
    """The job is to be unique, and another one like it is there: it was not put back in line, and nothing was changed.

    Attributes:
        job: the id of the job that was to be replayed.
    """

    def __init__(self, job: str) -> None:
        super().__init__(f"job {job} stays in the dead letters: another job like it is there, and it is to be unique")
        self.job = job


# --- how a job ended, raised by `Job.result` ----------------------------------------------------------


class JobFailed(HeavyliftError):
    """The job is in the dead letters.

    Attributes:
        job: the job's id.
        reason: why it will not be tried again (`exhausted`, `rejected`, `poison` ...).
        cause: what its last attempt came to (`error`, `timeout`, `killed:SIGSEGV` ...), if there was one.
        traceback: the last attempt's traceback as text, if there was one.
    """

    def __init__(
        self, job: str, reason: str, message: str, cause: str | None = None, traceback: str | None = None
    ) -> None:
        super().__init__(f"job {job} failed ({reason}): {message}")
        self.job = job
        self.reason = reason
        self.message = message
        self.cause = cause
        self.traceback = traceback


class JobCancelled(HeavyliftError):
    """The job was cancelled before it completed."""

    def __init__(self, job: str) -> None:
        super().__init__(f"job {job} was cancelled")
        self.job = job


class ResultTimeout(HeavyliftError, TimeoutError):
    """The job had not ended when the time given to `Job.result` was over. It goes on; the message says why."""


# --- the control words a handler may raise ------------------------------------------------------------


class Retry(Exception):
    """Raised by a handler: try this job again. It counts as an attempt, unless it is `queue_wide`.

    Args:
        after: seconds (or a timedelta) until the next attempt; the handler's backoff if not given.
        message: kept with the attempt.
        queue_wide: no job of the queue is started until then: the other side has said "too many requests". It is not
            the job's failure: it goes back to its place, no attempt is used. At most an hour; `resume` ends it.

    Raises:
        InvalidArgument: `after` is no time, or is missing for the whole queue.
    """

    def __init__(self, after: float | timedelta | None = None, message: str = "", *, queue_wide: bool = False) -> None:
        if isinstance(after, timedelta):
            after = after.total_seconds()
        if after is not None and (not isinstance(after, (int, float)) or not 0 <= after < 1e10):
            raise InvalidArgument("after", after, "give seconds, zero or more, or a timedelta")
        if queue_wide and not after:
            raise InvalidArgument("after", after, "say for how many seconds the queue shall rest")
        super().__init__(message or "the handler asked to be tried again")
        self.after = None if after is None else float(after)
        self.queue_wide = bool(queue_wide)


class Reject(Exception):
    """Raised by a handler: this job can never succeed. It goes to the dead letters at once."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class EffectHeld(HeavyliftError):
    """Raised by `ctx.once`: another attempt is at this effect just now.

    Let it pass: the job is tried again shortly, and no attempt of it is used.

    Attributes:
        key: of the effect.
        job: the one that is at it.
    """

    def __init__(self, key: str, job: str = "") -> None:
        super().__init__(f"job {job} is at {key!r} just now")
        self.key = key
        self.job = job


class InDoubt(HeavyliftError):
    """Raised by `ctx.once`: this effect was begun before, and its result was never recorded.

    Let it pass: the job goes to the dead letters, reason `in_doubt`, until somebody has found out whether the effect
    happened, and has said so (`heavylift once`).

    Attributes:
        key: of the effect.
        job: the one that began it.
    """

    def __init__(self, key: str, job: str = "") -> None:
        super().__init__(
            f"{key!r} was begun by job {job or 'of this name'} and never finished: whether it happened is not known"
        )
        self.key = key
        self.job = job


StopReason = Literal["timeout", "cancelled", "lock_lost", "lost_contact", "shutdown"]
"""Why an attempt must end now."""


class Stop(BaseException):
    """Raised inside a running handler that must end now. Clean up and let it pass.

    A `BaseException`, so that a broad `except Exception` in a handler does not swallow it.

    Attributes:
        reason: why: `timeout`, `cancelled`, `lock_lost`, `lost_contact` or `shutdown`.
    """

    def __init__(self, reason: StopReason = "cancelled") -> None:
        super().__init__(reason)
        self.reason: StopReason = reason

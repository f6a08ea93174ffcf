"""What an outcome means for the job. Pure: values in, a value out, no clock, no I/O.

Every ending of every attempt goes through `decide`: a result, an exception, a killed child, a worker that
died (the janitor brings that one), a shutdown. The retry rule exists here and nowhere else.

Four counters are kept apart (see `job.Counters`):

- *attempts*: the handler failed. Up to `retries` more, each after the backoff, then `exhausted`.
- *crashes*: its process or worker died under it. The first time the job goes back to its place at once,
  the second time after the backoff, the third such start is the last: `poison`. A job that has saved a new checkpoint
  gets on, so only crashes since then are counted like that; but no more than twenty in all.
- *interruptions*: it was taken away through no fault of its own, or has its queue rest. Back to its place, free.
- *unbegun*: its process died before the handler was called. Back to its place, free, for that is hardly its fault;
  ten times. Then with the backoff's waits, and the thirteenth is the last: `poison`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from heavylift.job import Counters, Reason, State
from heavylift.options import Backoff
from heavylift.outcome import (
    Abandoned,
    Cancelled,
    Completed,
    Died,
    Doubtful,
    Held,
    Interrupted,
    Invalid,
    LockLost,
    Malformed,
    Outcome,
    OutOfMemory,
    Raised,
    Rejected,
    RetryAsked,
    SetupFailed,
    TimedOut,
    TooNew,
    UnknownHandler,
)

POISON_AT = 3
"""The start that ends in a crash for the third time, with no new checkpoint between them, is the last."""

CRASHES_AT_MOST = 20
"""And so is the one that ends in a crash for this time in all, however far the job has come."""

UNKNOWN_TRIES = 5
UNKNOWN_WAIT = 10.0
"""A job of an unknown handler is put back this often, this many seconds apart: a deploy may be under way."""

HELD_WAIT = 2.0
"""Seconds until a job that met another at the same effect is tried again."""

LONGEST_WAIT = 1e10
"""No due time lies further ahead than this many seconds; also keeps infinity and NaN out of the store."""

LONGEST_REST = 3600.0
"""A handler may have its queue rest for so many seconds at most."""

UNBEGUN_FREE = 10
"""So often may a process die before the handler begins; from then on the job itself is suspected."""

UNBEGUN_AT = UNBEGUN_FREE + POISON_AT
"""The start whose process dies like that for this time is the last."""

DEFAULT_BACKOFF = Backoff()

CounterName = Literal["", "attempts", "crashes", "interruptions", "unknown", "unbegun"]
"""The counter of a job that an outcome counts for; empty for none."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one job: its own options over its handler's over the defaults.

    Attributes:
        retries: tries after the first.
        backoff: waits between them; a function gets the number of failures so far (from 1), returns seconds.
    """

    retries: int = 3
    backoff: Backoff | Callable[[int], float] = DEFAULT_BACKOFF


class Settlement(msgspec.Struct, frozen=True):
    """What is to be written.

    Attributes:
        to: the state the job enters; None if there is nothing to write (the lock is another's).
        count: the counter that goes up by one.
        delay: seconds until it may run again (`to` is delayed if above zero).
        keep_rank: back to its old place in the line instead of the end.
        reason: why it is in the dead letters.
        result: JSON of what the handler returned.
        rest: seconds that its queue gives out no jobs.
    """

    to: State | None
    count: CounterName = ""
    delay: float = 0.0
    keep_rank: bool = False
    reason: Reason | None = None
    result: bytes | None = None
    rest: float = 0.0


def decide(outcome: Outcome, counters: Counters, policy: Policy, luck: float) -> Settlement:
    """What becomes of a job whose attempt came to `outcome`.

    Args:
        outcome: what the attempt came to.
        counters: as they were when the attempt started (`starts` includes it).
        policy: the job's rules.
        luck: a random number in [0, 1) for the jitter; passed in to keep this function pure.
    """
    match outcome:
        case Completed(result=result):
            return Settlement(State.COMPLETED, result=result)
        case Cancelled():
            return Settlement(State.CANCELLED)
        case LockLost():
            return Settlement(None)
        case Interrupted(why="not_begun"):
            return _not_begun(counters, policy, luck)
        case Interrupted():
            return Settlement(State.WAITING, count="interruptions", keep_rank=True)
        case Died() | Abandoned():
            return _crashed(counters, policy, luck)
        case UnknownHandler():
            return _left_to_others(counters, Reason.UNKNOWN_HANDLER)
        case TooNew():
            return _left_to_others(counters, Reason.TOO_NEW)
        case Rejected():
            return Settlement(State.FAILED, count="attempts", reason=Reason.REJECTED)
        case Doubtful():
            return Settlement(State.FAILED, count="attempts", reason=Reason.IN_DOUBT)
        case Held():
            return _again("interruptions", HELD_WAIT)
        case Invalid():
            return Settlement(State.FAILED, reason=Reason.INVALID)
        case Malformed():
            return Settlement(State.FAILED, reason=Reason.MALFORMED)
        case Raised(retryable=False) | OutOfMemory(retryable=False):
            return Settlement(State.FAILED, count="attempts", reason=Reason.EXHAUSTED)
        case RetryAsked(after=after, queue_wide=True):
            return Settlement(
                State.WAITING, count="interruptions", keep_rank=True, rest=_bounded(after or 0.0, LONGEST_REST)
            )
        case RetryAsked(after=after):
            return _failed(counters, policy, luck, after)
        case Raised() | TimedOut() | SetupFailed() | OutOfMemory():
            return _failed(counters, policy, luck, None)


def _failed(counters: Counters, policy: Policy, luck: float, after: float | None) -> Settlement:
    failures = counters.attempts + 1
    if failures > policy.retries:
        return Settlement(State.FAILED, count="attempts", reason=Reason.EXHAUSTED)
    return _again("attempts", wait_before(failures, policy, luck) if after is None else after)


def _crashed(counters: Counters, policy: Policy, luck: float) -> Settlement:
    crashes = counters.crashes + 1 - counters.overcome
    if crashes >= POISON_AT or counters.crashes + 1 >= CRASHES_AT_MOST:
        return Settlement(State.FAILED, count="crashes", reason=Reason.POISON)
    if crashes <= 1:
        return Settlement(State.WAITING, count="crashes", keep_rank=True)
    return _again("crashes", wait_before(crashes, policy, luck))


def _left_to_others(counters: Counters, reason: Reason) -> Settlement:
    if counters.unknown >= UNKNOWN_TRIES:
        return Settlement(State.FAILED, count="unknown", reason=reason)
    return _again("unknown", UNKNOWN_WAIT)


def _not_begun(counters: Counters, policy: Policy, luck: float) -> Settlement:
    times = counters.unbegun + 1
    if times >= UNBEGUN_AT:
        return Settlement(State.FAILED, count="unbegun", reason=Reason.POISON)
    if times <= UNBEGUN_FREE:
        return Settlement(State.WAITING, count="unbegun", keep_rank=True)
    return _again("unbegun", wait_before(times - UNBEGUN_FREE, policy, luck))


def _again(count: CounterName, delay: float) -> Settlement:
    delay = _bounded(delay, LONGEST_WAIT)
    return Settlement(State.DELAYED if delay else State.WAITING, count=count, delay=delay)


def _bounded(seconds: float, most: float) -> float:
    """At most so long; not at all for what is no time, as NaN."""
    return min(float(seconds), most) if seconds > 0 else 0.0


def wait_before(failures: int, policy: Policy, luck: float) -> float:
    """Seconds to wait after the given number of failures (from 1), by the policy's backoff.

    Never raises: a backoff function that does, or returns nonsense, stands for the default backoff. The job must be
    settled whatever its handler's author wrote.
    """
    backoff = policy.backoff
    if not isinstance(backoff, Backoff):
        try:
            wait = float(backoff(failures))
        except Exception:
            wait = -1.0
        if 0 <= wait < LONGEST_WAIT:
            return wait
        backoff = DEFAULT_BACKOFF
    if backoff.delays is not None:
        full = backoff.delays[min(failures, len(backoff.delays)) - 1]
    else:
        full = _exponential(backoff, failures)
    return full * (1.0 - backoff.jitter * luck)


def _exponential(backoff: Backoff, failures: int) -> float:
    import tenacity  # here, so that producers and children never load it

    state = tenacity.RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
    state.attempt_number = failures
    return tenacity.wait_exponential(multiplier=backoff.initial, exp_base=backoff.factor, max=backoff.cap)(state)

"""An attempt: from what a handler does to an outcome, without any lane."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from heavylift.attempt import Prepared, Start, prepare, run, run_async, stopped
from heavylift.codec import encode_envelope
from heavylift.context import Context, Silent
from heavylift.errors import Reject, Retry, Stop, StopReason
from heavylift.handler import Handler, handler
from heavylift.job import Counters, Envelope
from heavylift.middleware import Middleware
from heavylift.outcome import (
    Cancelled,
    Completed,
    Interrupted,
    Invalid,
    LockLost,
    Raised,
    Rejected,
    RetryAsked,
    TimedOut,
    UnknownHandler,
)
from heavylift.registry import Registry

REASONS: tuple[StopReason, ...] = ("timeout", "cancelled", "lock_lost", "lost_contact", "shutdown")


class Asked(Silent):
    """A reporter whose attempt was asked to stop."""

    def __init__(self, reason: StopReason | None = None) -> None:
        self.reason = reason

    def stopping(self) -> StopReason | None:
        return self.reason


def start(name: str, timeout: float | None = None, **args: Any) -> Start:
    spec = encode_envelope(
        Envelope(name, msgspec.Raw(msgspec.json.encode(args)), 1500, tags=("t",), correlation_id="c")
    )
    return Start("id", "q", "token", spec, Counters(starts=4), timeout)


def outcome_of(
    fn: Handler[..., Any], reason: StopReason | None = None, timeout: float | None = None, **args: Any
) -> Any:
    prepared = prepare(start(fn.name, timeout, **args), Registry([fn]))
    assert isinstance(prepared, Prepared)
    if fn.is_async:
        return asyncio.run(run_async(prepared, Asked(reason), 100))
    return run(prepared, Asked(reason), 100)


def test_the_context_is_filled_from_the_envelope() -> None:
    @handler
    def tell(ctx: Context, n: int) -> list[Any]:
        job = ctx.job
        return [job.id, job.queue, job.handler, job.tags, job.correlation_id, job.enqueued_at, ctx.attempt, n]

    assert outcome_of(tell, n=2) == Completed(b'["id","q","tell",["t"],"c",1.5,4,2]')


def test_what_cannot_be_prepared_is_an_outcome() -> None:
    assert prepare(start("who"), Registry()) == UnknownHandler("who")
    assert isinstance(prepare(Start("i", "q", "t", b"nonsense"), Registry()), Invalid)


def test_a_validator_that_breaks_makes_the_arguments_invalid() -> None:
    class Picky(msgspec.Struct):
        n: int

        def __post_init__(self) -> None:
            raise ZeroDivisionError("in the validator")

    @handler
    def take(picky: Picky) -> None: ...

    outcome = outcome_of(take, picky={"n": 1})
    assert isinstance(outcome, Invalid)


def _raising(error: BaseException, is_async: bool) -> Handler[..., Any]:
    if is_async:

        @handler
        async def throw_async() -> None:
            raise error

        return throw_async

    @handler
    def throw() -> None:
        raise error

    return throw


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("reason", "expected"),
    list(
        zip(REASONS, [None, Cancelled(), LockLost(), Interrupted("lost_contact"), Interrupted("shutdown")], strict=True)
    ),
)
def test_a_stop_becomes_what_its_reason_says(reason: StopReason, expected: Any, is_async: bool) -> None:
    outcome = outcome_of(_raising(Stop(reason), is_async), reason, 1.5)
    if expected is None:
        assert isinstance(outcome, TimedOut)
        assert (outcome.timeout, outcome.forced) == (1.5, False)
        assert outcome.error is not None
    else:
        assert outcome == expected


def test_an_error_while_cleaning_up_after_a_stop_does_not_make_it_a_failure() -> None:
    assert outcome_of(_raising(OSError("rollback failed"), False), "cancelled") == Cancelled()


@pytest.mark.parametrize("reason", [None, *REASONS])
def test_the_control_words_are_heard_even_after_a_stop(reason: StopReason | None) -> None:
    assert outcome_of(_raising(Retry(3.0, "m"), False), reason) == RetryAsked(3.0, "m")
    assert outcome_of(_raising(Reject("no"), False), reason) == Rejected("no")


def test_a_stop_that_nobody_asked_for_is_a_failure() -> None:
    outcome = outcome_of(_raising(Stop("cancelled"), False))
    assert isinstance(outcome, Raised)


def test_a_result_above_the_limit_is_a_failure_that_no_retry_mends() -> None:
    @handler
    def much() -> str:
        return "x" * 99

    outcome = outcome_of(much)
    assert isinstance(outcome, Raised)
    assert not outcome.retryable
    assert "max_result" in outcome.error.message


def test_every_reason_has_an_outcome_forced_or_not() -> None:
    for reason, forced in itertools.product(REASONS, (False, True)):
        assert stopped(reason, 2.0, forced=forced) is not None


# --- middleware ----------------------------------------------------------------------------------------------


class Around(Middleware):
    """Raises where it is told to, or keeps what the handler raises to itself."""

    def __init__(self, before: BaseException | None = None, after: BaseException | None = None, deaf: bool = False):
        self.before, self.after, self.deaf = before, after, deaf

    @contextmanager
    def call(self, ctx: Context) -> Iterator[None]:
        if self.before:
            raise self.before
        try:
            yield
        except ValueError:
            if not self.deaf:
                raise
        if self.after:
            raise self.after


def _within(middleware: Middleware, is_async: bool, error: BaseException | None = None) -> Any:
    called: list[int] = []

    def plain(n: int) -> str:
        called.append(n)
        if error:
            raise error
        return "done"

    async def on_loop(n: int) -> str:
        return plain(n)

    on_loop.__name__ = "plain"
    fn = handler(on_loop if is_async else plain)
    prepared = prepare(start("plain", n=1), Registry([fn]))
    assert isinstance(prepared, Prepared)
    if is_async:
        return asyncio.run(run_async(prepared, Asked(), 100, [middleware])), called
    return run(prepared, Asked(), 100, [middleware]), called


@pytest.mark.parametrize("is_async", [False, True])
def test_what_middleware_raises_around_the_call_the_attempt_has_raised(is_async: bool) -> None:
    outcome, called = _within(Around(before=OSError("no session")), is_async)
    assert (outcome.error.message, outcome.retryable, called) == ("no session", True, [])
    outcome, called = _within(Around(after=OSError("no commit")), is_async)
    assert (outcome.error.message, called) == ("no commit", [1])
    assert _within(Around(before=Reject("closed")), is_async)[0] == Rejected("closed")
    assert _within(Around(after=Retry(after=7, message="later")), is_async)[0] == RetryAsked(7, "later")


@pytest.mark.parametrize("is_async", [False, True])
def test_middleware_sees_what_the_handler_raises_and_may_swallow_it(is_async: bool) -> None:
    assert _within(Around(), is_async, ValueError("x"))[0].error.type == "ValueError"
    assert _within(Around(deaf=True), is_async, ValueError("x"))[0] == Completed(b"null")
    assert _within(Around(), is_async)[0] == Completed(b'"done"')

"""Every outcome has one settlement; the retry rule as a table, then as properties."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heavylift.decide import (
    CRASHES_AT_MOST,
    DEFAULT_BACKOFF,
    HELD_WAIT,
    LONGEST_WAIT,
    UNBEGUN_AT,
    UNKNOWN_TRIES,
    UNKNOWN_WAIT,
    Policy,
    Settlement,
    decide,
    wait_before,
)
from heavylift.job import Counters, Reason, State
from heavylift.options import Backoff
from heavylift.outcome import (
    Abandoned,
    Cancelled,
    Completed,
    Died,
    Doubtful,
    ErrorInfo,
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
    cause_of,
    error_of,
)

ERROR = ErrorInfo("ValueError", "x")
TWO = Policy(retries=2, backoff=Backoff(initial=4, factor=3, jitter=0))
AT_ONCE = Policy(retries=2, backoff=Backoff(initial=0))


def after(
    attempts: int = 0, crashes: int = 0, unknown: int = 0, interruptions: int = 0, unbegun: int = 0, overcome: int = 0
) -> Counters:
    starts = 1 + attempts + crashes + unknown + interruptions + unbegun
    return Counters(starts, attempts, crashes, interruptions, unknown, unbegun, overcome)


@pytest.mark.parametrize(
    ("outcome", "counters", "policy", "settlement"),
    [
        # It ended, one way or the other.
        (Completed(b"1"), after(), TWO, Settlement(State.COMPLETED, result=b"1")),
        (Completed(b"1"), after(attempts=9, crashes=9), TWO, Settlement(State.COMPLETED, result=b"1")),
        (Cancelled(), after(), TWO, Settlement(State.CANCELLED)),
        (Cancelled(forced=True), after(), TWO, Settlement(State.CANCELLED)),
        (LockLost(), after(), TWO, Settlement(None)),
        (Rejected("no"), after(), TWO, Settlement(State.FAILED, "attempts", reason=Reason.REJECTED)),
        (Doubtful("no"), after(), TWO, Settlement(State.FAILED, "attempts", reason=Reason.IN_DOUBT)),
        (Held("no"), after(attempts=9), TWO, Settlement(State.DELAYED, "interruptions", HELD_WAIT)),
        (Invalid("no"), after(), TWO, Settlement(State.FAILED, reason=Reason.INVALID)),
        (Malformed("no"), after(), TWO, Settlement(State.FAILED, reason=Reason.MALFORMED)),
        # The handler failed: twice more, then no more.
        (Raised(ERROR), after(), TWO, Settlement(State.DELAYED, "attempts", 4)),
        (Raised(ERROR), after(attempts=1), TWO, Settlement(State.DELAYED, "attempts", 12)),
        (Raised(ERROR), after(attempts=2), TWO, Settlement(State.FAILED, "attempts", reason=Reason.EXHAUSTED)),
        (Raised(ERROR), after(), Policy(0), Settlement(State.FAILED, "attempts", reason=Reason.EXHAUSTED)),
        (Raised(ERROR), after(), AT_ONCE, Settlement(State.WAITING, "attempts")),
        (Raised(ERROR, False), after(), TWO, Settlement(State.FAILED, "attempts", reason=Reason.EXHAUSTED)),
        (TimedOut(60), after(), TWO, Settlement(State.DELAYED, "attempts", 4)),
        (TimedOut(60), after(attempts=2), TWO, Settlement(State.FAILED, "attempts", reason=Reason.EXHAUSTED)),
        (OutOfMemory(1000, 2000), after(crashes=2), TWO, Settlement(State.DELAYED, "attempts", 4)),
        (OutOfMemory(1000, 2000), after(attempts=2), TWO,
            Settlement(State.FAILED, "attempts", reason=Reason.EXHAUSTED)),
        (OutOfMemory(None, error=ERROR, retryable=False), after(), TWO,
            Settlement(State.FAILED, "attempts", reason=Reason.EXHAUSTED)),
        (SetupFailed(ERROR), after(crashes=2), TWO, Settlement(State.DELAYED, "attempts", 4)),
        # It asked for another try: that counts, and the wait is its own if it said one.
        (RetryAsked(None, ""), after(), TWO, Settlement(State.DELAYED, "attempts", 4)),
        (RetryAsked(7, ""), after(), TWO, Settlement(State.DELAYED, "attempts", 7)),
        (RetryAsked(0, ""), after(), TWO, Settlement(State.WAITING, "attempts")),
        (RetryAsked(7, ""), after(attempts=2), TWO, Settlement(State.FAILED, "attempts", reason=Reason.EXHAUSTED)),
        # Its process died: at once, then after a wait, then never.
        (Died("killed:SIGKILL"), after(), TWO, Settlement(State.WAITING, "crashes", keep_rank=True)),
        (Died("exited:0"), after(crashes=1), TWO, Settlement(State.DELAYED, "crashes", 12)),
        (Died("exited:0"), after(crashes=2), TWO, Settlement(State.FAILED, "crashes", reason=Reason.POISON)),
        # It has got on since some of them: only those after its last checkpoint count, but not for ever.
        (Died("exited:0"), after(crashes=7, overcome=7), TWO, Settlement(State.WAITING, "crashes", keep_rank=True)),
        (Abandoned("w"), after(crashes=8, overcome=7), TWO, Settlement(State.DELAYED, "crashes", 12)),
        (Abandoned("w"), after(crashes=9, overcome=7), TWO,
            Settlement(State.FAILED, "crashes", reason=Reason.POISON)),
        (Died("exited:0"), after(crashes=CRASHES_AT_MOST - 1, overcome=CRASHES_AT_MOST - 1), TWO,
            Settlement(State.FAILED, "crashes", reason=Reason.POISON)),
        (Abandoned("w"), after(), TWO, Settlement(State.WAITING, "crashes", keep_rank=True)),
        (Abandoned("w"), after(crashes=2), TWO, Settlement(State.FAILED, "crashes", reason=Reason.POISON)),
        # It was taken away: free, and back to its place.
        (Interrupted("shutdown"), after(), TWO, Settlement(State.WAITING, "interruptions", keep_rank=True)),
        (Interrupted("no_place"), after(unbegun=12), TWO, Settlement(State.WAITING, "interruptions", keep_rank=True)),
        # Its process died before it was called: free for long, then after waits, then never.
        (Interrupted("not_begun"), after(unbegun=9, interruptions=99, crashes=2), TWO,
            Settlement(State.WAITING, "unbegun", keep_rank=True)),
        (Interrupted("not_begun"), after(unbegun=10, crashes=2), TWO, Settlement(State.DELAYED, "unbegun", 4)),
        (Interrupted("not_begun"), after(unbegun=11), TWO, Settlement(State.DELAYED, "unbegun", 12)),
        (Interrupted("not_begun"), after(unbegun=12), TWO,
            Settlement(State.FAILED, "unbegun", reason=Reason.POISON)),
        # Nobody here knows it: a deploy may be under way.
        (UnknownHandler("x"), after(), TWO, Settlement(State.DELAYED, "unknown", UNKNOWN_WAIT)),
        (UnknownHandler("x"), after(unknown=UNKNOWN_TRIES), TWO,
            Settlement(State.FAILED, "unknown", reason=Reason.UNKNOWN_HANDLER)),
        (TooNew(2), after(unknown=4), TWO, Settlement(State.DELAYED, "unknown", UNKNOWN_WAIT)),
        (TooNew(2), after(unknown=UNKNOWN_TRIES), TWO,
            Settlement(State.FAILED, "unknown", reason=Reason.TOO_NEW)),
        # One counter does not use up another.
        (Raised(ERROR), after(crashes=2, unknown=4), TWO, Settlement(State.DELAYED, "attempts", 4)),
        (Died("exited:0"), after(attempts=2), TWO, Settlement(State.WAITING, "crashes", keep_rank=True)),
        (Died("exited:0"), after(attempts=2), Policy(0), Settlement(State.WAITING, "crashes", keep_rank=True)),
    ],
)  # fmt: skip
def test_what_an_outcome_means(outcome: Outcome, counters: Counters, policy: Policy, settlement: Settlement) -> None:
    assert decide(outcome, counters, policy, luck=0.0) == settlement


# --- properties ------------------------------------------------------------------------------------------


def nonsense(failures: int) -> Any:
    return "soon"


def broken(failures: int) -> float:
    raise ZeroDivisionError


counts = st.integers(0, 50)
counters = st.builds(after, counts, counts, counts, counts, counts)
backoffs = st.builds(
    Backoff,
    initial=st.floats(0, 1e6),
    factor=st.floats(1, 100),
    cap=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
    delays=st.none() | st.lists(st.floats(0, 1e6), min_size=1, max_size=4).map(tuple),
)
functions: st.SearchStrategy[Callable[[int], float]] = st.sampled_from(
    [nonsense, broken, lambda n: -1.0, lambda n: math.nan, lambda n: math.inf, lambda n: n * 2.0]
)
policies = st.builds(Policy, retries=st.integers(0, 20), backoff=backoffs | functions)
luck = st.floats(0, 1, exclude_max=True)
errors = st.just(ERROR)
by_kind: dict[type, st.SearchStrategy[Any]] = {
    Completed: st.builds(Completed, st.just(b"1")),
    Raised: st.builds(Raised, errors, st.booleans()),
    RetryAsked: st.builds(RetryAsked, st.none() | st.floats(0, 1e9), st.just("")),
    Rejected: st.builds(Rejected, st.just("no")),
    Doubtful: st.builds(Doubtful, st.just("no")),
    Held: st.builds(Held, st.just("no")),
    Invalid: st.builds(Invalid, st.just("no")),
    Malformed: st.builds(Malformed, st.just("no")),
    UnknownHandler: st.builds(UnknownHandler, st.just("x")),
    TooNew: st.builds(TooNew, st.just(2)),
    SetupFailed: st.builds(SetupFailed, errors),
    TimedOut: st.builds(TimedOut, st.just(1.0), st.booleans()),
    OutOfMemory: st.builds(OutOfMemory, st.none() | st.just(1000), st.just(2000), st.none(), st.booleans()),
    Died: st.builds(Died, st.just("killed:SIGKILL")),
    Abandoned: st.builds(Abandoned, st.just("w")),
    Interrupted: st.builds(Interrupted, st.sampled_from(["shutdown", "lost_contact", "no_place", "not_begun"])),
    Cancelled: st.builds(Cancelled, st.booleans()),
    LockLost: st.builds(LockLost),
}
FREE = [Interrupted("shutdown"), Interrupted("lost_contact"), Interrupted("no_place")]
outcomes: st.SearchStrategy[Outcome] = st.one_of(*by_kind.values())


def test_the_properties_below_cover_every_outcome() -> None:
    assert set(by_kind) == set(get_args(Outcome))


@given(outcomes, counters, policies, luck)
def test_every_outcome_has_a_settlement_that_makes_sense(
    outcome: Outcome, counters: Counters, policy: Policy, luck: float
) -> None:
    """Whatever the handler's author wrote: a job that cannot be settled would be stuck."""
    settlement = decide(outcome, counters, policy, luck)
    assert settlement.to in (None, State.COMPLETED, State.WAITING, State.DELAYED, State.FAILED, State.CANCELLED)
    assert 0 <= settlement.delay < LONGEST_WAIT
    assert (settlement.to is State.DELAYED) == (settlement.delay > 0)
    assert (settlement.to is State.FAILED) == (settlement.reason is not None)
    assert (settlement.to is State.COMPLETED) == (settlement.result is not None)
    assert not settlement.keep_rank or settlement.to is State.WAITING
    assert decide(outcome, counters, policy, luck) == settlement, "the same again: it is pure"


@given(outcomes.filter(lambda o: o not in FREE and not isinstance(o, Held)), policies, luck)
def test_a_job_that_always_ends_the_same_way_ends(outcome: Outcome, policy: Policy, luck: float) -> None:
    """No job goes round for ever, except for those that are interrupted or meet another, which is nobody's fault."""
    tally = {"attempts": 0, "crashes": 0, "unknown": 0, "unbegun": 0, "": 0}
    for _ in range(policy.retries + UNBEGUN_AT + UNKNOWN_TRIES + 1):
        counters = after(tally["attempts"], tally["crashes"], tally["unknown"], unbegun=tally["unbegun"])
        settlement = decide(outcome, counters, policy, luck)
        if settlement.to not in (State.WAITING, State.DELAYED):
            return
        tally[settlement.count] += 1
    raise AssertionError(f"still going round after {tally}")


@given(policies, luck)
def test_a_job_that_gets_on_before_each_crash_ends_too(policy: Policy, luck: float) -> None:
    crashes = 0
    while decide(Died("killed:SIGKILL"), after(crashes=crashes, overcome=crashes), policy, luck).to is State.WAITING:
        crashes += 1
    assert crashes + 1 == CRASHES_AT_MOST


@given(st.integers(0, 20), luck)
def test_a_handler_that_fails_is_tried_as_often_as_retries_says_after_the_first(retries: int, luck: float) -> None:
    policy = Policy(retries=retries)
    tries = 1
    while decide(Raised(ERROR), after(attempts=tries - 1), policy, luck).to is not State.FAILED:
        tries += 1
    assert tries == retries + 1


@given(st.sampled_from(FREE), counters, policies, luck)
def test_an_interruption_costs_nothing(outcome: Interrupted, counters: Counters, policy: Policy, luck: float) -> None:
    settlement = decide(outcome, counters, policy, luck)
    assert settlement == Settlement(State.WAITING, "interruptions", keep_rank=True)


# --- the wait --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (Backoff(initial=1, factor=2, cap=10, jitter=0), [1, 2, 4, 8, 10, 10]),
        (Backoff(initial=5, factor=1, jitter=0), [5, 5, 5]),
        (Backoff(initial=0, jitter=0), [0, 0, 0]),
        (Backoff(delays=(1, 5, 30), jitter=0), [1, 5, 30, 30, 30]),
        (Backoff.of(900), [900, 900]),
        (lambda failures: failures * 10, [10, 20, 30]),
    ],
)
def test_waits_follow_the_backoff(backoff: Backoff | Callable[[int], float], waits: list[float]) -> None:
    policy = Policy(backoff=backoff)
    assert [wait_before(n, policy, 0.0) for n in range(1, len(waits) + 1)] == waits


def test_a_huge_number_of_failures_waits_for_the_cap() -> None:
    assert wait_before(100_000, Policy(backoff=Backoff(cap=600, jitter=0)), 0.0) == 600


@given(backoffs, st.integers(1, 1000), luck)
def test_jitter_only_shortens_a_wait_and_by_no_more_than_its_part(backoff: Backoff, failures: int, luck: float) -> None:
    policy = Policy(backoff=backoff)
    full, jittered = wait_before(failures, policy, 0.0), wait_before(failures, policy, luck)
    assert full * (1 - backoff.jitter) <= jittered <= full


@pytest.mark.parametrize("function", [nonsense, broken, lambda n: -1, lambda n: math.nan, lambda n: math.inf])
def test_a_backoff_function_that_will_not_do_stands_for_the_default(function: Callable[[int], float]) -> None:
    assert wait_before(3, Policy(backoff=function), 0.25) == wait_before(3, Policy(backoff=DEFAULT_BACKOFF), 0.25)


# --- what is kept of an outcome ----------------------------------------------------------------------------


@given(outcomes)
def test_every_outcome_has_a_cause_and_tells_what_went_wrong(outcome: Outcome) -> None:
    assert cause_of(outcome)
    nothing_wrong = isinstance(outcome, (Completed, Cancelled, LockLost))
    assert (error_of(outcome) is None) == nothing_wrong


@given(counters, policies, luck)
def test_only_what_was_begun_counts_as_a_crash(counters: Counters, policy: Policy, luck: float) -> None:
    settlement = decide(Interrupted("not_begun"), counters, policy, luck)
    assert settlement.count == "unbegun"
    harmless = after(counters.attempts, 0, 0, 0, counters.unbegun)
    assert settlement == decide(Interrupted("not_begun"), harmless, policy, luck), "no other counter has a say"


def test_no_backoff_leads_beyond_what_can_be_stored() -> None:
    policy = Policy(retries=2, backoff=Backoff(delays=(1e308,), jitter=0))
    assert decide(Raised(ErrorInfo("E", "")), Counters(starts=1), policy, luck=0.0).delay == 1e10


@pytest.mark.parametrize("queue_wide", [False, True])
@given(st.floats())
def test_whatever_wait_a_handler_asks_for_can_be_stored(queue_wide: bool, after: float) -> None:
    """A `Retry` refuses what is no time; one that was changed since does not."""
    settlement = decide(RetryAsked(after, "", queue_wide), Counters(starts=1), TWO, luck=0.0)
    assert 0 <= settlement.delay <= 1e10
    assert 0 <= settlement.rest <= 3600
    assert settlement.to == (State.DELAYED if settlement.delay else State.WAITING)

"""Unique jobs through both clients: what is said at the handler and with `enqueue`, and what comes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from heavylift import HandlerError, InvalidJob, JobSpec, State, Unique, UniqueHeld, handler
from heavylift.errors import InvalidArgument
from heavylift.options import JobOptions
from tests.client.hand import Hand


@handler(unique=True)
def once(account: str, size: float = 1.0) -> None: ...


@handler(unique=lambda account: account.lower())
def per_account(account: str, note: str = "") -> None: ...


def test_a_job_with_the_same_arguments_is_the_first_and_says_so(client: Any) -> None:
    first, second, other = (client.enqueue(once.job(name)) for name in ("ada", "ada", "bob"))
    assert (first.duplicate, second.duplicate, other.duplicate) == (False, True, False)
    assert second == first
    assert other != first


def test_equal_arguments_are_equal_however_they_are_written(client: Any) -> None:
    first = client.enqueue(JobSpec("h", {"a": 1, "b": {"x": 1, "y": 2.0}}), unique=True)
    assert client.enqueue(JobSpec("h", {"b": {"y": 2, "x": 1}, "a": 1.0}), unique=True) == first
    assert client.enqueue(JobSpec("h", {"a": 1, "b": {"x": 1, "y": 3}}), unique=True) != first


def test_a_key_is_of_one_handler_and_one_queue(client: Any) -> None:
    first = client.enqueue(JobSpec("h", {"n": 1}), unique="report")
    assert client.enqueue(JobSpec("h", {"n": 2}), unique="report") == first
    assert not client.enqueue(JobSpec("other", {"n": 2}), unique="report").duplicate
    assert not client.enqueue(JobSpec("h", {"n": 2}), unique="report", queue="far").duplicate


def test_a_handler_makes_the_key_of_its_arguments(client: Any) -> None:
    first = client.enqueue(per_account.job("Ada", note="x"))
    assert client.enqueue(per_account.job("ada")) == first
    assert not client.enqueue(per_account.job("bob")).duplicate


def test_a_function_that_fails_or_asks_for_too_much_is_refused_early() -> None:
    with pytest.raises(HandlerError, match="wants tenant, and the handler takes account"):

        @handler(unique=lambda tenant: tenant)
        def wrong(account: str) -> None: ...

    @handler(unique=lambda account: account["no"])
    def failing(account: str) -> None: ...

    with pytest.raises(InvalidJob, match="the function of the handler failed"):
        failing.job("x")


def test_what_is_said_with_enqueue_wins(client: Any) -> None:
    client.enqueue(once.job("ada"))
    assert not client.enqueue(once.job("ada"), unique=False).duplicate
    assert not client.enqueue(once.job("ada"), unique="else").duplicate


def test_of_many_each_comes_back_in_its_place(client: Any) -> None:
    names = [f"a{n % 150}" for n in range(450)]
    jobs = client.enqueue_many([once.job(name) for name in names])
    assert [job.duplicate for job in jobs] == [False] * 150 + [True] * 300
    assert [job.id for job in jobs[150:300]] == [job.id for job in jobs[:150]] == [job.id for job in jobs[300:]]


def test_a_request_by_name_can_be_unique_by_itself(client: Any) -> None:
    specs = [JobSpec("h", {"n": n}, options=JobOptions(unique=Unique(by="k"))) for n in range(2)]
    assert [job.duplicate for job in client.enqueue_many(specs)] == [False, True]


def test_until_started_and_until_finished(client: Any, hand: Hand) -> None:
    short, long = (JobSpec(name, {}, queue=name) for name in ("short", "long"))
    client.enqueue(short, unique=Unique(mode="until_started"))
    first = client.enqueue(long, unique=Unique(mode="until_finished"))
    hand.claim_some("short", 1)
    (job,) = hand.claim_some("long", 1)
    assert not client.enqueue(short, unique=Unique(mode="until_started")).duplicate
    assert client.enqueue(long, unique=True) == first
    hand.complete(job)
    assert not client.enqueue(long, unique=True).duplicate


def test_a_window_throttles(client: Any) -> None:
    spec = JobSpec("h", {})
    first = client.enqueue(spec, unique=Unique(window=timedelta(minutes=1)))
    first.cancel()
    assert client.enqueue(spec, unique=Unique(window=60)) == first


def test_of_debounced_requests_the_last_arguments_win(client: Any) -> None:
    unique = Unique(by="index", debounce=60, max_wait=90)
    first = client.enqueue(JobSpec("h", {"n": 1}), unique=unique)
    due = first.record().due_at
    second = client.enqueue(JobSpec("h", {"n": 2}, options=JobOptions(timeout=7)), unique=unique)
    assert (second, second.duplicate) == (first, True)
    record = first.record()
    assert (record.state, record.args, record.options.timeout) == (State.DELAYED, {"n": 2}, 7)
    assert due <= record.due_at <= record.enqueued_at + 90_000


def test_a_replay_that_would_double_a_job_is_refused(client: Any, hand: Hand) -> None:
    first = client.enqueue(once.job("ada"))
    (job,) = hand.claim_some("default", 1)
    hand.fail(job)
    second = client.enqueue(once.job("ada"))
    with pytest.raises(UniqueHeld, match=first.id):
        first.replay()
    assert client.replay(first.id) == 0
    second.cancel()
    assert first.replay()


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"by": ""}, "unique.by"),
        ({"by": 7}, "unique.by"),
        ({"mode": "for ever"}, "unique.mode"),
        ({"window": 0}, "unique.window"),
        ({"window": -1}, "unique.window"),
        ({"window": 1, "debounce": 1}, "unique.window"),
        ({"window": 1, "mode": "until_started"}, "unique.mode"),
        ({"max_wait": 5}, "unique.max_wait"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(said: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Unique(**said)
    assert refused.value.field == field


def test_a_debounced_job_has_no_other_delay(client: Any) -> None:
    with pytest.raises(InvalidArgument, match="delay"):
        client.enqueue(JobSpec("h", {}), delay=5, unique=Unique(debounce=1))
    with pytest.raises(InvalidArgument, match="function belongs on @handler"):
        client.enqueue(JobSpec("h", {}), unique=lambda: "x")


def test_a_replay_of_several_says_which_were_left_for_others_like_them(client: Any, hand: Hand) -> None:
    lost = [client.enqueue(JobSpec("a", {"n": n}), unique=True) for n in range(3)]
    for found in hand.claim_some("default", 3):
        hand.fail(found)
    again = client.enqueue(JobSpec("a", {"n": 1}), unique=True)
    assert not again.duplicate
    replayed = client.replay(*(job.id for job in lost))
    assert replayed == 2
    assert replayed.held == (lost[1].id,)

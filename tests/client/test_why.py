"""Why a job does not run, through both clients: each reason by itself, and its sentence."""

from __future__ import annotations

import time
from typing import Any, TypeVar

import msgspec
import pytest

from heavylift import JobSpec, State, Unique, why
from heavylift.client.explaining import reasons
from heavylift.client.overview import WorkerStatus
from heavylift.decide import Settlement
from heavylift.errors import JobNotFound
from heavylift.job import Reason
from heavylift.limits import Rate
from heavylift.options import JobRef
from heavylift.store.flowing import Waiting
from heavylift.store.standing import Standing
from tests.client.hand import Hand

JOB: JobSpec[Any] = JobSpec("h")
R = TypeVar("R", bound=why.Because)


def only(found: why.Why, kind: type[R]) -> R:
    """The one reason of this kind."""
    (reason,) = (reason for reason in found.reasons if isinstance(reason, kind))
    assert str(reason) in str(found).splitlines()
    return reason


def kinds(found: why.Why) -> list[type[why.Because]]:
    return [type(reason) for reason in found.reasons]


def test_a_job_in_line_knows_how_many_go_before_it(client: Any, hand: Hand) -> None:
    jobs = [client.enqueue(JOB) for _ in range(3)]
    assert [only(job.why(), why.InLine).ahead for job in jobs] == [0, 1, 2]
    assert only(client.enqueue(JOB, priority=-1).why(), why.InLine).ahead == 0
    assert only(jobs[0].why(), why.InLine).ahead == 1
    assert "2 jobs go before it" in str(jobs[1].why())


def test_where_keys_take_turns_only_so_many_go_before_it_as_have_their_turn(client: Any, hand: Hand) -> None:
    hand.connection.ask(hand.jobs.order("default", "fair"))
    for _ in range(9):
        client.enqueue(JOB, key="many")
    job = client.enqueue(JOB, key="few")
    place = only(job.why(), why.InLine)
    assert place.fair
    assert place.ahead <= 1
    assert only(client.enqueue(JOB, key="many").why(), why.InLine).ahead == 10


def test_a_paused_queue_is_named_first_of_all_that_holds(client: Any, hand: Hand) -> None:
    hand.connection.ask(hand.jobs.limit("default", 0))
    job = client.enqueue(JOB)
    client.pause("default")
    assert kinds(job.why()) == [why.Paused, why.Full, why.Unserved, why.InLine]
    assert job.why().blocked
    assert job.why().state is State.WAITING


def test_a_handler_that_has_its_queue_rest_is_named(client: Any, hand: Hand) -> None:
    client.enqueue(JOB)
    other = client.enqueue(JOB)
    hand.settle(hand.claim(), Settlement(State.WAITING, keep_rank=True, rest=60.0), "retry")
    assert 50 < only(other.why(), why.Resting).wait <= 60


def test_who_holds_the_places_of_queue_group_and_key_is_named(client: Any, hand: Hand) -> None:
    for scope, per_key in (("", False), ("h", False), ("h", True)):
        hand.connection.ask(hand.jobs.limit("default", 1, group=scope, per_key=per_key))
    first, second = (client.enqueue(JOB, key="k") for _ in range(2))
    claimed = hand.claim()
    full = [reason for reason in second.why().reasons if isinstance(reason, why.Full)]
    assert [(one.group, one.key, one.limit, one.running, one.holders) for one in full] == [
        (None, None, 1, 1, (first.id,)),
        ("h", None, 1, 1, (first.id,)),
        ("h", "k", 1, 1, (first.id,)),
    ]
    assert f"key k of group h may run 1 at once, and 1 run: {first.id}" in str(second.why())
    hand.complete(claimed)
    assert why.Full not in kinds(second.why())


def test_a_rate_says_when_the_next_may_start(client: Any, hand: Hand) -> None:
    hand.connection.ask(hand.jobs.limit("default", None, Rate(1, 60), group="h"))
    client.enqueue(JOB)
    job = client.enqueue(JOB)
    hand.claim()
    spent = only(job.why(), why.RateSpent)
    assert (spent.count, spent.seconds, spent.group, spent.key) == (1, 60.0, "h", None)
    assert 50 < spent.wait <= 60


def test_a_job_that_is_to_run_later_says_when_and_what_else_is_wrong(client: Any, hand: Hand) -> None:
    job = client.enqueue(JOB, delay=90)
    client.pause("default")
    found = job.why()
    assert kinds(found) == [why.Due, why.Paused, why.Unserved]
    assert 80 < only(found, why.Due).wait <= 90
    assert "it is due in 1 min" in str(found)


def test_a_retry_says_what_the_attempt_came_to(client: Any, hand: Hand) -> None:
    job = client.enqueue(JOB)
    claimed = hand.claim()
    hand.settle(claimed, Settlement(State.DELAYED, count="attempts", delay=30), "error", message="no route")
    retry = only(job.why(), why.RetryDue)
    assert (retry.attempt, retry.cause, retry.message) == (1, "error", "no route")
    assert "attempt 1 of it ended (error: no route); the next is due in " in str(retry)


def test_a_debounced_job_waits_for_quiet(client: Any, hand: Hand) -> None:
    job = client.enqueue(JOB, unique=Unique(by="x", debounce=20, max_wait=60))
    found = only(job.why(), why.Debounced)
    assert 0 < found.wait <= 20
    assert found.latest is not None
    assert "unless another like it comes" in str(found)


def test_parents_are_named_with_where_they_are(client: Any, hand: Hand) -> None:
    first, second = client.enqueue(JOB), client.enqueue(JobSpec("h", queue="other"))
    job = client.enqueue(JOB, after=[first, second])
    waits = only(job.why(), why.WaitsForParents)
    assert {(one.queue, one.id, one.state) for one in waits.parents} == {
        ("default", first.id, State.WAITING),
        ("other", second.id, State.WAITING),
    }
    second.remove()
    assert "(gone)" in str(job.why())
    assert "about to be told" in str(job.why())


def test_a_job_that_is_only_staged_is_told_from_one_that_is_not_there(client: Any, hand: Hand) -> None:
    hand.connection.ask(hand.jobs.stage("default", [Waiting("half", [JobRef("default", "p")])], "n"))
    found = client.why("half", "default")
    assert found.state is None
    assert 3500 < only(found, why.Staged).forgotten_in <= 3600
    with pytest.raises(JobNotFound):
        client.why("nobody", "default")


def test_a_running_job_says_where_since_when_and_which_attempt(client: Any, hand: Hand) -> None:
    job = client.enqueue(JOB)
    hand.claim()
    found = job.why()
    running = only(found, why.Running)
    assert (running.worker, running.attempt, running.stopping, running.lost) == ("hand", 1, False, False)
    assert abs(running.since - time.time() * 1000) < 5000
    job.cancel()
    assert "was asked to stop" in str(job.why())


def test_a_job_whose_worker_is_gone_says_so(client: Any, hand: Hand, url: str) -> None:
    job = client.enqueue(JOB)
    claimed = hand.claim()
    hand.connection.ask(hand.jobs.extend("default", [(claimed.id, claimed.token)], -1000))
    assert only(job.why(), why.Running).lost


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "parent", "malformed"])
def test_an_ended_job_says_how(client: Any, hand: Hand, how: str) -> None:
    job = client.enqueue(JOB)
    child = client.enqueue(JOB, after=[job])
    if how == "cancelled":
        job.cancel()
    elif how == "malformed":
        hand.connection.command("SET", f"heavylift:{{default}}:job:{job.id}", "x", key="")
        hand.claim_some("default", 1)
    elif how == "completed":
        hand.complete(hand.claim())
    else:
        hand.fail(hand.claim(), Reason.EXHAUSTED, message="boom")
    ended = only((child if how == "parent" else job).why(), why.Ended)
    assert {
        "completed": "it has completed at ",
        "cancelled": "it was cancelled at ",
        "failed": "(exhausted, error): boom",
        "parent": f"because of a parent: default {job.id} failed",
        "malformed": "cannot be read",
    }[how] in str(ended)


def test_one_that_was_not_started_in_time_says_so(client: Any, hand: Hand) -> None:
    job = client.enqueue(JOB, expires=0)
    assert only(job.why(), why.Overdue).expired_at <= job.why().at


def test_a_job_that_was_taken_out_of_its_line_by_hand_says_so(client: Any, hand: Hand) -> None:
    job = client.enqueue(JOB)
    hand.connection.command("DEL", "heavylift:{default}:line:", key="")
    assert why.Lost in kinds(job.why())


def worker(**said: Any) -> WorkerStatus:
    facts: dict[str, Any] = {"handlers": ["h"], **said.pop("facts", {})}
    lane = {"places": 2, "free": 1, "ready": True, **said.pop("lane", {})}
    queues = said.pop("queues", {"default": "io"})
    return WorkerStatus("w1", "", 1, "", 0, 500, queues=queues, lanes={"io": lane}, facts=facts, **said)


WAITING = Standing(1000, {"state": "waiting", "handler": "h"}, ahead=0)


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ([], why.Unserved("default")),
        ([worker(queues={"other": "io"})], why.Unserved("default")),
        ([worker(facts={"handlers": ["g"]})], why.HandlerUnknown("h", "default")),
        ([worker(quiet=True)], why.AllQuiet(("w1",))),
        ([worker(lane={"ready": False, "problem": "no fork server"})], why.LaneDown(("w1",), "no fork server")),
        ([worker(lane={"free": 0}), worker(lane={"free": 0})], why.AllBusy(2, 4, 0.5)),
        ([worker(lane={"free": 0, "places": 0})], why.AllBusy(1, 0, 0.5)),
        ([worker(facts={"costs": {"default": 2}})], why.AllBusy(1, 2, 0.5, needs=2, free=1)),
        ([worker(facts={"costs": {"default": 9}}, lane={"free": 2})], None),
        ([worker(quiet=True), worker()], None),
        ([worker(facts={"handlers": ["g"]}), worker(lane={"free": 0}), worker()], None),
    ],
)
def test_what_the_workers_say_of_themselves_becomes_one_reason(
    workers: list[WorkerStatus], expected: why.Because | None
) -> None:
    found = list(reasons("default", WAITING, [], workers))
    assert found == [*([expected] if expected else []), why.InLine(0)]
    assert all(str(reason) for reason in found)


def test_a_worker_of_a_version_that_does_not_name_its_handlers_may_know_them() -> None:
    silent = worker()
    assert isinstance(silent.facts, dict)
    del silent.facts["handlers"]
    assert list(reasons("default", WAITING, [], [silent])) == [why.InLine(0)]


def test_reasons_are_data_for_programs(client: Any, hand: Hand) -> None:
    client.pause("default")
    said = msgspec.json.decode(msgspec.json.encode(client.enqueue(JOB).why()))
    assert said["reasons"][0] == {"because": "Paused", "queue": "default"}

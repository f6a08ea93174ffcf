"""Flows through both clients."""

from __future__ import annotations

from typing import Any

import pytest

from heavylift import Client, JobCancelled, JobFailed, JobSpec, ResultTimeout, batch, chain, group
from heavylift.client.plan import Ask, Running
from heavylift.client.which import Which
from heavylift.errors import InvalidArgument, JobNotFound
from heavylift.job import State
from heavylift.options import JobOptions, OnParentFailure
from heavylift.store.exchange import Exchange
from heavylift.store.letters import REPLAYS_AT_ONCE
from tests.client.conftest import settings
from tests.client.hand import Hand


def job(name: str, queue: str = "default", **options: Any) -> JobSpec[Any]:
    return JobSpec(name, queue=queue, options=JobOptions(**options))


def test_a_job_runs_after_those_it_names(client: Any, hand: Hand) -> None:
    first, second = client.enqueue(job("a")), client.enqueue(job("b", "other"))
    last = client.enqueue(job("c", "third"), after=[first, second.id])
    assert last.state() is State.BLOCKED
    hand.do_all("default")
    assert last.state() is State.BLOCKED
    hand.do_all("other")
    assert last.state() is State.WAITING


def test_a_parent_that_is_not_there_is_said_at_once_and_nothing_is_enqueued(client: Any, hand: Hand) -> None:
    there = client.enqueue(job("a"))
    hand.do_all()
    there.remove()
    for after in ([there], ["nobody"]):
        with pytest.raises(JobNotFound):
            client.enqueue(job("b", "other"), after=after)
    assert "other" not in client.queues()


@pytest.mark.parametrize("given", [{"after": [3]}, {"after": [""]}, {"on_parent_failure": "ignore"}, {"flow": "a b"}])
def test_what_cannot_be_meant_is_refused_by_name(client: Any, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        client.enqueue(job("a"), **given)
    assert refused.value.field == min(given)


def test_jobs_enqueued_one_after_the_other_are_one_flow(client: Any, hand: Hand) -> None:
    root = client.enqueue(job("a"))
    left, right = (client.enqueue(job("b"), after=[root]) for _ in range(2))
    end = client.enqueue(job("c"), after=[left, right])
    flow = client.flow(root.id)
    assert {one.id for one in flow.states()} == {one.id for one in (root, left, right, end)}
    assert [one.id for one in flow.states() if one.last] == [end.id]
    for _ in range(3):
        hand.do_all(result=7)
    assert flow.result(timeout=10) == 7
    assert flow.counts() == {State.COMPLETED: 4}


def test_a_flow_goes_through_its_queues_and_gives_its_last_result(client: Any, hand: Hand) -> None:
    flow = client.enqueue_flow(chain(job("a"), group(job(f"b{n}", "other") for n in range(3)), job("c")))
    assert flow.counts() == {State.WAITING: 1, State.BLOCKED: 4}
    with pytest.raises(ResultTimeout):
        flow.wait(timeout=0.05)
    hand.do_all("default")
    hand.do_all("other")
    hand.do_all("default", result={"pages": 3})
    assert flow.result(timeout=10) == {"pages": 3}
    assert flow.wait() == {State.COMPLETED: 5}


def test_enqueued_again_under_its_id_a_flow_is_as_it_was(client: Any) -> None:
    spec = chain(job("a"), group(job("b") for _ in range(3)), job("c"))
    first = client.enqueue_flow(spec, id="report-1")
    again = client.enqueue_flow(spec, id="report-1")
    assert [one.id for one in again.jobs] == [one.id for one in first.jobs]
    assert all(one.duplicate for one in again.jobs)
    assert client.flow("report-1").counts() == {State.WAITING: 1, State.BLOCKED: 4}


def test_a_failure_is_the_flows_and_a_retry_goes_on_from_there(client: Any, hand: Hand) -> None:
    flow = client.enqueue_flow(chain(job("a"), job("b", "other"), job("c", "third")))
    hand.do_all("default")
    hand.fail(hand.claim("other"))
    assert flow.counts() == {State.COMPLETED: 1, State.FAILED: 2}
    with pytest.raises(JobFailed) as failed:
        flow.result(timeout=10)
    assert failed.value.job == flow.jobs[1].id
    assert failed.value.reason == "exhausted"
    assert flow.retry() == 2
    assert flow.counts() == {State.WAITING: 1, State.BLOCKED: 1, State.COMPLETED: 1}
    hand.do_all("other")
    hand.do_all("third", result="well")
    assert flow.result(timeout=10) == "well"


def test_a_retry_is_whole_though_janitors_look_after_each_of_its_steps(url: str, hand: Hand) -> None:
    """Over two queues, and more jobs in one than are revived by one call: a child may be before its parent."""
    with Client(settings=settings(url)) as client:
        wide = group(job("c") for _ in range(REPLAYS_AT_ONCE + 10))
        flow = client.enqueue_flow(chain(job("a"), job("b", "other"), wide, job("d", "other")))
        hand.fail(hand.claim())
        assert flow.counts() == {State.FAILED: len(flow.jobs)}
        going = Running(client.flows.retry(flow.id))
        while going.step is not None:
            assert isinstance(going.step, Ask)
            going.answer(hand.connection.round_trip(going.step.calls))
            for queue in ("default", "other"):
                hand.look_after(queue)
        assert going.value == len(flow.jobs)
        assert flow.counts() == {State.WAITING: 1, State.BLOCKED: len(flow.jobs) - 1}
        for queue in ("default", "other", "default", "other"):
            hand.do_all(queue)
        assert flow.wait(timeout=10) == {State.COMPLETED: len(flow.jobs)}


def test_a_replay_of_parents_and_children_is_whole_though_janitors_look_after_each_of_its_steps(
    url: str, hand: Hand
) -> None:
    with Client(settings=settings(url)) as client:
        flow = client.enqueue_flow(chain(job("a", "z"), job("b", "y"), job("c", "z")))
        hand.fail(hand.claim("z"))
        for wanted in ("c", "b", "a"):
            assert [one.handler for one in client.failed()].count(wanted) == 1
        going = Running(client.repairing.replay([one.id for one in reversed(flow.jobs)], Which(), None))
        while going.step is not None:
            assert isinstance(going.step, Ask)
            going.answer(hand.connection.round_trip(going.step.calls))
            for queue in ("y", "z"):
                hand.look_after(queue)
        assert going.value == 3
        for queue in ("z", "y", "z"):
            hand.do_all(queue)
        assert flow.wait(timeout=10) == {State.COMPLETED: 3}


def test_a_cancelled_flow_can_be_retried(client: Any, hand: Hand) -> None:
    flow = client.enqueue_flow(chain(job("a"), group(job("b", "other") for _ in range(3)), job("c")))
    assert flow.cancel() == 5
    assert flow.counts() == {State.CANCELLED: 5}
    with pytest.raises(JobCancelled):
        flow.result(timeout=10)
    assert flow.cancel() == 0
    assert flow.retry() == 5
    for queue in ("default", "other", "default"):
        hand.do_all(queue)
    assert flow.wait(timeout=10) == {State.COMPLETED: 5}
    assert flow.retry() == 0


@pytest.mark.parametrize("fails", [False, True])
def test_a_batch_tells_the_one_or_the_other(client: Any, hand: Hand, fails: bool) -> None:
    flow = client.enqueue_flow(
        batch([job("a"), job("b")], on_complete=job("good", "good"), on_failure=job("bad", "bad"))
    )
    hand.complete(hand.claim())
    last = hand.claim()
    hand.fail(last) if fails else hand.complete(last)
    good, bad = flow.jobs[2:]
    assert (good.state(), bad.state()) == (
        (State.CANCELLED, State.WAITING) if fails else (State.WAITING, State.CANCELLED)
    )
    hand.do_all("bad" if fails else "good", result="told")
    if fails:
        with pytest.raises(JobFailed):
            flow.result(timeout=10)
    else:
        assert flow.result(timeout=10) == "told"


def test_a_batch_that_had_none_to_tell_has_the_results_of_its_jobs(client: Any, hand: Hand) -> None:
    jobs = [job("a"), chain(job("b"), job("c")), *(job(f"d{n}") for n in range(300))]
    flow = client.enqueue_flow(batch(jobs, on_failure=job("bad", "bad")))
    while claimed := hand.claim_some("default", 100):
        for one in claimed:
            hand.complete(one, one.id)
    first, _, *others, last = flow.jobs
    assert flow.result(timeout=10) == [one.id for one in (first, *others)]
    assert client.flow(flow.id).result(timeout=0) == flow.result(timeout=0)
    assert last.state() is State.CANCELLED


def test_a_batch_after_a_batch_has_the_results_of_the_second(client: Any, hand: Hand) -> None:
    first = batch([job("a"), job("b")], on_complete=job("c"), on_failure=job("bad", "bad"))
    flow = client.enqueue_flow(chain(first, batch([job("d")], on_failure=job("bad", "bad"))))
    for n in range(4):
        hand.complete(hand.claim(), n)
    assert flow.result(timeout=10) == 3


POLICIES = [
    ("cancel", False, State.WAITING),
    ("cancel", True, State.CANCELLED),
    ("require", False, State.CANCELLED),
    ("require", True, State.WAITING),
    ("run", True, State.WAITING),
    ("fail", True, State.FAILED),
]


@pytest.mark.parametrize(("policy", "fails", "becomes"), POLICIES)
@pytest.mark.parametrize("way", ["enqueue", "flow"])
def test_what_becomes_of_a_job_by_the_end_of_its_parent_is_said_with_it(
    client: Any, hand: Hand, way: str, policy: OnParentFailure, fails: bool, becomes: State
) -> None:
    """`cancel` and `require` are each other's opposite."""
    if way == "enqueue":
        child = client.enqueue(job("b", "other"), after=[client.enqueue(job("a"))], on_parent_failure=policy)
    else:
        step = job("b", "other").with_options(JobOptions(on_parent_failure=policy))
        child = client.enqueue_flow(chain(job("a"), step)).jobs[1]
    assert child.state() is State.BLOCKED
    parent = hand.claim()
    hand.fail(parent) if fails else hand.complete(parent)
    assert child.state() is becomes


def test_a_step_of_a_flow_has_options_of_its_own(client: Any) -> None:
    first = job("a", tags=("kept",), retries=7).with_options(JobOptions(priority=-5, retries=1))
    second = job("b").with_options(JobOptions(queue="other", delay=60))
    flow = client.enqueue_flow(chain(group([first, second]), job("c")), timeout=9)
    one, two, three = (found.record() for found in flow.jobs)
    assert (one.priority, one.options.tags, one.options.retries, one.options.timeout) == (-5, ("kept",), 1, 9)
    assert (two.queue, two.state, two.options.timeout) == ("other", State.DELAYED, 9)
    assert (three.priority, three.state, three.options.tags) == (0, State.BLOCKED, ())


def test_a_job_of_no_flow_and_a_flow_of_no_job_are_told_apart(client: Any) -> None:
    client.enqueue(job("a"))
    with pytest.raises(JobNotFound):
        client.flow("none").counts()
    with pytest.raises(InvalidArgument):
        client.flow("a b")


def test_a_flow_of_ten_thousand_takes_few_round_trips(client: Any, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    trips = []
    begin = Exchange.__init__
    monkeypatch.setattr(Exchange, "__init__", lambda self, *args, **more: trips.append(1) or begin(self, *args, **more))
    flow = client.enqueue_flow(chain(group(job("part", "many") for _ in range(9_999)), job("whole")), id="big")
    assert len(trips) < 40
    assert flow.counts() == {State.WAITING: 9_999, State.BLOCKED: 1}
    assert hand.do_all("many") == 9_999
    assert hand.do_all("default", result="all") == 1
    assert flow.result(timeout=30) == "all"


def test_parents_named_by_their_ids_are_looked_for_together(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    parents = [client.enqueue(job("a", f"q{n % 3}")).id for n in range(30)]
    trips: list[int] = []
    begin = Exchange.__init__
    monkeypatch.setattr(Exchange, "__init__", lambda self, *args, **more: trips.append(1) or begin(self, *args, **more))
    child = client.enqueue(job("b"), after=parents)
    assert [one.id for one in child.waits_for(most=30)] != []
    assert len(trips) < 12

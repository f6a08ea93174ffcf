"""The same contract for what jobs can be told: to wait for each other, to be unique, to come again, at another time."""

from __future__ import annotations

import pytest

from heavylift import Client, JobCancelled, JobFailed, State, Unique, chain, group
from tests.contract.conftest import Work
from tests.contract.handlers import echo, fetch, flaky, gathers, order, pays, refuses, waits
from tests.waiting import wait_until


def test_a_flow_goes_out_and_comes_together_over_queues_that_lie_in_different_slots(client: Client, work: Work) -> None:
    spread = group(fetch.job(host) for host in ("a", "b", "c"))
    flow = client.enqueue_flow(chain(echo.job("first"), spread, gathers.job()))
    with work():
        assert flow.result(timeout=20) == ["a", "b", "c"]
    assert order[0] == "first"
    assert flow.counts() == {State.COMPLETED: 5}


def test_a_child_hears_of_its_parents_failure_and_the_whole_flow_gets_another_life(client: Client, work: Work) -> None:
    parent = client.enqueue(refuses.job())
    child = client.enqueue(fetch.job("h"), after=[parent])
    anyway = client.enqueue(gathers.job(), after=[parent], on_parent_failure="run")
    flow = client.flow(parent.id)
    with work():
        assert anyway.result(timeout=10) == ["failed"]
        assert flow.wait(timeout=10) == {State.FAILED: 2, State.COMPLETED: 1}
        assert child.record().reason == "parent_failed"
        assert flow.retry() == 2
        assert flow.wait(timeout=10) == {State.FAILED: 2, State.COMPLETED: 1}


def test_a_whole_flow_is_cancelled(client: Client, work: Work) -> None:
    with work():
        first = client.enqueue(waits.job())
        last = client.enqueue(fetch.job("h"), after=[first])
        wait_until("it runs", lambda: first.state() == State.ACTIVE)
        assert client.flow(first.id).cancel() == 2
        with pytest.raises(JobCancelled):
            last.result(timeout=10)
        assert client.flow(first.id).wait(timeout=10) == {State.CANCELLED: 2}


def test_an_effect_happens_once_whichever_job_comes_to_it(client: Client, work: Work) -> None:
    with work():
        assert [client.enqueue(pays.job("42")).result(timeout=10) for _ in range(2)] == [True, False]
        effect = client.effect("pay:42")
        assert effect is not None
        assert effect.done
        assert client.forget_effect("pay:42")
        assert client.enqueue(pays.job("42")).result(timeout=10)


def test_unique_until_started_for_a_window_and_debounced(client: Client, work: Work) -> None:
    client.pause("light")
    ways = {
        "started": Unique("s", mode="until_started"),
        "window": Unique("w", window=60),
        "quiet": Unique("d", debounce=0.2, max_wait=5),
    }
    for text, unique in ways.items():
        first, second = (client.enqueue(echo.job(f"{text} {n}"), unique=unique) for n in (1, 2))
        assert (second.id, second.duplicate) == (first.id, True)
    client.resume("light")
    with work():
        wait_until("each has run once", lambda: len(order) == 3)
        assert client.enqueue(echo.job("window 3"), unique=ways["window"]).duplicate
        assert client.enqueue(echo.job("started 3"), unique=ways["started"]).result(timeout=10) == "started 3"
    assert sorted(order) == ["quiet 2", "started 1", "started 3", "window 1"], "a debounced job has the last arguments"


def test_dead_letters_are_grouped_replayed_by_choice_with_other_arguments_and_purged(
    client: Client, work: Work
) -> None:
    with work():
        lost = client.enqueue_many([flaky.job(n) for n in (8, 9)])
        refused = client.enqueue(refuses.job())
        wait_until("all have failed", lambda: len(client.failed()) == 3)
        assert {group.name: group.count for group in client.failed_groups("reason")} == {"exhausted": 2, "rejected": 1}
        assert lost[0].replay(flaky.job(1))
        assert lost[0].result(timeout=10) == 4, "its attempts are counted on"
        assert lost[0].record().original_args == {"good_at": 8}
        assert client.replay(reason="rejected", queue="light") == 1
        with pytest.raises(JobFailed):
            refused.result(timeout=10)
        wait_until("it has failed again", lambda: len(client.failed()) == 2)
    assert client.purge_failed("light", reason="exhausted", dry_run=True) == 1
    assert client.purge_failed("light", reason="exhausted") == 1
    assert [job.id for job in client.failed()] == [refused.id]
    assert refused.remove()


def test_a_job_is_moved_by_hand(client: Client, work: Work) -> None:
    first, second = client.enqueue(echo.job("first")), client.enqueue(echo.job("second"))
    later = client.enqueue(echo.job("later"), delay=600)
    assert second.reprioritize(-1).done
    assert first.reschedule(delay=600).state == State.DELAYED
    assert later.reschedule(delay=0).state == State.WAITING
    with work():
        assert later.result(timeout=10) == "later"
        assert first.promote()
        assert first.result(timeout=10) == "first"
        assert first.retry()
        wait_until("it has run again", lambda: order.count("first") == 2)
    assert order == ["second", "later", "first", "first"]

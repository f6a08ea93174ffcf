"""One contract over every kind of Redis: what a client says and a real worker does comes to the same on each."""

from __future__ import annotations

import asyncio
import os

import pytest

from heavylift import AsyncClient, Client, Every, JobCancelled, JobFailed, JobSpec, Settings, State
from heavylift.errors import JobNotFound
from heavylift.inspector import Inspector
from tests.contract.conftest import Work
from tests.contract.handlers import (
    asks_again,
    backs_off,
    dies,
    echo,
    fetch,
    flaky,
    goes_on,
    order,
    peak,
    process,
    refuses,
    waits,
)
from tests.waiting import wait_until


def test_a_job_is_run_and_its_result_handed_out(client: Client, work: Work) -> None:
    with work():
        job = client.enqueue(echo.job("hello"))
        assert job.result(timeout=10) == "hello"
        assert job.record().attempts[0].cause == "completed"


def test_many_jobs_over_many_queues_each_run_once(client: Client, work: Work) -> None:
    with work("io cpu"):
        jobs = client.enqueue_many([echo.job(str(n)) for n in range(250)])
        heavy = client.enqueue_many([process.job() for _ in range(3)])
        assert [job.result(timeout=20) for job in jobs] == [str(n) for n in range(250)]
        assert len({job.result(timeout=20) for job in heavy} | {os.getpid()}) == 2
    assert sorted(order, key=int) == [str(n) for n in range(250)]
    assert client.queues() == ["heavy", "light", "limited"]


def test_an_event_loop_gets_the_same(place: Settings, work: Work) -> None:
    async def check() -> None:
        async with AsyncClient(settings=place) as client:
            jobs = await client.enqueue_many([echo.job(str(n)) for n in range(20)])
            assert await asyncio.gather(*(job.result(timeout=10) for job in jobs)) == [str(n) for n in range(20)]

    with work():
        asyncio.run(check())


def test_lower_priority_numbers_go_first(client: Client, work: Work) -> None:
    jobs = [client.enqueue(echo.job(str(n)), priority=n) for n in (3, 1, 2)]
    with work():
        for job in jobs:
            job.result(timeout=10)
    assert order == ["1", "2", "3"]


def test_a_delayed_job_waits_until_it_is_due(client: Client, work: Work) -> None:
    soon, later = client.enqueue(echo.job("soon"), delay=0.3), client.enqueue(echo.job("later"), delay=600)
    with work():
        assert soon.result(timeout=10) == "soon"
        assert later.state() == State.DELAYED
        assert later.promote()
        assert later.result(timeout=10) == "later"
    record = soon.record()
    assert record.started_at is not None
    assert record.started_at - record.enqueued_at >= 300


def test_of_ended_jobs_so_many_are_kept_as_was_set_for_their_queue(client: Client, work: Work) -> None:
    client.retain("light", completed_count=2, failed=0.01)
    with work():
        for n in range(5):
            client.enqueue(echo.job(str(n)))
        refused = client.enqueue(refuses.job())
        with pytest.raises((JobFailed, JobNotFound)):
            refused.result(timeout=10)
        wait_until("the last two are left", lambda: counts(client) == (2, 0))


def counts(client: Client) -> tuple[int, int]:
    (queue,) = [queue for queue in Inspector(client).status().queues if queue.name == "light"]
    return queue.counts.completed, queue.counts.failed


def test_a_job_that_does_not_run_says_why_and_runs_when_that_is_lifted(client: Client, work: Work) -> None:
    parent = client.enqueue(JobSpec("echo", {"text": "parent"}, queue="elsewhere"))
    job = client.enqueue(echo.job("x"), after=[parent], delay=0.01)
    client.pause("light")
    kinds = [type(reason).__name__ for reason in client.why(job.id).reasons]
    assert kinds == ["WaitsForParents", "Paused", "Unserved"]
    assert parent.cancel() == "cancelled"
    other = client.enqueue(echo.job("y"))
    client.resume("light")
    with work():
        assert other.result(timeout=10) == "y"
        wait_until("it has heard of its parent", lambda: job.state().ended)
        assert parent.id in str(job.why())


def test_a_failing_job_is_tried_again_and_then_a_dead_letter_that_can_be_replayed(client: Client, work: Work) -> None:
    with work():
        assert client.enqueue(flaky.job(3)).result(timeout=10) == 3
        lost = client.enqueue(flaky.job(9))
        with pytest.raises(JobFailed, match="attempt 3"):
            lost.result(timeout=10)
        assert [job.id for job in client.failed(reason="exhausted")] == [lost.id]
        assert client.replay(lost.id) == 1
        with pytest.raises(JobFailed):
            lost.result(timeout=10)
        assert lost.record().counters.attempts == 3, "counted from zero again"


def test_the_control_words_of_a_handler_are_heeded(client: Client, work: Work) -> None:
    with work():
        assert client.enqueue(asks_again.job()).result(timeout=10) == 2
        with pytest.raises(JobFailed) as failure:
            client.enqueue(refuses.job()).result(timeout=10)
        assert failure.value.reason == "rejected"


def test_arguments_that_do_not_fit_are_a_dead_letter(client: Client, work: Work) -> None:
    with work(), pytest.raises(JobFailed) as failure:
        client.enqueue(JobSpec("echo", {"wrong": 1}, queue="light")).result(timeout=10)
    assert failure.value.reason == "invalid"


def test_a_job_is_cancelled_while_it_waits_and_while_it_runs(client: Client, work: Work) -> None:
    waiting = client.enqueue(echo.job("never"))
    assert waiting.cancel() == "cancelled"
    with work():
        running = client.enqueue(waits.job())
        wait_until("it runs", lambda: running.state() == State.ACTIVE)
        assert running.cancel() == "asked"
        with pytest.raises(JobCancelled):
            running.result(timeout=10)
    assert running.cancel() == "ended"
    assert order == []


def test_a_watcher_sees_progress_and_never_misses_the_end(client: Client, work: Work) -> None:
    with work("io cpu"):
        job = client.enqueue(process.job())
        events = [event.event for event in job.watch(timeout=20)]
        assert events[-1] == "completed"
        progress = job.progress()
        assert progress is not None
        assert progress.fraction == 0.5
        assert [event.event for event in job.watch(timeout=5)][-1] == "completed"  # a late one, too


def test_a_checkpoint_is_there_for_the_next_attempt(client: Client, work: Work) -> None:
    with work():
        assert client.enqueue(goes_on.job()).result(timeout=10) == [5]


def test_the_death_of_a_process_costs_its_job_one_start(client: Client, work: Work) -> None:
    with work("cpu"):
        job = client.enqueue(dies.job())
        assert job.result(timeout=20) == 2
        assert job.record().counters.crashes == 1


def test_an_id_of_ones_own_is_taken_once(client: Client) -> None:
    first, again = (client.enqueue(echo.job("x"), id="mine") for _ in range(2))
    assert (first.duplicate, again.duplicate) == (False, True)
    assert client.job("mine").queue == "light"


def test_equal_jobs_are_one_while_one_is_unique(client: Client, work: Work) -> None:
    first, second = (client.enqueue(echo.job("same"), unique=True) for _ in range(2))
    assert (second.id, second.duplicate) == (first.id, True)
    with work():
        assert first.result(timeout=10) == "same"
        third = client.enqueue(echo.job("same"), unique=True)
        assert not third.duplicate
        assert third.result(timeout=10) == "same"


def test_a_paused_queue_holds_its_jobs(client: Client, work: Work) -> None:
    client.pause("light")
    with work():
        held = client.enqueue(echo.job("held"))
        assert client.resume("light")
        assert held.result(timeout=10) == "held"
        assert not client.resume("light")


def test_limits_of_handlers_hold_over_all_workers_and_are_reached(client: Client, work: Work) -> None:
    with work(), work():
        jobs = client.enqueue_many([fetch.job(f"h{n % 5}", 0.02) for n in range(40)])
        assert [job.result(timeout=20) for job in jobs] == [f"h{n % 5}" for n in range(40)]
    assert max(map(len, peak)) == 3
    assert all(len(set(hosts)) == len(hosts) for hosts in peak), "one job of a host at a time"
    assert [limit.declared for limit in client.limits("limited").limits] == [True, True]


def test_a_limit_set_by_hand_holds_at_once_and_is_lifted_at_once(client: Client, work: Work) -> None:
    client.limit("limited", concurrency=0)
    job = client.enqueue(fetch.job("h"))
    with work():
        soon = client.enqueue(echo.job("another queue"))
        assert soon.result(timeout=10) == "another queue"
        assert job.state() == State.WAITING
        client.limit("limited", concurrency="unlimited")
        assert job.result(timeout=10) == "h"


def test_keys_take_turns_in_a_fair_queue(client: Client, work: Work) -> None:
    client.order("limited", "fair")
    jobs = client.enqueue_many([fetch.job("many") for _ in range(20)])
    jobs += client.enqueue_many([fetch.job("few") for _ in range(2)])
    with work():
        for job in jobs:
            job.result(timeout=20)
    assert set(order[:6]) == {"many", "few"}
    assert order[:6].count("few") == 2


def test_a_handler_has_its_queue_rest(client: Client, work: Work) -> None:
    with work():
        job = client.enqueue(backs_off.job())
        assert job.result(timeout=10) == 2
        record = job.record()
    assert record.counters.attempts == 0
    told, done = record.attempts
    assert done.started_at - told.ended_at >= 190


def test_a_job_not_started_in_time_expires(client: Client, work: Work) -> None:
    job = client.enqueue(echo.job("late"), expires=0.001)  # less than a worker takes to start
    with work(), pytest.raises(JobFailed) as failure:
        job.result(timeout=10)
    assert failure.value.reason == "expired"


def test_workers_are_listed_while_they_live(client: Client, work: Work) -> None:
    with work() as worker:
        wait_until("it is listed", lambda: worker.id in [one["id"] for one in client.workers()])
    wait_until("it has left", lambda: client.workers() == [])


def test_a_schedule_makes_one_job_for_each_tick_though_two_workers_look(client: Client, work: Work) -> None:
    with work(), work():
        client.schedule("beat", echo.job("tick"), Every(seconds=1))
        wait_until("two ticks", lambda: client.schedules("light")[0].fired >= 2, timeout=10)
        (found,) = client.schedules("light")
        assert client.pause_schedule("beat")
        assert found.last is not None
        assert client.job(found.last, "light").result(timeout=10) == "tick"
        assert client.schedules("light")[0].fired == found.fired
    assert order == ["tick"] * found.fired
    assert client.unschedule("beat")

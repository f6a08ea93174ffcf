"""What a user's test can say with the fixture `jobs`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from heavylift import AsyncClient, Client, Context, InvalidJob, JobFailed, JobSpec, Middleware, Settings, State
from heavylift.client.plan import ask
from heavylift.decide import Settlement
from heavylift.errors import InvalidArgument, PayloadTooLarge
from heavylift.middleware import Attempt, Enqueuing
from heavylift.outcome import Completed, Invalid, Outcome, Raised, Rejected, UnknownHandler
from heavylift.testing import Drained, Harness
from tests.testing import handlers
from tests.testing.handlers import pay, plain_async, refuse, remind, resume, send, throttled, welcome, which_process

USED = (pay, plain_async, refuse, remind, resume, send, throttled, welcome, which_process)

# --- drain ---------------------------------------------------------------------------------------------------


def test_drain_runs_what_is_due_and_counts_how_it_ended(jobs: Harness) -> None:
    done = jobs.client.enqueue(send.job("ada"))
    rejected = jobs.client.enqueue(refuse.job())
    later = jobs.client.enqueue(send.job("bob"), delay=60)
    assert jobs.drain() == Drained(completed=1, failed=1)
    assert done.result(timeout=0) == "sent to ada"
    assert (rejected.state(), later.state()) == (State.FAILED, State.DELAYED)
    with pytest.raises(JobFailed, match="never"):
        rejected.result(timeout=0)


def test_drain_runs_what_handlers_enqueue_too(jobs: Harness) -> None:
    jobs.client.enqueue(welcome.job(7))
    assert jobs.drain() == Drained(completed=2)
    assert handlers.ran == ["user7"]


def test_drain_follows_delays_and_retries_without_waiting_for_them(jobs: Harness) -> None:
    job = jobs.client.enqueue(send.job("ada", fail_until=3), delay=timedelta(days=3))
    assert jobs.drain() == Drained()
    assert jobs.drain(with_delayed=True) == Drained(completed=1, retried=2)
    assert [attempt.cause for attempt in job.record().attempts] == ["error", "error", "completed"]
    assert jobs.clock.offset_ms == pytest.approx(3 * 86_400_000 + 180_000, abs=5_000)


def test_drain_does_not_wait_for_the_rates_that_handlers_declare(jobs: Harness) -> None:
    jobs.client.enqueue_many([remind.job("ada")] * 3)
    assert jobs.drain() == Drained(completed=3)
    assert handlers.ran == ["ada"] * 3


def test_drain_goes_on_past_the_rest_that_a_handler_asks_for(jobs: Harness) -> None:
    jobs.client.enqueue_many([throttled.job(n, tell=True) for n in range(3)])
    assert jobs.drain() == Drained(retried=1)
    assert jobs.drain(with_delayed=10) == Drained()
    assert jobs.drain(with_delayed=True) == Drained(completed=3)
    assert handlers.ran == ["told", "0", "1", "2"]
    assert jobs.clock.offset_ms == pytest.approx(30_000, abs=15_000)


def test_drain_runs_what_is_due_during_a_rest_after_it(jobs: Harness) -> None:
    jobs.client.enqueue(throttled.job(0), delay=5)
    jobs.client.enqueue(throttled.job(1, tell=True))
    assert jobs.drain(with_delayed=True) == Drained(completed=2, retried=1)
    assert jobs.clock.offset_ms == pytest.approx(30_000, abs=15_000)


def test_a_rest_of_a_queue_that_is_empty_is_not_waited_for(jobs: Harness) -> None:
    jobs.client.enqueue(throttled.job(0, tell=True))
    jobs.client.enqueue(send.job("ada"), delay=10)
    jobs.drain()
    for job in jobs.enqueued():
        if job.queue == "busy":
            jobs.client.job(job.id, job.queue).remove()
    assert jobs.drain(with_delayed=True) == Drained(completed=1)
    assert jobs.clock.offset_ms == pytest.approx(10_000, abs=9_000)


@pytest.mark.parametrize("place", [{}, {"group": "throttled"}, {"group": "throttled", "per_key": True}])
def test_drain_goes_on_past_a_rate_that_is_set_by_hand(jobs: Harness, place: dict[str, Any]) -> None:
    jobs.client.limit("busy", rate="1/min", **place)
    jobs.client.enqueue_many([throttled.job(n) for n in range(3)], group="throttled", key="a")
    assert jobs.drain() == Drained(completed=1)
    assert jobs.drain(with_delayed=True) == Drained(completed=2)
    assert jobs.clock.offset_ms == pytest.approx(120_000, abs=30_000)


def test_drain_goes_no_further_than_it_is_told(jobs: Harness) -> None:
    jobs.client.enqueue(send.job("ada"), delay=10)
    jobs.client.enqueue(send.job("bob"), delay=100)
    assert jobs.drain(with_delayed=50) == Drained(completed=1)
    assert handlers.ran == ["ada"]


def test_time_is_let_pass_for_what_is_enqueued_afterwards_too(jobs: Harness) -> None:
    jobs.advance(timedelta(hours=1))
    jobs.client.enqueue(send.job("ada"), delay=60)
    assert jobs.drain() == Drained()
    jobs.advance(61)
    assert jobs.drain() == Drained(completed=1)


def test_a_job_that_fails_for_good_is_a_dead_letter_with_its_attempts(jobs: Harness) -> None:
    job = jobs.client.enqueue(send.job("ada", fail_until=9))
    assert jobs.drain(with_delayed=True) == Drained(retried=2, failed=1)
    record = job.record()
    assert (record.reason, len(record.attempts)) == ("exhausted", 3)
    assert record.attempts[0].log == ("info: sending to='ada'",)


def test_a_strict_drain_raises_with_the_handlers_traceback(jobs: Harness) -> None:
    jobs.client.enqueue(send.job("ada", fail_until=9))
    with pytest.raises(AssertionError, match=r"(?s)did not complete.*no line to ada.*handlers.py.*in send"):
        jobs.drain(strict=True)


def test_checkpoints_and_progress_are_kept_between_attempts(jobs: Harness) -> None:
    job = jobs.client.enqueue(resume.job(10))
    assert jobs.drain(with_delayed=True) == Drained(completed=1, retried=1)
    assert job.result(timeout=0) == [5, 10]


def test_a_cpu_handler_runs_in_the_tests_own_process(jobs: Harness) -> None:
    job = jobs.client.enqueue(which_process.job())
    jobs.drain()
    assert job.result(timeout=0) == os.getpid()


def test_a_queue_that_no_handler_names_is_drained(jobs: Harness) -> None:
    jobs.client.enqueue(send.job("ada"), queue="elsewhere")
    jobs.client.enqueue(which_process.job(), queue="heavy-elsewhere")
    assert jobs.drain() == Drained(completed=2)


def test_a_paused_queue_is_left_alone_and_ends_the_drain(jobs: Harness) -> None:
    jobs.client.pause("mail")
    jobs.client.enqueue(send.job("ada"))
    jobs.client.enqueue(send.job("bob"), delay=5)
    assert jobs.drain(with_delayed=True) == Drained()
    jobs.client.resume("mail")
    assert jobs.drain(with_delayed=True) == Drained(completed=2)


def test_an_expired_job_is_not_run(jobs: Harness) -> None:
    job = jobs.client.enqueue(send.job("ada"), expires=10)
    jobs.advance(11)
    assert jobs.drain() == Drained()
    assert (job.record().reason, handlers.ran) == ("expired", [])


def test_an_unknown_handler_is_tried_and_then_a_dead_letter(jobs: Harness) -> None:
    job = jobs.client.enqueue(JobSpec("nobody", queue="mail"))
    assert jobs.drain(with_delayed=True) == Drained(retried=5, failed=1)
    assert job.record().reason == "unknown_handler"


def test_a_job_that_waits_for_another_is_run_after_it_in_the_same_drain(jobs: Harness) -> None:
    parent = jobs.client.enqueue(send.job("ada"))
    child = jobs.client.enqueue(which_process.job(), after=[parent])
    assert child.state() == State.BLOCKED
    assert jobs.drain() == Drained(completed=2)
    assert child.state() == State.COMPLETED


def test_an_endless_chain_is_given_up(jobs: Harness) -> None:
    jobs.client.enqueue_many([send.job("ada") for _ in range(12)])
    with pytest.raises(AssertionError, match="more than 5 attempts"):
        jobs.drain(most=5)


def test_in_an_async_test_drain_is_awaited(jobs: Harness) -> None:
    async def check() -> None:
        async with jobs.async_client as client:
            job = await client.enqueue(plain_async.job(3))
            with pytest.raises(RuntimeError, match="_async"):
                jobs.drain()
            assert await jobs.drain_async() == Drained(completed=1)
            assert await job.result(timeout=0) == 3
            assert (await jobs.run_job_async(plain_async.job(4))).result == 4

    asyncio.run(check())


# --- one job -------------------------------------------------------------------------------------------------


def test_run_job_gives_a_typed_outcome_without_redis(jobs: Harness) -> None:
    assert jobs.run_job(send.job("ada")).result == "sent to ada"
    assert isinstance(jobs.run_job(send.job("ada")).outcome, Completed)
    assert isinstance(jobs.run_job(send.job("ada", fail_until=2)).outcome, Raised)
    assert isinstance(jobs.run_job(send.job("ada", fail_until=2), attempt=2).outcome, Completed)
    assert isinstance(jobs.run_job(refuse.job()).outcome, Rejected)
    assert isinstance(jobs.run_job(JobSpec("nobody")).outcome, UnknownHandler)
    assert isinstance(jobs.run_job(JobSpec("send", {"to": 3})).outcome, Invalid)
    assert jobs.run_job(plain_async.job(5)).result == 5


def test_run_job_tells_what_the_handler_said(jobs: Harness) -> None:
    ran = jobs.run_job(send.job("ada"))
    assert (ran.progress[-1].fraction, ran.log) == (1.0, ("info: sending to='ada'",))
    assert jobs.run_job(resume.job(10)).checkpoint == 5
    assert jobs.run_job(resume.job(10), checkpoint=4).result == [4, 10]


def test_run_job_keeps_to_the_sizes_of_the_settings(heavylift_settings: Settings) -> None:
    settings = replace(heavylift_settings, max_payload=100, max_result=20)
    with Harness(settings, lambda: USED) as jobs:
        with pytest.raises(PayloadTooLarge, match="max_payload \\(100\\)"):
            jobs.run_job(send.job("a" * 200))
        assert jobs.run_job(send.job("ada")).result == "sent to ada"
        with pytest.raises(AssertionError, match="InvalidResult"):
            _ = jobs.run_job(send.job("ada@example.org")).result
        with pytest.raises(PayloadTooLarge):
            asyncio.run(jobs.run_job_async(send.job("a" * 200)))
    with Harness(replace(settings, max_payload=1_000_000, max_result=1_000_000), lambda: USED) as jobs:
        assert len(jobs.run_job(send.job("a" * 300_000)).result) > 300_000


def test_the_result_of_a_failed_run_is_its_traceback(jobs: Harness) -> None:
    with pytest.raises(AssertionError, match=r"(?s)\(error\): OSError: no line to ada"):
        _ = jobs.run_job(send.job("ada", fail_until=2)).result


# --- assertions ----------------------------------------------------------------------------------------------


def test_what_was_enqueued_is_asserted_by_handler_arguments_and_options(jobs: Harness) -> None:
    jobs.client.enqueue(send.job("ada"), delay=timedelta(hours=2), priority=-1, tags=["hello", "mail"])
    jobs.client.enqueue(send.job("bob"), queue="post")
    jobs.assert_enqueued()
    jobs.assert_enqueued(send, count=2)
    jobs.assert_enqueued("send", {"to": "bob"}, queue="post", delay=0)
    jobs.assert_enqueued(send, {"to": "ada"}, delay=7200, priority=-1, tags=["hello"])
    assert jobs.assert_enqueued(send.job("ada"))[0].args == {"to": "ada"} | jobs.enqueued()[0].args
    jobs.refute_enqueued(welcome)
    jobs.refute_enqueued(send, {"to": "ada"}, queue="post")
    jobs.refute_enqueued(send, delay=60)


def test_a_failed_assertion_says_what_is_enqueued(jobs: Harness) -> None:
    with pytest.raises(AssertionError, match="nothing is enqueued"):
        jobs.assert_enqueued(send)
    jobs.client.enqueue(send.job("ada"))
    with pytest.raises(AssertionError, match=r"no job like send\(to='bob'\).*\n  send\(to='ada'"):
        jobs.assert_enqueued(send, {"to": "bob"})
    with pytest.raises(AssertionError, match="1 job, not 2, like"):
        jobs.assert_enqueued(send, count=2)
    with pytest.raises(AssertionError, match=r"1 job\(s\) like send"):
        jobs.refute_enqueued(send)


@pytest.mark.parametrize("what", [pay, "pay"])
def test_secrets_are_compared_as_they_are(jobs: Harness, what: Any) -> None:
    jobs.client.enqueue(pay.job("Hunter2", {"number": "4111-1", "holder": "Ada"}))
    jobs.assert_enqueued(pay.job("Hunter2", {"number": "4111-1", "holder": "Ada"}))
    jobs.assert_enqueued(what, {"password": "Hunter2"}, count=1)
    jobs.refute_enqueued(pay.job("Hunter2", {"number": "5500-0", "holder": "Ada"}))
    jobs.refute_enqueued(what, {"password": "[secret]"})
    with pytest.raises(AssertionError, match="like pay"):
        jobs.refute_enqueued(pay.job("Hunter2", {"number": "4111-1", "holder": "Ada"}))


@pytest.mark.parametrize("what", [pay, "pay", None])
def test_a_failed_assertion_shows_no_secret(jobs: Harness, what: Any) -> None:
    jobs.client.enqueue(pay.job("Hunter2", {"number": "4111-1", "holder": "Ada"}))
    with pytest.raises(AssertionError) as missing:
        jobs.assert_enqueued(what, {"password": "Hunter3", "card": {"number": "5500-0"}})
    with pytest.raises(AssertionError) as there:
        jobs.refute_enqueued(what, {"password": "Hunter2"})
    assert "password='[secret]', card={'number': '[secret]'}" in str(missing.value)
    for shown in (str(missing.value), str(there.value), repr(jobs.assert_enqueued(pay))):
        assert not any(secret in shown for secret in ("Hunter", "5500-0", "4111-1"))


def test_a_misspelt_argument_is_an_error_and_no_refutation(jobs: Harness) -> None:
    with pytest.raises(InvalidArgument, match="no argument of send"):
        jobs.refute_enqueued(send, {"too": "ada"})
    with pytest.raises(InvalidJob):
        send.job(too="ada")  # type: ignore[call-arg]


def test_jobs_move_from_enqueued_to_ended(jobs: Harness) -> None:
    jobs.client.enqueue(send.job("ada"))
    assert [job.handler for job in jobs.enqueued()] == ["send"]
    jobs.drain()
    assert jobs.enqueued() == []
    assert [(job.handler, job.state) for job in jobs.ended()] == [("send", State.COMPLETED)]


# --- clients, workers ------------------------------------------------------------------------------------------


def test_a_client_made_in_the_test_talks_to_the_same_server(jobs: Harness) -> None:
    with Client() as client:
        client.enqueue(send.job("ada"))
    jobs.assert_enqueued(send)


def test_a_client_made_before_is_attached_and_given_back(jobs: Harness) -> None:
    client = Client("unix:///nowhere/at/all.sock", patience=0)
    with jobs.attached(client):
        client.enqueue(send.job("ada"), delay=60)
        jobs.assert_enqueued(send)
    assert client.settings.redis_url == "unix:///nowhere/at/all.sock"


def test_an_async_client_made_before_is_attached(jobs: Harness) -> None:
    async def check() -> None:
        client = AsyncClient("unix:///nowhere/at/all.sock", patience=0)
        with jobs.attached(client):
            await client.enqueue(send.job("ada"))
            await client.close()

    asyncio.run(check())
    jobs.assert_enqueued(send)


def test_a_real_worker_runs_both_lanes(jobs: Harness) -> None:
    with jobs.worker():
        assert jobs.client.enqueue(send.job("ada")).result(timeout=20) == "sent to ada"
        assert jobs.client.enqueue(which_process.job()).result(timeout=20) != os.getpid()


def test_a_handler_declared_in_the_test_is_used(jobs: Harness) -> None:
    from heavylift import handler

    @handler(name="send", queue="mail")
    def instead(to: str) -> str:
        return f"not sent to {to}"

    job = jobs.client.enqueue(send.job("ada", fail_until=0))
    jobs.client.enqueue(instead.job("bob"))
    jobs.use(instead)
    jobs.drain()
    assert job.state() == State.FAILED  # the double does not take `fail_until`
    assert [record.result for record in jobs.ended()] == [None, "not sent to bob"]


def test_nothing_is_left_of_a_test(url: str) -> None:
    from heavylift.settings import Settings
    from heavylift.store.connection import Connection, Target

    settings = Settings.load(env={}, redis_url=url, prefix="test-gone")
    with Harness(settings, lambda: USED) as harness:
        harness.client.enqueue_many([send.job(f"user{n}") for n in range(600)])
        harness.client.enqueue(send.job("ada"), delay=60)
        harness.drain()
    connection = Connection(Target.from_url(url), name="test")
    assert connection.command("DBSIZE") == 0
    connection.close()


# --- middleware ----------------------------------------------------------------------------------------------


class Seen(Middleware):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def enqueuing(self, job: Enqueuing) -> None:
        job.carrier["by"] = "test"
        self.told.append("enqueuing")

    def claimed(self, attempt: Attempt) -> None:
        self.told.append(f"claimed {attempt.carrier['by']}")

    def ended(self, attempt: Attempt, outcome: Outcome, settlement: Settlement) -> None:
        self.told.append(f"ended {settlement.to}")

    @contextlib.contextmanager
    def call(self, ctx: Context) -> Iterator[None]:
        self.told.append(f"call {ctx.job.carrier.get('by')}")
        yield


def test_what_is_drained_runs_within_its_middleware(heavylift_settings: Settings) -> None:
    seen = Seen()
    with Harness(heavylift_settings, lambda: USED, [seen]) as jobs:
        jobs.client.enqueue(send.job("ada"))
        assert jobs.drain() == Drained(completed=1)
        assert seen.told == ["enqueuing", "claimed test", "call test", "ended completed"]
        jobs.run_job(send.job("bob"))
        assert seen.told[4:] == ["call None"]
        with jobs.worker(), jobs.attached(Client(middleware=[])) as client:
            client.enqueue(send.job("eve")).result(timeout=10)


def test_what_the_settings_name_is_around_a_drain_too(heavylift_settings: Settings) -> None:
    named = replace(heavylift_settings, middleware=("tests.testing.handlers:seen",))
    with Harness(named, lambda: USED) as jobs:
        jobs.client.enqueue(plain_async.job(1))
        assert jobs.drain() == Drained(completed=1)
    assert handlers.seen.calls == ["plain_async"]


def test_the_end_of_a_lost_workers_attempt_is_told_without_its_beginning(heavylift_settings: Settings) -> None:
    seen = Seen()
    with Harness(heavylift_settings, lambda: USED, [seen]) as jobs:
        jobs.client.enqueue(plain_async.job(1))
        plans = jobs.client.plans
        assert jobs.client.shell.run(ask(plans.jobs.claim("mail", "lost", 1, 1, 1000, 1000), 1.0)).jobs
        jobs.advance(2)
        assert jobs.drain().completed == 1
    assert seen.told == ["enqueuing", "ended waiting", "claimed test", "call test", "ended completed"]

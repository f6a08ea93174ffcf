from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heavylift.decide import Settlement
from heavylift.errors import InvalidArgument, InvalidJob, JobNotFound, PayloadTooLarge
from heavylift.job import JobSpec, Reason, State
from tests.client.hand import Hand
from tests.servers import Server
from tests.waiting import wait_until

SPEC: JobSpec[Any] = JobSpec("resize", {"n": 1})


def fail(client: Any, hand: Hand, count: int = 1, **about: Any) -> list[Any]:
    """Jobs in the dead letters, the first the one that ended first."""
    reason = about.pop("reason", Reason.EXHAUSTED)
    spec = JobSpec(about.pop("handler", "resize"), queue=about.pop("queue", "default"))
    jobs = client.enqueue_many([spec] * count)
    for job in hand.claim_some(spec.queue, count):
        hand.fail(job, reason, **about)
    return list(jobs)


def test_cancelling_says_what_happened(client: Any, hand: Hand) -> None:
    waiting, running = client.enqueue(SPEC, priority=1), client.enqueue(SPEC)
    claimed = hand.claim()
    assert claimed.id == running.id
    assert (waiting.cancel(), running.cancel()) == ("cancelled", "asked")
    assert running.record().cancel_requested
    hand.complete(claimed)
    assert running.cancel() == "ended"
    delayed = client.enqueue(SPEC, delay=60)
    assert client.cancel(delayed.id) == "cancelled"
    with pytest.raises(JobNotFound):
        client.cancel("nowhere")


def test_a_running_job_cannot_be_removed(client: Any, hand: Hand) -> None:
    job = client.enqueue(SPEC)
    claimed = hand.claim()
    assert not job.remove()
    hand.complete(claimed)
    assert job.remove()
    with pytest.raises(JobNotFound):
        job.remove()


def test_a_delayed_job_can_be_run_now(client: Any, hand: Hand) -> None:
    job = client.enqueue(SPEC, delay=600)
    assert job.promote()
    assert not job.promote()
    assert hand.claim().id == job.id
    with pytest.raises(JobNotFound):
        client.job("nowhere", "default").promote()


def test_a_paused_queue_gives_out_no_jobs(client: Any, hand: Hand) -> None:
    client.pause("default")
    client.enqueue(SPEC)
    assert hand.claim_some("default", 1) == []
    assert client.resume("default")
    assert not client.resume("default")
    hand.claim()


def test_a_queue_that_is_paused_before_its_first_job_is_known(client: Any) -> None:
    client.pause("later")
    assert client.queues() == ["later"]


@pytest.mark.parametrize("name", ["", "a b", "a:b", 7])
def test_a_name_no_queue_can_have_is_refused(client: Any, name: Any) -> None:
    for verb in (client.pause, client.resume):
        with pytest.raises(InvalidArgument, match="queue"):
            verb(name)


# --- dead letters ---------------------------------------------------------------------------------------


def test_dead_letters_are_listed_the_latest_first_page_by_page(client: Any, hand: Hand, any_server: Server) -> None:
    jobs = fail(client, hand, 5)
    for at, job in enumerate(jobs):  # far enough apart to be sorted
        any_server.command("ZADD", "heavylift:{default}:failed", at, job.id)
        any_server.command("HSET", f"heavylift:{{default}}:job:{job.id}", "finished_at", at)
    ids = [job.id for job in reversed(jobs)]
    assert [record.id for record in client.failed()] == ids
    assert [record.id for record in client.failed(limit=2)] == ids[:2]
    assert [record.id for record in client.failed(offset=3, limit=5)] == ids[3:]


def test_dead_letters_are_listed_with_what_went_wrong(client: Any, hand: Hand) -> None:
    fail(client, hand, error="OSError", message="disk full")
    (record,) = client.failed()
    assert (record.reason, record.attempts[0].error, record.attempts[0].message) == (
        "exhausted",
        "OSError",
        "disk full",
    )


def test_dead_letters_are_chosen_by_queue_reason_and_handler(client: Any, hand: Hand) -> None:
    (resize,) = fail(client, hand)
    (poison,) = fail(client, hand, reason=Reason.POISON)
    (other,) = fail(client, hand, queue="other")
    (report,) = fail(client, hand, handler="report")

    def ids(**which: Any) -> set[str]:
        return {record.id for record in client.failed(**which)}

    assert ids() == {resize.id, poison.id, other.id, report.id}
    assert ids(queue="other") == {other.id}
    assert ids(reason="poison") == {poison.id}
    assert ids(handler="report") == {report.id}
    assert ids(queue="default", handler="resize", reason="exhausted") == {resize.id}
    assert ids(reason="expired") == set()


def test_a_page_is_bounded(client: Any) -> None:
    for wrong in ({"limit": 1001}, {"limit": -1}, {"offset": -1}, {"limit": "5"}):
        with pytest.raises(InvalidArgument):
            client.failed(**wrong)


def test_a_dead_letter_gets_another_life(client: Any, hand: Hand) -> None:
    (job,) = fail(client, hand)
    assert job.replay()
    record = job.record()
    assert (record.state, record.counters.attempts) == (State.WAITING, 0)
    assert not job.replay()
    hand.do_all(result="well")
    assert job.result(5) == "well"


def test_dead_letters_are_replayed_by_id_over_queues(client: Any, hand: Hand) -> None:
    jobs = fail(client, hand, 2) + fail(client, hand, 2, queue="other")
    assert client.replay(*(job.id for job in jobs[1:3])) == 2
    assert [job.state() for job in jobs] == ["failed", "waiting", "waiting", "failed"]
    with pytest.raises(JobNotFound):
        client.replay("nowhere")


def test_dead_letters_are_replayed_by_what_they_have_in_common_all_of_them(client: Any, hand: Hand) -> None:
    """More than fit one call, and not the others among them."""
    for _ in range(2):
        fail(client, hand, 120)
        fail(client, hand, 10, reason=Reason.POISON)
    assert client.replay(reason="exhausted") == 240
    assert {record.reason for record in client.failed(limit=1000)} == {"poison"}
    assert client.replay(queue="default") == 20
    assert client.failed() == []


def test_a_job_that_fails_again_is_replayed_once(client: Any, hand: Hand) -> None:
    fail(client, hand, 3)
    assert client.replay(queue="default") == 3
    for job in hand.claim_some("default", 3):
        hand.fail(job)
    wait_until("all are back", lambda: len(client.failed()) == 3)
    assert client.replay(handler="resize") == 3


def test_replaying_everything_must_be_said(client: Any) -> None:
    with pytest.raises(InvalidArgument, match="by queue, reason"):
        client.replay()


# --- what they have in common ---------------------------------------------------------------------------


def test_dead_letters_are_chosen_by_cause_fingerprint_tag_and_text(client: Any, hand: Hand) -> None:
    (disk,) = fail(client, hand, error="OSError", message="Disk full", fingerprint="aa11")
    (other,) = fail(client, hand, error="ValueError", message="7", fingerprint="bb22")
    tagged = client.enqueue(SPEC, tags=["night"])
    hand.settle(hand.claim(), Settlement(State.FAILED, reason=Reason.POISON), "killed:SIGSEGV")

    def ids(**which: Any) -> set[str]:
        return {record.id for record in client.failed(**which)}

    assert ids(fingerprint="aa11") == ids(fingerprint="aa") == ids(text="disk FULL") == {disk.id}
    assert ids(cause="killed:SIGSEGV") == ids(tag="night") == {tagged.id}
    assert ids(cause="error", text="valueerror: 7") == {other.id}
    assert ids(since=datetime.now(UTC) + timedelta(hours=1)) == set()
    assert ids(until=datetime.now(UTC) + timedelta(hours=1)) == {disk.id, other.id, tagged.id}
    assert client.replay(fingerprint="bb22") == 1
    assert ids() == {disk.id, tagged.id}


@pytest.mark.parametrize("wrong", [{"tagg": "x"}, {"since": datetime(2024, 1, 1)}, {"text": 7}])
def test_what_dead_letters_cannot_be_chosen_by_is_refused_by_name(client: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        client.failed(**wrong)


def test_dead_letters_are_grouped_by_fault_the_largest_first_with_an_example(client: Any, hand: Hand) -> None:
    for _ in range(2):  # more than fit one page
        fail(client, hand, 125, error="OSError", message="disk full", fingerprint="aa11")
    fail(client, hand, 3, error="ValueError", message="7", fingerprint="bb22", queue="other")
    first, second = client.failed_groups()
    assert (first.name, first.count, second.name, second.count) == ("aa11", 250, "bb22", 3)
    assert first.first_at <= first.last_at
    assert first.example.attempts[-1].message == "disk full"
    assert [(group.name, group.count) for group in client.failed_groups("queue")] == [("default", 250), ("other", 3)]
    assert [group.count for group in client.failed_groups("reason", "other")] == [3]
    with pytest.raises(InvalidArgument, match="by"):
        client.failed_groups("colour")


def test_dead_letters_are_purged_by_what_they_have_in_common_after_a_count(client: Any, hand: Hand) -> None:
    for _ in range(2):
        fail(client, hand, 115)
    (kept,) = fail(client, hand, reason=Reason.POISON)
    pages: list[tuple[int, int]] = []
    assert client.purge_failed(reason="exhausted", dry_run=True) == 230
    assert len(client.failed(limit=1000)) == 231
    assert client.purge_failed(reason="exhausted", on_page=lambda *page: pages.append(page)) == 230
    assert [record.id for record in client.failed()] == [kept.id]
    assert pages[-1] == (231, 231)
    with pytest.raises(InvalidArgument, match="which"):
        client.purge_failed()


# --- single jobs ----------------------------------------------------------------------------------------


def test_a_dead_letter_is_replayed_with_other_arguments_and_keeps_its_first(client: Any, hand: Hand) -> None:
    job = client.enqueue(JobSpec("resize", {"n": 1}), timeout=7, tags=["a"])
    hand.fail(hand.claim())
    with pytest.raises(InvalidJob, match="another handler"):
        job.replay(JobSpec("report", {"n": 2}))
    assert job.state() is State.FAILED
    assert job.replay({"n": 2})
    record = job.record()
    assert (record.args, record.original_args) == ({"n": 2}, {"n": 1})
    assert (record.options.timeout, record.options.tags) == (7, ("a",))
    hand.fail(hand.claim())
    assert job.replay(JobSpec("resize", {"n": 3}))
    assert (job.record().args, job.record().original_args) == ({"n": 3}, {"n": 1})


def test_a_dead_letter_is_replayed_with_one_argument_changed_and_the_others_kept(client: Any, hand: Hand) -> None:
    job = client.enqueue(JobSpec("login", {"password": "hush", "n": 1, "big": 2**60}), secret=["password"])
    hand.fail(hand.claim())
    with pytest.raises(InvalidArgument, match="either all arguments or those that change"):
        job.replay({"n": 2}, change={"password": "hush"})
    assert job.replay(change={"n": 2})
    claimed = hand.claim()
    assert b'"args":{"password":"hush","n":2,"big":1152921504606846976}' in claimed.spec
    hand.fail(claimed)
    assert job.retry(change={})
    assert b'"n":2' in hand.claim().spec


def test_secrets_stay_secret_in_other_arguments_and_in_the_first_ones(client: Any, hand: Hand) -> None:
    job = client.enqueue(JobSpec("login", {"password": "hush", "n": 1}), secret=["password"])
    hand.fail(hand.claim())
    with pytest.raises(InvalidJob) as refused:
        job.replay({"password": "hush", "n": object()})
    assert "hush" not in str(refused.value)
    assert job.replay({"password": "hush", "n": 2})
    record = job.record()
    assert "hush" not in repr(record)
    assert (record.args["n"], record.original_args["n"]) == (2, 1)
    assert b"hush" in hand.claim().spec, "the worker gets it"


def test_other_arguments_are_no_larger_than_those_of_a_new_job(make_client: Any, url: str, hand: Hand) -> None:
    client = make_client(url, max_payload=100)
    (job,) = fail(client, hand)
    with pytest.raises(PayloadTooLarge):
        job.replay({"text": "x" * 200})


def test_a_job_that_completed_or_was_cancelled_runs_again_on_retry_alone(client: Any, hand: Hand) -> None:
    job = client.enqueue(SPEC)
    assert not job.retry()
    hand.complete(hand.claim(), "first")
    assert not job.replay()
    assert job.retry()
    assert job.record().result is None
    hand.complete(hand.claim(), "second")
    assert job.result(5) == "second"
    cancelled = client.enqueue(SPEC)
    cancelled.cancel()
    assert cancelled.retry()
    assert hand.claim().id == cancelled.id
    with pytest.raises(JobNotFound):
        client.job("nowhere", "default").retry()


def test_a_job_is_rescheduled_there_and_back(client: Any, hand: Hand) -> None:
    job = client.enqueue(SPEC)
    later = datetime.now(UTC) + timedelta(hours=1)
    moved = job.reschedule(at=later)
    assert (moved.done, moved.was, moved.state) == (True, State.WAITING, State.DELAYED)
    assert moved.due_at == pytest.approx(later.timestamp() * 1000, abs=1)
    assert hand.claim_some("default", 1) == []
    assert job.reschedule(delay=60).due_at < moved.due_at
    back = job.reschedule(delay=0)
    assert (back.was, back.state, back.due_at) == (State.DELAYED, State.WAITING, None)
    claimed = hand.claim()
    refused = job.reschedule(delay=5)
    assert (refused.done, refused.was, refused.state) == (False, State.ACTIVE, State.ACTIVE)
    hand.complete(claimed)
    assert not job.reschedule(delay=5).done
    with pytest.raises(InvalidArgument):
        job.reschedule()
    with pytest.raises(JobNotFound):
        client.job("nowhere", "default").reschedule(delay=1)


@pytest.mark.parametrize("limited", [False, True], ids=["one line", "lines by key"])
def test_a_job_with_another_priority_goes_before_others(client: Any, hand: Hand, limited: bool) -> None:
    if limited:
        hand.connection.ask(hand.jobs.limit("default", 5, group="resize"))
    first, second = client.enqueue(SPEC), client.enqueue(SPEC)
    delayed = client.enqueue(SPEC, delay=60)
    changed = second.reprioritize(-1)
    assert (changed.done, changed.was, changed.priority) == (True, 0, -1)
    assert delayed.reprioritize(-2).done
    assert delayed.promote()
    claimed = [hand.claim() for _ in range(3)]
    assert [job.id for job in claimed] == [delayed.id, second.id, first.id]
    refused = first.reprioritize(3)
    assert (refused.done, refused.state, refused.priority) == (False, State.ACTIVE, 0)
    with pytest.raises(InvalidArgument, match="priority"):
        first.reprioritize(10**6)

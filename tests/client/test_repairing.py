from __future__ import annotations

from typing import Any

import pytest

from heavylift.errors import InvalidArgument, JobNotFound
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
    with pytest.raises(InvalidArgument, match="queue, reason or handler"):
        client.replay()

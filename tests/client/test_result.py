from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from heavylift.client import Client
from heavylift.client.operations import Operations
from heavylift.client.plan import Ask, Hear, Listen, Running
from heavylift.client.watching import Mark
from heavylift.errors import (
    ClientClosed,
    InvalidArgument,
    JobCancelled,
    JobFailed,
    JobNotFound,
    ResultTimeout,
    Unavailable,
)
from heavylift.job import JobSpec, Reason, State
from heavylift.store.jobs import Jobs
from tests.client.conftest import MakeClient, settings
from tests.client.hand import Hand
from tests.servers import Server
from tests.waiting import wait_until

SPEC: JobSpec[Any] = JobSpec("resize", {"n": 1})


@pytest.fixture
def aside() -> Iterator[Callable[..., Future[Any]]]:
    """`aside(fn, ...)` runs it in a thread."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


def listening(server: Server, channels: int = 1) -> None:
    """Wait until so many channels are subscribed to."""
    wait_until(
        f"{channels} channels are listened to", lambda: len(server.command("PUBSUB", "CHANNELS", "*job:*")) == channels
    )


@dataclass
class Box:
    width: int


def test_the_result_is_what_the_handler_returned(client: Any, hand: Hand) -> None:
    job = client.enqueue(SPEC)
    hand.complete(hand.claim(), {"width": 800})
    assert job.result(5) == {"width": 800}
    assert job.result(0) == {"width": 800}


def test_the_result_has_the_type_the_handler_says(client: Any, hand: Hand) -> None:
    job = client.enqueue(JobSpec("resize", returns=Box))
    hand.complete(hand.claim(), {"width": 800})
    assert job.result(5) == Box(800)


def test_nothing_returned_is_none(client: Any, hand: Hand) -> None:
    job = client.enqueue(SPEC)
    hand.complete(hand.claim())
    assert job.result(5) is None


def test_whoever_waits_gets_the_result_as_soon_as_it_is_there(
    make_client: MakeClient, url: str, any_server: Server, hand: Hand, aside: Callable[..., Future[Any]]
) -> None:
    """By the message, not by the next read, which would be a minute later."""
    job = make_client(url, poll=60.0).enqueue(SPEC)
    waits = aside(job.result, 30)
    listening(any_server)
    began = time.monotonic()
    hand.complete(hand.claim(), 42)
    assert waits.result(5) == 42
    assert time.monotonic() - began < 2


def test_a_job_that_was_not_done_in_time_goes_on(client: Any, hand: Hand) -> None:
    job = client.enqueue(SPEC)
    with pytest.raises(ResultTimeout):
        job.result(0.05)
    with pytest.raises(ResultTimeout):
        job.result(0)
    hand.complete(hand.claim(), 1)
    assert job.result(5) == 1


def test_a_wait_in_vain_says_what_the_job_waits_for(client: Any) -> None:
    job = client.enqueue(SPEC)
    with pytest.raises(ResultTimeout, match=rf"it goes on \(no worker serves queue {job.queue}; start one"):
        job.result(0.05)


def test_whoever_only_looks_is_given_no_reasons(client: Any) -> None:
    with pytest.raises(ResultTimeout, match=r"it goes on$"):
        client.enqueue(SPEC).result(0)


def test_a_failed_job_raises_its_last_attempt(client: Any, hand: Hand) -> None:
    job = client.enqueue(SPEC)
    hand.fail(hand.claim(), error="OSError", message="disk full", traceback="Traceback ...")
    with pytest.raises(JobFailed, match="OSError: disk full") as failed:
        job.result(5)
    told = failed.value
    assert (told.job, told.reason, told.cause, told.traceback) == (job.id, "exhausted", "error", "Traceback ...")


def test_a_cancelled_job_raises(client: Any) -> None:
    job = client.enqueue(SPEC)
    assert job.cancel() == "cancelled"
    with pytest.raises(JobCancelled):
        job.result(5)


def test_a_job_that_is_removed_while_somebody_waits_is_not_found(
    client: Any, any_server: Server, aside: Callable[..., Future[Any]]
) -> None:
    job = client.enqueue(SPEC)
    waits = aside(job.result, 30)
    listening(any_server)
    assert job.remove()
    with pytest.raises(JobNotFound):
        waits.result(5)


def test_a_retry_is_no_end(client: Any, any_server: Server, hand: Hand, aside: Callable[..., Future[Any]]) -> None:
    job = client.enqueue(SPEC)
    waits = aside(job.result, 30)
    listening(any_server)
    hand.retry(hand.claim(), delay=0.01)
    wait_until("it is due", lambda: job.promote() or job.state() == State.WAITING)
    hand.complete(hand.claim(), 7)
    assert waits.result(5) == 7


@pytest.mark.parametrize("timeout", [-1, "5", float("nan")])
def test_a_time_that_is_none_is_refused(client: Any, timeout: Any) -> None:
    job = client.enqueue(SPEC)
    with pytest.raises(InvalidArgument, match="timeout"):
        job.result(timeout)


# --- what is lost ---------------------------------------------------------------------------------------


def carry_out(plan: Any, client: Client, on_step: Callable[[Any], None]) -> Any:
    """Run a plan by hand; `on_step` is called before each step, so that things happen exactly then."""
    going = Running(plan)
    box = None
    while (step := going.step) is not None:
        on_step(step)
        match step:
            case Ask(calls):
                going.answer(client.shell._here()._ask(calls))
            case Listen():
                box = FakeBox()
                going.answer(box)
            case Hear():
                assert box is not None
                going.answer(box.take())
    return going.value


class FakeBox:
    """Says it is live, then nothing any more: every message is lost."""

    def __init__(self) -> None:
        self._left: list[Any] = [Mark.LIVE]

    def take(self) -> list[Any]:
        left, self._left = self._left, []
        return left

    def close(self) -> None:
        pass


def test_a_job_that_ends_between_listening_and_reading_is_seen(url: str, hand: Hand) -> None:
    """Even if no message arrives: listen first, read then."""
    with Client(settings=settings(url)) as client:
        job = client.enqueue(SPEC)
        reads = 0

        def on_step(step: Any) -> None:
            nonlocal reads
            reads += isinstance(step, Ask)
            if isinstance(step, Listen):
                hand.complete(hand.claim(), "seen")

        plan = Operations(Jobs("heavylift"), 5, 60, 1000).result(job.queue, job.id, Any, 30)
        assert carry_out(plan, client, on_step) == "seen"
        assert reads == 2


def test_a_job_whose_end_was_not_heard_is_read_after_a_while(url: str, hand: Hand) -> None:
    with Client(settings=settings(url)) as client:
        job = client.enqueue(SPEC)
        heard = 0

        def on_step(step: Any) -> None:
            nonlocal heard
            heard += isinstance(step, Hear)
            if heard == 2 and isinstance(step, Hear):
                hand.complete(hand.claim(), "read")

        plan = Operations(Jobs("heavylift"), 5, 0.05, 1000).result(job.queue, job.id, Any, 30)
        assert carry_out(plan, client, on_step) == "read"


def test_a_cut_subscription_is_mended_and_the_result_still_comes(
    make_client: MakeClient, url: str, any_server: Server, hand: Hand, aside: Callable[..., Future[Any]]
) -> None:
    """Rereads are a minute apart: it is the new subscription that makes the watcher read."""
    client = make_client(url, poll=60.0)
    job = client.enqueue(SPEC)
    waits = aside(job.result, 30)
    listening(any_server)
    claimed = hand.claim()
    with any_server.client() as admin:
        pipe = admin.pipeline(transaction=True)  # cut and end together: the message has nobody to go to
        pipe.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        pipe.execute_command("PUBLISH", "heavylift:{default}:job:" + job.id, "noise")
        assert pipe.execute()[-1] == 0
    hand.complete(claimed, "still")
    assert waits.result(10) == "still"


def test_results_come_while_nobody_may_subscribe(
    make_client: MakeClient, url: str, any_server: Server, hand: Hand, aside: Callable[..., Future[Any]]
) -> None:
    """The state is read every so often instead."""
    any_server.command("ACL", "SETUSER", "deaf", "on", ">word", "~*", "&*", "+@all", "-subscribe")
    try:
        client = make_client(url.replace("unix://", "unix://deaf:word@"))
        job = client.enqueue(SPEC)
        waits = aside(job.result, 30)
        hand.complete(hand.claim(), "polled")
        assert waits.result(10) == "polled"
    finally:
        any_server.command("ACL", "DELUSER", "deaf")


def test_a_server_that_restarts_while_somebody_waits_costs_nothing(
    make_client: MakeClient, aside: Callable[..., Future[Any]]
) -> None:
    with Server(appendonly=True) as server, Hand(server.url) as hand:
        job = make_client(server.url, patience=0.1).enqueue(SPEC)
        waits = aside(job.result, 30)
        listening(server)
        claimed = hand.claim()
        hand.connection.close()
        server.stop()
        server.start()
        hand.complete(claimed, "survived")
        assert waits.result(10) == "survived"


def test_a_server_that_stays_away_is_said_when_time_is_up(
    make_client: MakeClient, aside: Callable[..., Future[Any]]
) -> None:
    with Server() as server:
        job = make_client(server.url, patience=0.1).enqueue(SPEC)
        waits = aside(job.result, 3.0)
        listening(server)
        server.stop()
        with pytest.raises((Unavailable, ResultTimeout)):
            waits.result(10)


# --- many at once ---------------------------------------------------------------------------------------


def test_many_who_wait_share_one_subscribed_connection(url: str, any_server: Server, hand: Hand) -> None:
    with Client(settings=settings(url)) as client, ThreadPoolExecutor(40) as pool:
        jobs = client.enqueue_many([JobSpec("resize", {"n": n}) for n in range(40)])
        waits = [pool.submit(job.result, 30) for job in jobs]
        listening(any_server, 40)
        names = any_server.command("CLIENT", "LIST")
        assert (names.count(b"name=heavylift:listener "), names.count(b"name=heavylift:client ")) == (1, 1)
        assert hand.do_all(result="done") == 40
        assert [wait.result(10) for wait in waits] == ["done"] * 40
        wait_until("nothing is listened to", lambda: not any_server.command("PUBSUB", "CHANNELS", "*job:*"))


def test_closing_the_client_ends_the_waits(client: Any, any_server: Server, aside: Callable[..., Future[Any]]) -> None:
    waits = aside(client.enqueue(SPEC).result, 30)
    listening(any_server)
    client.close()
    with pytest.raises(ClientClosed):
        waits.result(5)


def test_a_closed_client_connects_again_when_it_is_used(client: Any) -> None:
    job = client.enqueue(SPEC)
    client.close()
    client.close()
    assert job.state() == State.WAITING


def test_a_listener_that_nobody_needs_ends_with_its_client(url: str, any_server: Server) -> None:
    with Client(settings=settings(url)) as client:
        with pytest.raises(ResultTimeout):
            client.enqueue(SPEC).result(0.5)
        assert "heavylift-listener" in {thread.name for thread in threading.enumerate()}
    assert "heavylift-listener" not in {thread.name for thread in threading.enumerate()}


def test_the_queue_of_a_job_is_no_secret_to_its_dead_letter(client: Any, hand: Hand) -> None:
    """A job that failed without an attempt says why."""
    job = client.enqueue(SPEC)
    hand.fail(hand.claim(), Reason.EXPIRED)
    with pytest.raises(JobFailed, match="expires"):
        job.result(5)

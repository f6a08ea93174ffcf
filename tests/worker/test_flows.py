"""Flows with real workers, in both lanes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heavylift import Client, JobFailed, State, batch, chain, group
from heavylift.settings import Settings
from tests.servers import Server
from tests.waiting import wait_until
from tests.worker import handlers
from tests.worker.conftest import StartWorker

BOTH = {"light": 1, "heavy": 1}


@pytest.fixture
def client(any_server: Server) -> Iterator[Client]:
    with Client(settings=Settings.load(env={}, redis_url=any_server.url)) as client:
        yield client


def test_a_handler_has_its_parents_results_in_the_order_of_after(client: Client, start_worker: StartWorker) -> None:
    start_worker(queues=BOTH)
    parents = group(handlers.echo.job(n) for n in range(20))
    for gather in (handlers.add_up.job(), handlers.add_up_later.job(), handlers.add_up_heavily.job()):
        assert client.enqueue_flow(chain(parents, gather)).result(timeout=20) == list(range(20))


def test_results_too_large_to_be_handed_on_are_read_from_the_parents(client: Client, start_worker: StartWorker) -> None:
    start_worker(queues=BOTH)
    parents = group(handlers.say_much.job(200_000) for _ in range(8))
    result = client.enqueue_flow(chain(parents, handlers.count_said.job())).result(timeout=20)
    assert result == [200_000] * 8


def test_results_above_the_most_that_is_told_are_left_out_and_said_to_be_with_the_parents(
    client: Client, start_worker: StartWorker, any_server: Server
) -> None:
    start_worker(queues=BOTH)
    count, size = 70, 250_000
    most_told = (16 << 20) // (size + 2)
    parents = group(handlers.say_much.job(size) for _ in range(count))
    flow = client.enqueue_flow(chain(parents, handlers.read_all.job(any_server.url)))
    assert flow.result(timeout=60) == [*[size] * count, count - most_told]


def test_who_is_told_of_a_failure_sees_which_it_was(client: Client, start_worker: StartWorker) -> None:
    start_worker(queues=BOTH)
    flow = client.enqueue_flow(
        batch([handlers.echo.job(1), handlers.fall.job()], on_failure=handlers.add_up_heavily.job())
    )
    assert flow.wait(timeout=20) == {State.COMPLETED: 2, State.FAILED: 1}
    assert flow.jobs[-1].result(timeout=0) == [1, "failed"]
    with pytest.raises(JobFailed, match="fallen"):
        flow.result(timeout=0)


def test_a_flow_goes_on_where_a_worker_went_after_settling(client: Client, start_worker: StartWorker) -> None:
    """The one worker settles and tells nobody, as if it had died; another finds it in the outbox."""
    first = start_worker(queues={"light": 1})
    first.handover.filled = lambda queue: None  # type: ignore[method-assign]
    first.handover.look_after = lambda queue: None  # type: ignore[method-assign]
    client.pause("light")  # or the parent may end before its child is linked to it, and the client tells the child
    flow = client.enqueue_flow(chain(handlers.echo.job(5), handlers.add_up_heavily.job()))
    client.resume("light")
    wait_until("the parent has completed", lambda: flow.jobs[0].state() is State.COMPLETED)
    assert flow.jobs[1].state() is State.BLOCKED
    assert first.stop()
    start_worker(queues={"heavy": 1})
    assert flow.result(timeout=20) == [5]


def test_a_worker_that_drains_does_not_leave_between_parent_and_child(
    client: Client, start_worker: StartWorker
) -> None:
    flow = client.enqueue_flow(chain(*(handlers.echo.job(n) for n in range(10))))
    worker = start_worker()
    worker.wait_drained()
    assert flow.counts() == {State.COMPLETED: 10}

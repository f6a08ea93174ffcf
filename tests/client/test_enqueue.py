from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest

from heavylift.client import Client
from heavylift.errors import (
    InvalidArgument,
    InvalidJob,
    JobNotFound,
    NotAllEnqueued,
    PayloadTooLarge,
    ServerFull,
    Unavailable,
)
from heavylift.flow import group
from heavylift.handler import handler
from heavylift.job import JobSpec, State
from heavylift.options import JobOptions
from tests.client.conftest import MakeClient, settings
from tests.client.hand import Hand
from tests.servers import Server


def plain(name: str) -> None: ...


def spec(n: int = 0, **more: Any) -> JobSpec[Any]:
    return JobSpec("resize", {"n": n}, **more)


def test_an_enqueued_job_is_there_with_its_arguments(client: Any) -> None:
    job = client.enqueue(spec(7))
    record = job.record()
    assert (record.state, record.handler, record.args, record.queue) == (State.WAITING, "resize", {"n": 7}, "default")
    assert not job.duplicate


def test_a_delayed_job_waits_until_its_time(client: Any) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    for job in (client.enqueue(spec(), delay=60), client.enqueue(spec(), at=later)):
        assert job.state() == State.DELAYED
    assert abs(client.enqueue(spec(), at=later).record().due_at - later.timestamp() * 1000) <= 1


def test_lower_priorities_go_first(client: Any, hand: Hand) -> None:
    jobs = {client.enqueue(spec(), priority=priority).id: priority for priority in (1, -1, 0)}
    assert [jobs[job.id] for job in hand.claim_some("default", 3)] == [-1, 0, 1]


def test_a_second_job_of_the_same_id_is_the_first_and_says_so(client: Any) -> None:
    first = client.enqueue(spec(1), id="mine")
    second = client.enqueue(spec(2), id="mine")
    assert second.id == first.id == "mine"
    assert (first.duplicate, second.duplicate) == (False, True)
    assert second.record().args == {"n": 1}


def test_a_refused_job_leaves_nothing_behind(client: Any) -> None:
    with pytest.raises(InvalidArgument, match="delay"):
        client.enqueue(spec(), delay=-1)
    assert client.queues() == []


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (plain, "plain is no handler: put @handler on it, and give plain.job(...), with its arguments"),
        (handler(plain), "give plain.job(...), with its arguments"),
        ("plain", "give what handler.job(...) returns"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"name": "an argument"}])
def test_what_is_no_request_is_told_how_to_become_one(
    client: Any, what: Any, said: str, options: dict[str, Any]
) -> None:
    """Also where its arguments stand among the options, which would be refused as well."""
    with pytest.raises(InvalidJob, match=re.escape(said)):
        client.enqueue(what, **options)


def test_many_jobs_come_back_in_their_order_over_queues_and_batches(client: Any) -> None:
    specs = [spec(n, queue=("red", "green", "blue")[n % 3]) for n in range(777)]
    jobs = client.enqueue_many(specs)
    assert [job.queue for job in jobs] == [one.queue for one in specs]
    assert [jobs[n].record().args["n"] for n in (0, 1, 2, 400, 776)] == [0, 1, 2, 400, 776]
    assert client.queues() == ["blue", "green", "red"]


def test_no_jobs_are_no_work(client: Any) -> None:
    assert client.enqueue_many([]) == []


def test_of_many_jobs_none_is_enqueued_if_one_is_wrong(client: Any) -> None:
    with pytest.raises(PayloadTooLarge):
        client.enqueue_many([spec(1), JobSpec("resize", {"text": "x" * 300_000})])
    assert client.queues() == []


def test_options_go_for_all_of_many_but_an_id_does_not(client: Any) -> None:
    jobs = client.enqueue_many([spec(n) for n in range(3)], delay=60)
    assert {job.state() for job in jobs} == {State.DELAYED}
    with pytest.raises(InvalidArgument, match="id"):
        client.enqueue_many([spec()], id="one")


def test_many_jobs_with_ids_of_their_own_say_which_were_there(client: Any) -> None:
    client.enqueue(spec(), id="b")
    jobs = client.enqueue_many([JobSpec("resize", options=JobOptions(id=id)) for id in "abca"])
    assert [(job.id, job.duplicate) for job in jobs] == [("a", False), ("b", True), ("c", False), ("a", True)]


def test_large_jobs_are_sent_in_calls_of_at_most_a_quarter_of_a_mebibyte(client: Any, any_server: Server) -> None:
    """Ten jobs of 240 KiB: one fits a call."""
    client.enqueue(spec())
    before = scripts_run(any_server)
    client.enqueue_many([JobSpec("resize", {"text": "x" * 240 * 1024}) for _ in range(10)])
    assert scripts_run(any_server) - before == 10


def test_a_full_server_refuses_and_says_so(client: Any, any_server: Server) -> None:
    client.enqueue(spec())
    any_server.config("maxmemory", "1mb")
    with pytest.raises(ServerFull):
        client.enqueue(spec())
    with pytest.raises(ServerFull):
        client.enqueue_many([spec(), spec()])


def test_a_batch_of_which_a_part_was_refused_says_which(client: Any, any_server: Server) -> None:
    """The server fills up on the way."""
    used = int(any_server.command("INFO", "memory")["used_memory"])
    any_server.config("maxmemory", str(used + 12 * 1024 * 1024))
    specs = [JobSpec("resize", {"n": n, "text": "x" * 60_000}) for n in range(400)]
    with pytest.raises(NotAllEnqueued) as partly:
        client.enqueue_many(specs)
    told = partly.value
    assert 0 < len(told.errors) < 400
    assert {n for n in range(400) if told.jobs[n] is None} == set(told.errors)
    assert all(isinstance(error, ServerFull) for error in told.errors.values())
    any_server.config("maxmemory", "0")
    there = next(n for n in range(400) if told.jobs[n] is not None)
    assert client.job(told.ids[there]).record().args["n"] == there
    with pytest.raises(JobNotFound):
        client.job(told.ids[max(told.errors)])


def test_a_flow_of_which_a_part_was_refused_says_which(client: Any, any_server: Server) -> None:
    used = int(any_server.command("INFO", "memory")["used_memory"])
    any_server.config("maxmemory", str(used + 12 * 1024 * 1024))
    flow = group([JobSpec("resize", {"n": n, "text": "x" * 60_000}) for n in range(400)])
    with pytest.raises(NotAllEnqueued) as partly:
        client.enqueue_flow(flow)
    any_server.config("maxmemory", "0")
    there = next(n for n in range(400) if partly.value.jobs[n] is not None)
    assert client.job(partly.value.jobs[there].id).record().args["n"] == there


def test_a_job_is_found_by_its_id_in_whatever_queue(client: Any) -> None:
    job = client.enqueue(spec(queue="images"))
    client.enqueue(spec(queue="other"))
    assert client.job(job.id) == job
    assert client.job(job.id, "images").state() == State.WAITING
    with pytest.raises(JobNotFound):
        client.job("nowhere")
    with pytest.raises(JobNotFound):
        client.job("nowhere", "images").state()


def test_two_at_the_same_time_with_the_same_id_make_one_job(url: str) -> None:
    def both(n: int) -> int:
        start = threading.Barrier(8)

        def one() -> bool:
            start.wait()
            return client.enqueue(spec(), id=f"the-same-{n}").duplicate

        return sum(future.result() for future in [pool.submit(one) for _ in range(8)])

    with Client(settings=settings(url)) as client, ThreadPoolExecutor(8) as pool:
        assert [both(n) for n in range(20)] == [7] * 20


def test_threads_share_round_trips(url: str, any_server: Server) -> None:
    """32 threads, one connection, and fewer reads from it than commands."""
    with Client(settings=settings(url)) as client, ThreadPoolExecutor(32) as pool:
        client.enqueue(spec())
        reads = int(any_server.command("INFO", "stats")["total_reads_processed"])
        list(pool.map(lambda n: [client.enqueue(spec(n)) for _ in range(100)], range(32)))
        info = any_server.command("INFO", "stats")
        assert int(info["total_reads_processed"]) - reads < 3200 * 0.9
        assert any_server.command("CLIENT", "LIST").count(b"name=heavylift:client ") == 1
        assert any_server.command("ZCARD", "heavylift:{default}:line:") == 3201


def test_without_a_server_there_is_an_error_in_good_time(make_client: MakeClient) -> None:
    client = make_client("unix:///nowhere/at/all.sock", patience=0.2)
    with pytest.raises(Unavailable):
        client.enqueue(spec())
    with pytest.raises(Unavailable):
        client.enqueue_many([spec(), spec()])


def test_a_server_that_comes_back_in_time_costs_no_error_and_no_job(client: Any, any_server: Server) -> None:
    client.enqueue(spec(1), id="before")
    any_server.stop()
    back = threading.Timer(0.3, any_server.start)
    back.start()
    job = client.enqueue(spec(2), id="after")
    back.join()
    assert (job.duplicate, job.state()) == (False, State.WAITING)


def test_a_connection_that_is_cut_costs_no_error_and_no_job(client: Any, any_server: Server) -> None:
    client.enqueue(spec())
    for n in range(5):
        any_server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert not client.enqueue(spec(n), id=f"job-{n}").duplicate
    assert any_server.command("ZCARD", "heavylift:{default}:line:") == 6


def scripts_run(server: Server) -> int:
    stats = server.command("INFO", "commandstats")
    return int(stats["cmdstat_evalsha"]["calls"]) if "cmdstat_evalsha" in stats else 0


class Queues(str, Enum):  # noqa: UP042 - its format is not its value
    PICTURES = "pictures"


def test_a_queue_may_be_named_by_an_enum_of_texts(client: Any) -> None:
    job = client.enqueue(spec(queue=Queues.PICTURES))
    assert client.queues() == ["pictures"]
    assert client.job(job.id, "pictures").record().queue == "pictures"

"""Payloads that are meant to do harm, or are broken: they stay data, and the rest goes on."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pickle
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from heavylift import AsyncClient, Client, Job, JobFailed, JobSpec
from heavylift.decide import UNKNOWN_TRIES
from heavylift.errors import PayloadTooLarge
from heavylift.settings import Settings
from tests.faults import hostile, jobs
from tests.faults.harness import WorkerProcess, settings
from tests.faults.oracle import Vitals
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.file}",))


def _hostile(file: Path) -> list[Any]:
    """Payloads that make a file, if whoever reads them builds more than plain data of them."""
    code = f"__import__('os').system('touch {file}')"
    return [
        base64.b64encode(pickle.dumps(Bomb(file))).decode(),
        pickle.dumps(Bomb(file), protocol=0).decode("ascii"),
        {
            "py/object": "antigravity.Flight",
            "__class__": "antigravity",
            "py/reduce": [{"py/function": "os.system"}, [f"touch {file}"]],
        },
        code,
        {"__reduce__": code, "{}": "{0.__class__}", "$(touch)": f"$(touch {file}) `touch {file}`"},
        {"!!python/object/apply:os.system": [f"touch {file}"], "__proto__": {"a": 1}, "$type": "antigravity"},
        f"!!python/object/apply:os.system ['touch {file}']",
        ["\u202e\x00", -1e308, 2**53, {"": {"": {"": []}}}],
    ]


BOTH_LANES = pytest.mark.parametrize("handler", [hostile.loaded, hostile.loaded_lightly], ids=["cpu", "io"])


@BOTH_LANES
def test_no_payload_is_more_than_data_in_either_lane(
    handler: Any, any_server: Server, start_worker: StartWorker, client: Client, tmp_path: Path
) -> None:
    """None is unpickled, run or looked up: it comes through as it was, and no module is loaded for it."""
    file = tmp_path / "made"
    pickle.loads(pickle.dumps(Bomb(file)))
    assert file.exists(), "it would go off"
    file.unlink()
    start_worker(module="tests.faults.hostile", slots=1)
    _, plain = client.enqueue(handler.job(None)).result(20)
    for payload in _hostile(file):
        came, modules = client.enqueue(handler.job(payload)).result(20)
        assert came == payload
        assert modules == plain
    assert not file.exists()


@BOTH_LANES
def test_a_pickle_that_was_written_into_redis_itself_is_refused_as_no_job(
    handler: Any, any_server: Server, start_worker: StartWorker, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "made"
    job = client.enqueue(handler.job(None))
    any_server.command("HSET", f"heavylift:{{{job.queue}}}:job:{job.id}", "spec", pickle.dumps(Bomb(file)))
    start_worker(module="tests.faults.hostile", slots=1)
    with pytest.raises(JobFailed, match="malformed"):
        job.result(20)
    assert not file.exists()


OUTBOX = "heavylift:{light}:outbox"


@pytest.mark.row(51)
def test_malformed_jobs_are_kept_raw_and_the_rest_is_done(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    broken = client.enqueue_many([jobs.quick.job(ledger=row.book) for _ in range(6)])
    keys = [f"heavylift:{{light}}:job:{job.id}" for job in broken]
    row.inject("no envelope; bytes that are no JSON; another schema; a counter that is no number; a list for a hash")
    any_server.command("HDEL", keys[0], "spec")
    any_server.command("HSET", keys[1], "spec", b"\xff\x00{")
    any_server.command("HSET", keys[2], "spec", '{"handler":7}')
    any_server.command("HSET", keys[3], "starts", "many")
    any_server.command("DEL", keys[4])
    any_server.command("RPUSH", keys[4], "not", "a", "hash")
    any_server.command("HSET", keys[5], "spec", b"[" * 100_000)
    row.put(client, 20)
    start_worker()
    for job in broken:
        with pytest.raises(JobFailed, match="malformed"):
            job.result(20)
    assert any_server.command("LRANGE", keys[4].replace("job:", "raw:"), 0, -1) == [b"not", b"a", b"hash"]
    assert any_server.command("HGET", keys[1], "spec") == b"\xff\x00{"
    assert {job.id for job in client.failed("light")} == {job.id for job in broken}
    assert client.queues()
    wait_until("the jobs that might wait for one are told", lambda: not any_server.command("EXISTS", OUTBOX), 10)
    row.judge(any_server)
    assert row.facts.doubled == 0


@pytest.mark.row(51)
def test_what_a_newer_producer_adds_is_kept_and_its_job_runs(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    (job,) = row.put(client, 1)
    key = f"heavylift:{{light}}:job:{job.id}"
    row.inject("fields of a future schema in the envelope and in the hash")
    envelope = json.loads(any_server.command("HGET", key, "spec")) | {"colour": "red"}
    any_server.command("HSET", key, "spec", json.dumps(envelope), "flavour", "sweet")
    start_worker()
    assert job.result(20) == 1
    assert json.loads(any_server.command("HGET", key, "spec"))["colour"] == "red"
    assert any_server.command("HGET", key, "flavour") == b"sweet"
    row.judge(any_server)


@pytest.mark.row(52)
@pytest.mark.parametrize("name", ["nope", "os.system", "builtins.eval", "tests.faults.hostile.loaded", "__import__"])
def test_an_unknown_handler_is_never_imported_and_put_back_a_few_times_then_a_dead_letter(
    name: str, any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    start_worker(module="tests.faults.hostile", slots=1)
    row.inject("a handler that nobody has")
    job = client.enqueue(JobSpec(name, {"payload": "id"}, queue="heavy"))
    row.acknowledged([job, client.enqueue(hostile.loaded.job(None))])
    for times in range(1, UNKNOWN_TRIES + 1):
        wait_until("it is put back with a delay", lambda times=times: _put_back(job) == times, timeout=10)
        assert job.promote(), "the test waits for no delay"
    with pytest.raises(JobFailed) as failure:
        job.result(10)
    assert failure.value.reason == failure.value.cause == "unknown_handler"
    counters = job.record().counters
    assert (counters.unknown, counters.attempts) == (UNKNOWN_TRIES + 1, 0)
    row.judge(any_server)


def _put_back(job: Job[Any]) -> int:
    record = job.record()
    return record.counters.unknown if record.state == "delayed" else 0


@pytest.mark.row(52)
def test_a_job_that_is_enqueued_before_its_handler_is_deployed_runs_once_it_is(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    old = start_worker(module="tests.faults.hostile", slots=1)
    row.inject("a handler that the running worker does not have yet")
    job = client.enqueue(jobs.crunch.job(ledger=row.book))
    row.acknowledged([job])
    wait_until("it is put back with a delay", lambda: _put_back(job) == 1, timeout=10)
    old.signal(signal.SIGTERM)
    old.wait()
    start_worker(slots=1)
    row.clear()
    assert job.promote()
    assert job.result(20) == 0.0
    row.judge(any_server)
    counters = job.record().counters
    assert (counters.unknown, counters.attempts) == (1, 0)


@pytest.mark.row(53)
def test_an_id_that_is_put_again_and_again_runs_once_whoever_claims(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """The producers do not know of one another, and two workers claim all the while."""
    for _ in range(2):
        start_worker()
    row.inject("every id put four times by different producers, two workers")
    specs = [jobs.quick.job(ledger=row.book) for _ in range(200)]
    ids = [f"id-{number}" for number in range(200)]

    def put(_: int) -> list[Any]:
        with Client(any_server.url) as producer:
            return [producer.enqueue(spec, id=id) for spec, id in zip(specs, ids, strict=True)]

    with ThreadPoolExecutor(4) as producers:
        placed = [job for jobs_of_one in producers.map(put, range(4)) for job in jobs_of_one]
    assert sorted(job.id for job in placed if not job.duplicate) == sorted(ids)
    row.acknowledged([job for job in placed if not job.duplicate])
    row.judge(any_server)
    assert row.facts.doubled == 0


@pytest.mark.row(53)
def test_two_claims_at_once_share_the_line_and_a_line_that_names_a_running_job_again_starts_it_no_second_time(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    start_worker()
    held = row.hold(client)
    row.inject("the id of a running job put into the line again, two workers")
    start_worker()
    any_server.command("ZADD", "heavylift:{light}:line:", 1, held.id)
    row.put(client, 50)
    wait_until("the line is empty", lambda: not any_server.command("EXISTS", "heavylift:{light}:line:"), timeout=20)
    row.judge(any_server)
    assert row.starts(held) == 1
    assert row.facts.doubled == 0


@pytest.mark.row(54)
def test_a_thousand_producers_of_one_key_get_one_job(any_server: Server, start_worker: StartWorker, row: Row) -> None:
    row.inject("1,000 enqueues of one unique key at once, by 20 clients")

    async def race() -> list[Any]:
        clients = [AsyncClient(settings=settings(any_server.url)) for _ in range(20)]
        spec = JobSpec("quick", {"ledger": row.book}, queue="light")
        try:
            calls = [client.enqueue(spec, unique="one") for client in clients for _ in range(50)]
            return list(await asyncio.gather(*calls))
        finally:
            await asyncio.gather(*(client.close() for client in clients))

    placed = asyncio.run(race())
    assert len(placed) == 1000
    assert len({job.id for job in placed}) == 1
    assert sum(not job.duplicate for job in placed) == 1
    assert any_server.command("ZCARD", "heavylift:{light}:line:") == 1
    row.acknowledged([job for job in placed if not job.duplicate])
    start_worker()
    row.judge(any_server)
    assert row.facts.doubled == 0


LARGEST = 10 * 1024 * 1024


@pytest.mark.row(55)
def test_a_payload_at_the_limit_is_taken_and_one_above_is_refused_unsent(
    any_server: Server, start_worker: StartWorker, row: Row
) -> None:
    """At the limit it holds up nobody else: the waits of small jobs stay what they were."""
    row.inject(f"payloads of {LARGEST >> 20} MB, at the limit and a byte above")
    large = Settings.load(env={}, redis_url=any_server.url, max_payload=LARGEST)
    with Client(settings=large) as client:
        with pytest.raises(PayloadTooLarge, match="max_payload"):
            client.enqueue(_filled(LARGEST + 1))
        assert any_server.command("DBSIZE") == 0
        start_worker(module="tests.faults.hostile tests.faults.jobs", slots=2)
        before = _waits(client, row, 50)
        whole = [client.enqueue(_filled(LARGEST)) for _ in range(8)]
        during = _waits(client, row, 50)
        row.acknowledged(whole)
        assert [job.result(60) for job in whole] == [LARGEST - FRAME] * 8
    row.judge(any_server)
    assert during < before + 1.0, "the longest of the others' waits but one, in seconds"


FRAME = len('{"payload":""}')


def _filled(size: int) -> JobSpec[int]:
    """A job whose arguments have so many bytes."""
    return hostile.measures.job("x" * (size - FRAME))


def _waits(client: Client, row: Row, count: int) -> float:
    """How long small jobs take, one after the other: the longest but one."""
    took = []
    for _ in range(count):
        began = time.monotonic()
        (job,) = row.put(client, 1)
        assert job.result(20) == 1
        took.append(time.monotonic() - began)
    return sorted(took)[-2]


@pytest.mark.row(56)
def test_a_giant_result_is_refused_where_it_was_made(
    any_server: Server, start_worker: StartWorker, client: Client, row: Row
) -> None:
    """Neither Redis nor the worker ever has it; only the process that made it does."""
    size = 100 * 1024 * 1024
    worker = start_worker(module="tests.faults.hostile", slots=1)
    small = client.enqueue(hostile.returns.job(1))
    assert small.result(20) == "x"
    row.inject("a result of 100 MB")
    before = Vitals.of(worker.pid)
    any_server.command("CONFIG", "RESETSTAT")
    giant = client.enqueue(hostile.returns.job(size))
    with pytest.raises(JobFailed, match=r"max_result \(262144\); return a path") as failure:
        giant.result(30)
    assert failure.value.cause == "error"
    (attempt,) = giant.record().attempts
    assert attempt.error.endswith("InvalidResult")
    row.clear()
    with any_server.client() as redis:
        received = redis.info("stats")["total_net_input_bytes"]
    assert received < size / 100, "bytes that Redis was sent"
    assert Vitals.of(worker.pid).rss < before.rss + size / 4
    assert client.enqueue(hostile.returns.job(1)).result(20) == "x"
    row.acknowledged([small, giant])
    row.judge(any_server)
    assert giant.record().counters.starts == 1, "it is not tried again"

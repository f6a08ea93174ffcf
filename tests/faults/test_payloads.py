"""Payloads that are meant to do harm, or are broken: they stay data, and the rest goes on."""

from __future__ import annotations

import asyncio
import base64
import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heavylift import AsyncClient, Client, JobFailed, JobSpec
from heavylift.errors import PayloadTooLarge
from tests.faults import hostile, jobs
from tests.faults.harness import WorkerProcess, settings
from tests.faults.ledger import Ledger
from tests.servers import Server
from tests.waiting import running, wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]


class Bomb:
    def __reduce__(self) -> Any:
        return (os.system, ("touch /tmp/owned",))


HOSTILE: list[Any] = [
    base64.b64encode(pickle.dumps(Bomb())).decode(),
    {
        "py/object": "antigravity.Flight",
        "__class__": "antigravity",
        "py/reduce": [{"py/function": "os.system"}, ["id"]],
    },
    "__import__('antigravity')",
    {"!!python/object/apply:os.system": ["id"], "__proto__": {"a": 1}, "$type": "antigravity"},
    ["\u202e\x00", -1e308, 2**53, {"": {"": {"": []}}}],
]


def test_no_payload_makes_a_child_import_anything(start_worker: StartWorker, client: Client) -> None:
    start_worker(module="tests.faults.hostile", slots=1)
    plain = client.enqueue(hostile.loaded.job(None)).result(20)
    for payload in HOSTILE:
        assert client.enqueue(hostile.loaded.job(payload)).result(10) == plain


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "tests.faults.hostile.loaded", "__import__"])
@pytest.mark.row(52)
def test_a_handlers_name_is_looked_up_and_never_imported(
    name: str, start_worker: StartWorker, client: Client, any_server: Server
) -> None:
    start_worker(module="tests.faults.hostile", slots=1)
    job = client.enqueue(JobSpec(name, {"payload": "id"}, queue="heavy"))
    wait_until("a worker has looked at it", lambda: client.job(job.id, "heavy").record().counters.unknown, timeout=10)
    assert client.enqueue(hostile.loaded.job(None)).result(10)


@pytest.mark.row(51)
def test_malformed_jobs_are_kept_raw_and_the_rest_is_done(
    start_worker: StartWorker, client: Client, ledger: Ledger, any_server: Server
) -> None:
    book = str(ledger.path)
    broken = client.enqueue_many([jobs.quick.job(ledger=book) for _ in range(5)])
    good = client.enqueue_many([jobs.quick.job(ledger=book) for _ in range(20)])
    keys = [f"heavylift:{{light}}:job:{job.id}" for job in broken]
    any_server.command("HDEL", keys[0], "spec")
    any_server.command("HSET", keys[1], "spec", b"\xff\x00{")
    any_server.command("HSET", keys[2], "spec", '{"handler":7}')
    any_server.command("HSET", keys[3], "starts", "many")
    any_server.command("DEL", keys[4])
    any_server.command("RPUSH", keys[4], "not", "a", "hash")
    start_worker()
    assert {job.result(15) for job in good} == {1}
    for job in broken:
        with pytest.raises(JobFailed, match="malformed"):
            job.result(10)
    assert any_server.command("LRANGE", keys[4].replace("job:", "raw:"), 0, -1) == [b"not", b"a", b"hash"]
    assert any_server.command("HGET", keys[1], "spec") == b"\xff\x00{"
    assert {job.id for job in client.failed("light")} == {job.id for job in broken}


@pytest.mark.row(54)
def test_a_thousand_producers_of_one_key_get_one_job(any_server: Server) -> None:
    async def race() -> list[Any]:
        clients = [AsyncClient(settings=settings(any_server.url)) for _ in range(20)]
        spec = JobSpec("quick", {"ledger": "x"}, queue="light")
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


@pytest.mark.row(55)
def test_a_payload_at_the_limit_is_taken_and_one_above_is_refused_unsent(
    start_worker: StartWorker, client: Client, any_server: Server
) -> None:
    limit = client.settings.max_payload
    frame = len('{"payload":""}')
    with pytest.raises(PayloadTooLarge, match="max_payload"):
        client.enqueue(hostile.loaded.job("x" * (limit - frame + 1)))
    assert any_server.command("DBSIZE") == 0
    start_worker(module="tests.faults.hostile", slots=1)
    assert client.enqueue(hostile.loaded.job("x" * (limit - frame))).result(20)


@pytest.mark.row(9)
def test_a_killed_attempt_takes_its_own_processes_along(
    start_worker: StartWorker, client: Client, tmp_path: Path
) -> None:
    worker = start_worker(module="tests.faults.hostile", slots=1)
    book = tmp_path / "pid"
    job = client.enqueue(hostile.starts_another.job(str(book)))
    grandchild = int(wait_until("it has started another", lambda: book.exists() and book.read_text(), timeout=10))
    assert job.cancel() == "asked"
    wait_until("no process is left of it", lambda: not running(grandchild), timeout=10)
    assert worker.process.poll() is None
    os.kill(worker.pid, signal.SIGTERM)

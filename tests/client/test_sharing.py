"""Callers in flight share round trips, over threads and over coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from heavylift.errors import StoreError, Unavailable
from heavylift.store.async_connection import AsyncConnection
from heavylift.store.call import Call
from heavylift.store.connection import Connection, Target
from heavylift.store.jobs import Jobs, NewJob
from heavylift.client.sharing import AsyncSharing, Sharing
from tests.servers import Server
from tests.waiting import wait_until

JOBS = Jobs("heavylift")


def enqueue(name: str) -> Call[Any]:
    return JOBS.enqueue("q", [NewJob(name, b"{}", "h")], name)


class Held(Connection):
    """A connection whose first round trip waits until it is let go, and which notes the size of each."""

    def __init__(self, target: Target) -> None:
        super().__init__(target, name="held")
        self.go = threading.Event()
        self.begun = threading.Event()
        self.sizes: list[int] = []

    def round_trip(self, calls: Sequence[Call[Any]]) -> list[Any]:
        self.sizes.append(len(calls))
        self.begun.set()
        assert self.go.wait(5)
        return super().round_trip(calls)


def test_threads_that_come_during_a_round_trip_share_the_next(server: Server) -> None:
    held = Held(Target.from_url(server.url))
    sharing = Sharing(held)
    answers: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda n=n: answers.update({n: sharing.ask(enqueue(f"j{n}"))})) for n in range(20)
    ]
    threads[0].start()
    assert held.begun.wait(5)
    for thread in threads[1:]:
        thread.start()
    wait_until("19 callers have gathered", lambda: len(sharing._gathered) == 19)
    held.go.set()
    for thread in threads:
        thread.join(5)
    assert held.sizes == [1, 19]
    assert {n: answer[0].id for n, answer in answers.items()} == {n: f"j{n}" for n in range(20)}
    sharing.close()


def test_a_refusal_reaches_only_the_caller_it_is_for(server: Server) -> None:
    sharing = Sharing(Connection(Target.from_url(server.url), name="test"))
    good = enqueue("j1")
    bad: Call[Any] = Call(("x",), ("NOSUCHCOMMAND", "x"), lambda reply: reply)
    answers = sharing.round_trip([good, bad])
    assert answers[0][0].id == "j1"
    assert isinstance(answers[1], StoreError)
    with pytest.raises(StoreError):
        sharing.ask(bad)
    sharing.close()


def test_an_idle_connection_whose_server_restarted_costs_no_error(server: Server) -> None:
    sharing = Sharing(Connection(Target.from_url(server.url), name="test"))
    sharing.ask(enqueue("j1"))
    with server.client() as other:
        other.client_kill_filter(_type="normal", skipme=True)
    assert sharing.ask(enqueue("j2"))[0].duplicate is False
    sharing.close()


def test_a_server_that_is_gone_is_said_to_be(server: Server) -> None:
    sharing = Sharing(Connection(Target.from_url("redis://127.0.0.1:1"), name="test"))
    with pytest.raises(Unavailable):
        sharing.ask(enqueue("j1"))


def test_coroutines_of_one_turn_share_a_round_trip_and_each_gets_its_own_answer(server: Server) -> None:
    async def run() -> None:
        connection = AsyncConnection(Target.from_url(server.url), name="test")
        sharing = AsyncSharing(connection)
        answers = await asyncio.gather(*(sharing.ask(enqueue(f"j{n}")) for n in range(450)))
        assert [answer[0].id for answer in answers] == [f"j{n}" for n in range(450)]
        counts = await sharing.ask(JOBS.counts("q"))
        assert counts.waiting == 450
        stats = (await connection.command("INFO", "commandstats")).decode()
        assert "evalsha" in stats
        await sharing.close()

    asyncio.run(run())


def test_a_cancelled_caller_takes_only_itself_away(server: Server) -> None:
    async def run() -> None:
        sharing = AsyncSharing(AsyncConnection(Target.from_url(server.url), name="test"))
        gone = asyncio.create_task(sharing.ask(enqueue("j1")))
        stays = asyncio.create_task(sharing.ask(enqueue("j2")))
        await asyncio.sleep(0)
        gone.cancel()
        assert (await stays)[0].id == "j2"
        assert (await sharing.ask(JOBS.counts("q"))).waiting == 2
        await sharing.close()

    asyncio.run(run())


def test_an_async_connection_that_was_cut_is_made_anew(server: Server) -> None:
    async def run() -> None:
        sharing = AsyncSharing(AsyncConnection(Target.from_url(server.url), name="test"))
        await sharing.ask(enqueue("j1"))
        with server.client() as other:
            other.client_kill_filter(_type="normal", skipme=True)
        assert (await sharing.ask(enqueue("j2")))[0].duplicate is False
        await sharing.close()

    asyncio.run(run())

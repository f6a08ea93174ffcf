"""Callers in flight share round trips, over threads and over coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from heavylift import AsyncClient, JobSpec
from heavylift.client import sharing as module
from heavylift.client.sharing import AsyncSharing, Sharing
from heavylift.errors import Stop, StoreError, Unavailable
from heavylift.store.async_connection import AsyncConnection
from heavylift.store.call import Call
from heavylift.store.connection import Connection, Target
from heavylift.store.jobs import Jobs, NewJob
from tests.servers import Server
from tests.striking import Strike
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
    wait_until("19 more callers have gathered", lambda: len(sharing._gathered) == 20)
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


def incr(key: str) -> Call[int]:
    """What may not be said twice."""
    return Call((key,), ("INCR", key), int, repeatable=False)


def test_a_stop_that_strikes_a_thread_anywhere_leaves_no_other_waiting_and_no_call_run_twice(server: Server) -> None:
    sharing = Sharing(Connection(Target.from_url(server.url), name="test"))
    said: dict[str, Any] = {}

    def stop() -> None:
        raise Stop("timeout")

    def ask(who: str, strike: Strike) -> None:
        try:
            with strike.watched():
                said[who] = sharing.round_trip([incr(who)])[0]
        except Stop as stopped:
            said[who] = stopped

    def play(so_far: int) -> bool:
        """Two callers that share a round trip, one of them stopped so far into it; False if that is past its end."""
        strike, both = Strike(module, so_far, stop), [f"{so_far}a", f"{so_far}b"]
        threads = [threading.Thread(target=ask, args=(who, strike), daemon=True) for who in both]
        with sharing._wire:  # until both have gathered, or one is struck before
            for thread in threads:
                thread.start()
            wait_until("both wait", lambda: strike.done or len(sharing._gathered) == 2)
        for thread in threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in threads), f"somebody waits for ever: struck at {so_far}"
        stopped = [who for who in both if isinstance(said[who], Stop)]
        assert len(stopped) == strike.done
        for who in set(both) - set(stopped):
            assert said[who] == 1 or isinstance(said[who], Unavailable)
        assert all(int(server.command("GETDEL", who) or 0) <= 1 for who in both)
        assert sharing.ask(incr("after")) == so_far
        assert not sharing._gathered
        return strike.done

    so_far = 1
    while play(so_far):
        so_far += 1
    assert so_far > 50
    sharing.close()
    server.command("DEL", "after")


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


def test_whoever_waits_as_the_sender_is_cancelled_gets_an_answer(server: Server) -> None:
    """What was under way may have run, so it is said to be unsure. What was not is sent by another."""

    async def run() -> None:
        sharing = AsyncSharing(AsyncConnection(Target.from_url(server.url), name="test"))
        await sharing.ask(enqueue("j0"))
        server.pause()
        under_way = asyncio.create_task(sharing.ask(enqueue("j1")))
        await wait_in_loop(lambda: sharing._sender and not sharing._sender.done() and not sharing._gathered)
        gathered = asyncio.create_task(sharing.ask(enqueue("j2")))
        await wait_in_loop(lambda: sharing._gathered)
        assert sharing._sender is not None
        sharing._sender.cancel()
        late = asyncio.create_task(sharing.ask(enqueue("j3")))
        server.resume()
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable):
                await under_way
            assert [(await gathered)[0].id, (await late)[0].id] == ["j2", "j3"]
            await sharing.close()

    asyncio.run(run())


def test_a_sender_that_is_cancelled_before_it_began_leaves_nobody_waiting(server: Server) -> None:
    async def run() -> None:
        sharing = AsyncSharing(AsyncConnection(Target.from_url(server.url), name="test"))
        asked = asyncio.create_task(sharing.ask(enqueue("j1")))
        while sharing._sender is None:
            await asyncio.sleep(0)
        sharing._sender.cancel()
        async with asyncio.timeout(30):
            assert (await asked)[0].id == "j1"
            await sharing.close()

    asyncio.run(run())


def test_who_enqueues_once_more_as_the_loop_ends_is_served(server: Server) -> None:
    """`asyncio.run` cancels every task at once, the one that sends among them, and waits for them all."""
    goodbye: list[str] = []

    async def polite(client: AsyncClient) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            goodbye.append((await client.enqueue(JobSpec("goodbye", {}, queue="q"))).id)
            await client.close()

    async def main() -> None:
        client = AsyncClient(server.url)
        await client.enqueue(JobSpec("first", {}, queue="q"))
        tasks.append(asyncio.create_task(polite(client)))
        await asyncio.sleep(0)
        server.pause()
        tasks.append(asyncio.create_task(client.enqueue(JobSpec("busy", {}, queue="q"))))
        await wait_in_loop(lambda: len(asyncio.all_tasks()) == 4)
        asyncio.get_running_loop().call_later(0.2, server.resume)  # in the middle of the farewell

    tasks: list[asyncio.Task[Any]] = []
    loop = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    loop.start()
    loop.join(30)
    assert not loop.is_alive(), "it hangs"
    assert len(goodbye) == 1


async def wait_in_loop(condition: Any) -> None:
    """Let the loop turn until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)

"""`connection.Connection` for an event loop. What is said, and what replies mean, is the same `Exchange`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

from heavylift.errors import StoreError, Unavailable
from heavylift.store.async_link import AsyncLink
from heavylift.store.call import Arg, Call
from heavylift.store.exchange import Exchange, Node, raise_if_lost
from heavylift.store.refusals import Refusal, explain
from heavylift.store.rights import Rights
from heavylift.store.slots import Slots
from heavylift.store.target import Target

T = TypeVar("T")


class AsyncConnection:
    """The way to Redis for one event loop. Coroutines may share it; their round trips take turns.

    Args:
        target: where.
        name: the connection's role; Redis lists it as `heavylift:<name>`.
        patience: longest wait, in seconds, for a slot on its way between Cluster nodes.
    """

    def __init__(self, target: Target, *, name: str, patience: float = 2.0) -> None:
        self.target = target
        self._name = name
        self._patience = patience
        self._links: dict[Node, AsyncLink] = {}
        self._slots = Slots(target.nodes) if target.cluster else None
        self._turn = asyncio.Lock()

    async def round_trip(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """As `Connection.round_trip`."""
        async with self._turn:
            exchange = Exchange(calls, self._slots, self._patience, self._rights, self._told)
            while exchange.open:
                if exchange.pause:
                    await asyncio.sleep(exchange.pause)
                if self._slots and self._slots.stale:
                    await self._learn(self._slots)
                await self._pass(exchange)
            for node in exchange.gone:
                self._drop(node)
            return exchange.results

    async def ask(self, call: Call[T]) -> T:
        """As `Connection.ask`."""
        answer: T = raise_if_lost((await self.round_trip((call,)))[0])
        return answer

    async def connect(self) -> None:
        """As `Connection.connect`."""
        async with self._turn:
            if self._slots:
                await self._learn(self._slots)
            else:
                await self._link(None).open()

    async def command(self, *command: Arg, key: str = "") -> Any:
        """As `Connection.command`."""
        return await self.ask(Call((key,), command, lambda reply: reply, repeatable=False))

    async def close(self) -> None:
        """Drop every socket. The next use makes new ones."""
        while self._links:
            await self._links.popitem()[1].aclose()

    async def _pass(self, exchange: Exchange) -> None:
        failed: dict[Node, StoreError] = {}
        sends = exchange.sends()

        async def speak(node: Node, commands: list[Sequence[Arg]]) -> None:
            try:
                link = self._link(node)
                await link.send(commands)
                exchange.feed(node, await link.receive(len(commands)))
                if node and self._slots and self._slots.heard(node):
                    self._drop(node)
            except StoreError as error:
                failed[node] = error

        if len(sends) == 1:
            await speak(*next(iter(sends.items())))
        else:
            await asyncio.gather(*(speak(node, commands) for node, commands in sends.items()))
        for node, lost in failed.items():
            self._drop(node)
            if node is None or self._slots is None:
                raise lost
            self._slots.failed(node)
            exchange.fail(node, lost)

    def _rights(self, node: Node) -> Rights:
        return self._link(node).rights

    def _told(self, node: Node) -> dict[tuple[Arg, ...], Any]:
        return self._link(node).told

    def _link(self, node: Node) -> AsyncLink:
        if (link := self._links.get(node)) is None:
            way = self._slots.way(self.target, node) if self._slots and node else self.target
            link = self._links[node] = AsyncLink(way, self._name)
        return link

    def _drop(self, node: Node) -> None:
        if link := self._links.pop(node, None):
            link.close()

    async def _learn(self, slots: Slots) -> None:
        trouble: StoreError = Unavailable(f"{self.target}: no node named")
        for node in slots.candidates():
            try:
                await self._link(node).send((("CLUSTER", "SLOTS"),))
                reply = (await self._link(node).receive(1))[0]
            except StoreError as error:
                trouble = error
                self._drop(node)
                continue
            if isinstance(reply, Refusal):
                trouble = explain(reply)
                continue
            if slots.learn(reply, node):
                return
            trouble = Unavailable(f"{self.target}: {node[0]}:{node[1]} is in no Cluster")
        raise trouble

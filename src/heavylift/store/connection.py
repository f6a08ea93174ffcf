"""Carries calls to Redis and their answers back: one socket, or in a Cluster one per node. For one thread at a time.

redis-py's own retries are off. A call that failed for a reason that is known to have left it undone is sent again
here, within bounds; a lost connection is the owner's business, who alone knows what may be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from heavylift.errors import StoreError, Unavailable
from heavylift.store.call import Arg, Call
from heavylift.store.exchange import Exchange, Node, raise_if_lost
from heavylift.store.link import Link
from heavylift.store.refusals import Refusal, explain
from heavylift.store.rights import Rights
from heavylift.store.slots import Slots
from heavylift.store.target import Target

__all__ = ["Connection", "Target"]

T = TypeVar("T")


class Connection:
    """The way to Redis for one thread.

    Args:
        target: where.
        name: the connection's role; Redis lists it as `heavylift:<name>`.
        patience: longest wait, in seconds, for a slot on its way between Cluster nodes.
    """

    def __init__(self, target: Target, *, name: str, patience: float = 2.0) -> None:
        self.target = target
        self._name = name
        self._patience = patience
        self._links: dict[Node, Link] = {}
        self._slots = Slots(target.nodes) if target.cluster else None

    def round_trip(self, calls: Sequence[Call[Any]], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        """Send all calls at once; their answers in order. A call that was refused has its `StoreError` there.

        Args:
            calls: what to send.
            meanwhile: called once, when they are sent and Redis works at them. Not if they could not be sent.

        Raises:
            Unavailable: the connection failed; which calls ran is not known. It is made anew at the next use.
                (In a Cluster one node's failure is an `Unavailable` in the place of each of its calls.)
            PermissionMissing: the credentials are refused.
        """
        exchange = Exchange(calls, self._slots, self._patience, self._rights, self._told)
        while exchange.open:
            if exchange.pause:
                time.sleep(exchange.pause)
            if self._slots and self._slots.stale:
                self._learn(self._slots)
            self._pass(exchange, meanwhile)
            meanwhile = None
        for node in exchange.gone:
            self._drop(node)
        return exchange.results

    def ask(self, call: Call[T]) -> T:
        """One call; its answer.

        Raises:
            StoreError: Redis refused it, or could not be asked.
        """
        answer: T = raise_if_lost(self.round_trip((call,))[0])
        return answer

    def connect(self) -> None:
        """Connect now instead of at the first call.

        Raises:
            Unavailable, PermissionMissing: as `round_trip`.
        """
        if self._slots:
            self._learn(self._slots)
        else:
            self._link(None).open()

    def command(self, *command: Arg, key: str = "") -> Any:
        """The reply to one raw command that is not a verb (INFO, CONFIG, WAIT); in a Cluster from the node of `key`,
        or from any.

        Raises:
            StoreError: Redis refused it, or could not be asked.
        """
        return self.ask(Call((key,), command, lambda reply: reply, repeatable=False))

    def close(self) -> None:
        """Drop every socket. The next use makes new ones."""
        for node in list(self._links):
            self._drop(node)

    def _pass(self, exchange: Exchange, meanwhile: Callable[[], None] | None) -> None:
        try:
            failed = self._speak(exchange, meanwhile)
        except BaseException:
            self.close()  # the replies on their way belong to nobody now
            raise
        for node, lost in failed.items():
            self._drop(node)
            if node is None or self._slots is None:
                raise lost
            self._slots.failed(node)
            exchange.fail(node, lost)

    def _speak(self, exchange: Exchange, meanwhile: Callable[[], None] | None) -> dict[Node, StoreError]:
        """Send to every node, then hear every node; the nodes that failed."""
        sends = exchange.sends()
        failed: dict[Node, StoreError] = {}
        for node, commands in sends.items():
            try:
                self._link(node).send(commands)
            except StoreError as error:
                failed[node] = error
        if meanwhile is not None and not failed:
            meanwhile()
        for node, commands in sends.items():
            if node not in failed:
                try:
                    exchange.feed(node, self._link(node).receive(len(commands)))
                    if node and self._slots and self._slots.heard(node):
                        self._drop(node)
                except StoreError as error:
                    failed[node] = error
        return failed

    def _rights(self, node: Node) -> Rights:
        return self._link(node).rights

    def _told(self, node: Node) -> dict[tuple[Arg, ...], Any]:
        return self._link(node).told

    def _link(self, node: Node) -> Link:
        if (link := self._links.get(node)) is None:
            way = self._slots.way(self.target, node) if self._slots and node else self.target
            link = self._links[node] = Link(way, self._name)
        return link

    def _drop(self, node: Node) -> None:
        if link := self._links.pop(node, None):
            link.close()

    def _learn(self, slots: Slots) -> None:
        trouble: StoreError = Unavailable(f"{self.target}: no node named")
        for node in slots.candidates():
            try:
                self._link(node).send((("CLUSTER", "SLOTS"),))
                reply = self._link(node).receive(1)[0]
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

"""Which node of a Redis Cluster serves which slot, as far as we know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redis.crc import key_slot

from heavylift.store.target import Address, Target


class Slots:
    """The map of slots, corrected by redirections. Known from one thread or loop at a time."""

    def __init__(self, seeds: Iterable[Address]) -> None:
        self._seeds = list(seeds)
        self._nodes: dict[int, Address] = {}
        self._known: dict[Address, None] = {}
        self._silent: set[Address] = set()
        self.stale = True

    def node(self, key: str) -> Address:
        """The node to ask for a key; any known one if its slot is not known (it will redirect), or for no key."""
        known = self._nodes.get(key_slot(key.encode())) if key else None
        return known or self.candidates()[0]

    def candidates(self) -> list[Address]:
        """Nodes that may be asked for the map: the one that gave it, other known ones, those named in the URL."""
        return [*self._known, *(seed for seed in self._seeds if seed not in self._known)]

    def learn(self, reply: Any, asked: Address) -> bool:
        """Read a reply of CLUSTER SLOTS that came from `asked`. False if it knows of no slots: it was taken out."""
        nodes: dict[int, Address] = {}
        for low, high, primary, *_ in reply:
            address = ((primary[0] or b"").decode() or asked[0], int(primary[1]))
            nodes.update(dict.fromkeys(range(int(low), int(high) + 1), address))
        if not nodes:
            self._known.pop(asked, None)
            return False
        self._nodes, self._known, self.stale = nodes, dict.fromkeys((asked, *nodes.values())), False
        return True

    def moved(self, said: str, by: Address | None) -> None:
        """A slot is elsewhere for good: `MOVED 3999 host:port`."""
        self._nodes[int(said.split(" ", 2)[1])] = self.asked(said, by)

    def asked(self, said: str, by: Address | None) -> Address:
        """Where a redirection points; a missing host means the node that said so."""
        host, _, port = said.split(" ")[2].rpartition(":")
        address = (host.strip("[]") or (by[0] if by else "localhost"), int(port))
        self._known[address] = None
        return address

    def way(self, target: Target, node: Address) -> Target:
        """How to connect to a node: without much patience as long as it fails."""
        way = target.at(node)
        return way.hasty() if node in self._silent else way

    def heard(self, node: Address) -> bool:
        """The node has answered. True if it failed before: connect to it anew, with the usual patience."""
        if node not in self._silent:
            return False
        self._silent.remove(node)
        return True

    def failed(self, node: Address) -> None:
        """The node gave no answer: learn the map again before the next round trip."""
        self._silent.add(node)
        self.forget(node)

    def forget(self, node: Address) -> None:
        """The node may not know: likewise."""
        self._known.pop(node, None)
        self._nodes = {slot: address for slot, address in self._nodes.items() if address != node}
        self.stale = True

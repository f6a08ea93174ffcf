"""Several servers that belong together: a Cluster of three primaries, and a Sentinel set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.servers import Server, free_port
from tests.waiting import wait_until

# --- Cluster -------------------------------------------------------------------------------------------------

SLOTS = 16384


class Cluster:
    """Three primaries on loopback ports, every slot served.

    Attributes:
        nodes: the three servers.
    """

    def __init__(self, binary: str | None = None, *, config: Mapping[str, str] | None = None) -> None:
        settings = {"cluster-enabled": "yes", "cluster-node-timeout": "2000", "cluster-announce-ip": "127.0.0.1"}
        self.nodes = [Server(binary, tcp=True, config={**settings, **(config or {})}) for _ in range(3)]
        self.moves: list[Move] = []
        for node in self.nodes:
            node.options["cluster-port"] = str(free_port())

    @property
    def url(self) -> str:
        """Of the first node; the client finds the others."""
        return self.nodes[0].url

    def start(self) -> Cluster:
        """Start the nodes, deal the slots out, and wait until every node says `ok`."""
        for node in self.nodes:
            node.start()
        bounds = [SLOTS * n // 3 for n in range(4)]
        for number, node in enumerate(self.nodes):
            node.command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes:
            for other in self.nodes:
                if other is not node:
                    node.command("CLUSTER", "MEET", "127.0.0.1", other.port, other.options["cluster-port"])
        self.await_ok()
        return self

    def await_ok(self) -> None:
        """Wait until all nodes know each other and serve every slot."""
        for node in self.nodes:
            wait_until("the cluster is complete", lambda node=node: _cluster_ok(node), timeout=20)  # type: ignore[misc]

    def close(self) -> None:
        """Kill the nodes and remove their folders."""
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def reset(self) -> None:
        """As new: every node running, empty and without scripts, every slot at its first owner."""
        for node in self.nodes:
            node.revive()
        self.await_ok()
        for node in self.nodes:
            node.command("FLUSHALL")
            node.command("SCRIPT", "FLUSH")
        while self.moves:
            self.moves.pop().undo()

    def slot(self, key: str) -> int:
        """The slot of a key (its hash tag counts)."""
        return int(self.nodes[0].command("CLUSTER", "KEYSLOT", key))

    def owner(self, slot: int) -> Server:
        """The node that serves a slot."""
        return next(node for node in self.nodes if node.port == owner_port(self.nodes[0], slot))

    def begin_move(self, slot: int) -> Move:
        """Open the migration of a slot to another node; no key has moved yet."""
        source = self.owner(slot)
        target = next(node for node in self.nodes if node is not source)
        move = Move(self, slot, source, target)
        self.moves.append(move)
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", move.id_of(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", move.id_of(target))
        return move


@dataclass
class Move:
    """One slot on its way from `source` to `target`, key by key."""

    cluster: Cluster
    slot: int
    source: Server
    target: Server

    @staticmethod
    def id_of(node: Server) -> str:
        """The node's cluster id."""
        seen = node.command("CLUSTER", "MYID")
        return seen.decode() if isinstance(seen, bytes) else str(seen)

    def keys(self) -> list[str]:
        """Keys of the slot that are still at the source."""
        return sorted(key.decode() for key in self.source.command("CLUSTER", "GETKEYSINSLOT", self.slot, 10_000))

    def key(self, name: str) -> None:
        """Move one key."""
        self.source.command("MIGRATE", "127.0.0.1", self.target.port, name, 0, 5000)

    def finish(self) -> None:
        """Move what is left and hand the slot over."""
        for name in self.keys():
            self.key(name)
        new_owner = self.id_of(self.target)
        for node in (self.target, self.source, *self.cluster.nodes):
            node.command("CLUSTER", "SETSLOT", self.slot, "NODE", new_owner)
        wait_until("every node knows the slot's new owner", lambda: self._all_say(self.target))

    def undo(self) -> None:
        """Give the slot, which must be empty, back to its first owner."""
        if self._all_say(self.target):
            self.source.command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.id_of(self.target))
        for node in (self.source, self.target, *self.cluster.nodes):
            node.command("CLUSTER", "SETSLOT", self.slot, "NODE", self.id_of(self.source))
        wait_until("every node knows the slot's first owner", lambda: self._all_say(self.source))

    def _all_say(self, owner: Server) -> bool:
        return all(owner_port(node, self.slot) == owner.port for node in self.cluster.nodes)


def owner_port(node: Server, slot: int) -> int:
    """Port of the node that serves a slot as `node` sees it; 0 if nobody does."""
    for first, last, primary, *_ in node.command("CLUSTER", "SLOTS"):
        if int(first) <= slot <= int(last):
            return int(primary[1])
    return 0


def _cluster_ok(node: Server) -> bool:
    info = node.command("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3" and info["cluster_size"] == "3")


# --- Sentinel ------------------------------------------------------------------------------------------------


class Sentinel:
    """One primary, one replica and three sentinels that watch them.

    Attributes:
        name: of the set.
        primary, replica: the data servers as they were at the start.
        sentinels: the three watchers.
    """

    def __init__(self, binary: str | None = None, *, name: str = "main", down_after_ms: int = 1000) -> None:
        self.name = name
        self.down_after_ms = down_after_ms
        self.primary = Server(binary, tcp=True, appendonly=True)
        self.replica = Server(binary, tcp=True, appendonly=True, config={"replicaof": f"127.0.0.1 {self.primary.port}"})
        self.sentinels = [Server(binary, tcp=True, sentinel=True) for _ in range(3)]

    @property
    def url(self) -> str:
        """Of the sentinels, comma separated: `redis://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3`."""
        return "redis://" + ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)

    def start(self) -> Sentinel:
        """Start all five and wait until the replica follows and the sentinels know each other."""
        self.primary.start()
        self.replica.start()
        for sentinel in self.sentinels:
            sentinel.options |= {
                "sentinel monitor": f"{self.name} 127.0.0.1 {self.primary.port} 2",
                "sentinel down-after-milliseconds": f"{self.name} {self.down_after_ms}",
                "sentinel failover-timeout": f"{self.name} 5000",
            }
            sentinel.start()
        wait_until("the replica follows", lambda: self.replica.command("INFO")["master_link_status"] == "up", 20)
        for sentinel in self.sentinels:
            wait_until("the sentinels know each other", lambda s=sentinel: self._complete(s), 20)  # type: ignore[misc]
        return self

    def address(self) -> int:
        """The port of the primary as the first running sentinel sees it."""
        sentinel = next(s for s in self.sentinels if s.process is not None)
        return int(sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)[1])

    def close(self) -> None:
        """Kill all five and remove their folders."""
        for server in (*self.sentinels, self.replica, self.primary):
            server.close()

    def __enter__(self) -> Sentinel:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _complete(self, sentinel: Server) -> bool:
        flat = sentinel.command("SENTINEL", "MASTER", self.name)
        facts = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=False))
        facts = {_text(k): _text(v) for k, v in facts.items()}
        return facts.get("num-slaves") == "1" and facts.get("num-other-sentinels") == "2"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

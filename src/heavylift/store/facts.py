"""What the server says about itself, as far as it matters to a queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from heavylift.store.call import Call


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One server (in a Cluster, one of its nodes). Memory in bytes, uptime in seconds.

    Attributes:
        kind: `redis` or `valkey`.
        memory_limit: 0 for none.
        eviction: the `maxmemory-policy`; anything but `noeviction` loses jobs.
        cluster: it is a node of a Cluster.
    """

    kind: str
    version: str
    uptime: int
    clients: int
    memory: int
    memory_limit: int
    eviction: str
    persistence: str
    cluster: bool = False


def server_facts() -> Call[ServerFacts]:
    """Asks the server how it is; in a Cluster, one that answers."""
    return Call(("",), ("INFO",), _read)


def _read(reply: Any) -> ServerFacts:
    pairs = (line.partition(":") for line in reply.decode("utf-8", "replace").splitlines() if ":" in line)
    said = {name: value for name, _, value in pairs}
    kind = "valkey" if "valkey_version" in said else said.get("server_name", "redis")

    def number(name: str) -> int:
        return int(said[name]) if said.get(name, "").isdigit() else 0

    return ServerFacts(
        kind=kind,
        version=said.get("valkey_version") or said.get("redis_version", ""),
        uptime=number("uptime_in_seconds"),
        clients=number("connected_clients"),
        memory=number("used_memory"),
        memory_limit=number("maxmemory"),
        eviction=said.get("maxmemory_policy", ""),
        cluster=said.get("cluster_enabled") == "1",
        persistence="append-only" if said.get("aof_enabled") == "1" else "snapshots, if configured",
    )

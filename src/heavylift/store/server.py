"""What a server must be to keep jobs: new enough, of the kind the settings say, and not one that evicts keys."""

from __future__ import annotations

import re

from heavylift.errors import ServerUnsupported
from heavylift.store.connection import Connection
from heavylift.store.facts import ServerFacts, server_facts

OLDEST = {"redis": (7, 0), "valkey": (7, 2)}


def check_server(connection: Connection) -> list[str]:
    """What is not as it should be with the server, one sentence each, with the remedy; empty if all is well.

    Raises:
        ServerUnsupported: it cannot be used, or would lose jobs.
        Unavailable: it cannot be asked.
    """
    facts = connection.ask(server_facts())
    _check_version(facts)
    _check_kind(facts, connection.target.cluster)
    return _eviction(facts)


def _check_version(facts: ServerFacts) -> None:
    oldest = OLDEST.get(facts.kind, OLDEST["redis"])
    version = tuple(int(part) for part in re.findall(r"\d+", facts.version)[:2])
    if version < oldest:
        needed = ".".join(map(str, oldest))
        raise ServerUnsupported(f"{facts.kind} {facts.version} is too old: heavylift needs {needed} or later")


def _check_kind(facts: ServerFacts, cluster: bool) -> None:
    if facts.cluster and not cluster:
        raise ServerUnsupported("the server is a node of a Cluster: set HEAVYLIFT_CLUSTER=true")
    if cluster and not facts.cluster:
        raise ServerUnsupported("the server is not a node of a Cluster: leave the setting cluster out")


def _eviction(facts: ServerFacts) -> list[str]:
    if facts.eviction == "noeviction" or not facts.eviction:
        return []
    remedy = "set maxmemory-policy noeviction (then a full server refuses new jobs, and those it has drain out)"
    if facts.eviction.startswith("allkeys") and facts.memory_limit:
        raise ServerUnsupported(f"the server deletes jobs when it is full ({facts.eviction}): {remedy}")
    return [f"maxmemory-policy is {facts.eviction}, which may delete what heavylift keeps: {remedy}"]

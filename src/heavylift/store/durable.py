"""How surely a job is kept: what a server must be able to do, and how it is asked whether it has.

WAITAOF and WAIT speak of the writes of their own connection, so they are sent right behind the write, in the same round
trip (see `exchange`). A repeated enqueue may find its jobs there and write nothing; hence a small write goes before.

With `appendfsync everysec` Valkey, and Redis before 8.0, answer WAITAOF before anything is synced: as soon as the
write is with the system and the last sync is less than a second ago. There only `always` will do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from heavylift.options import Durable
from heavylift.store.call import Arg, Call, Confirm
from heavylift.store.keys import Keys

T = TypeVar("T")

NOTE_LIFE = 60_000
"""Life of the small write, in ms."""


def confirmed(call: Call[T], keys: Keys, level: Durable, wait_ms: int, *, depends: bool = False) -> Call[T]:
    """The same call; its answer is `Confirmed`, after at most `wait_ms` on top.

    Args:
        call: writes.
        keys: of its queue.
        level: how surely it is to be kept.
        wait_ms: the longest wait.
        depends: the server was found to be one that `DEPENDS`. It is asked again, behind the write.
    """
    write: tuple[Arg, ...] = ("SET", keys.durable, "1", "PX", NOTE_LIFE)
    if level == "replicated":
        return replace(call, confirm=Confirm((write, ("WAIT", 1, wait_ms)), _on_replica))
    wait: tuple[Arg, ...] = ("WAITAOF", 1, 0, wait_ms)
    if depends:
        return replace(call, confirm=Confirm((write, wait, POLICY), _on_disk_at_once))
    return replace(call, confirm=Confirm((write, wait), _on_disk))


def _on_disk(replies: Sequence[Any]) -> bool:
    waited = replies[1]
    return isinstance(waited, list) and len(waited) == 2 and waited[0] >= 1


def _on_disk_at_once(replies: Sequence[Any]) -> bool:
    return _on_disk(replies) and _is_always(replies[2])


def _on_replica(replies: Sequence[Any]) -> bool:
    return isinstance(replies[1], int) and replies[1] >= 1


POLICY = ("CONFIG", "GET", "appendfsync")
"""Asks whether a server syncs before it answers."""

DEPENDS = "appendfsync"
"""It depends on this whether the server's answer can be believed: ask `policy`."""

INFO: dict[str, tuple[Arg, ...]] = {
    "fsync": ("INFO", "server", "persistence"),
    "replicated": ("INFO", "replication"),
}
"""Asks a server what it must have for a level."""

ALWAYS = ("CONFIG", "SET", "appendfsync", "always")
"""Has a server of our own sync what it writes before it answers."""


def lacking(keys: Keys, level: Durable) -> Call[str | None]:
    """Asks the queue's server whether it can give this level; why not, or None if it can, or `DEPENDS`.

    Asked once on each connection: what of the answer can change while it lasts is seen in the replies to `confirmed`.
    """

    def parse(reply: Any) -> str | None:
        said = dict(line.split(":", 1) for line in reply.decode("utf-8", "replace").splitlines() if ":" in line)
        return _no_fsync(said) if level == "fsync" else _no_replica(said)

    return Call((keys.meta,), INFO[level], parse, lasting=lambda why: why in (None, DEPENDS))


def policy(keys: Keys) -> Call[bool]:
    """Asks the queue's server whether it syncs before it answers (`appendfsync always`)."""
    return Call((keys.meta,), POLICY, _is_always, lasting=bool)


def syncing(keys: Keys) -> Call[bool]:
    """Has the queue's server sync before it answers."""
    return Call((keys.meta,), ALWAYS, lambda reply: True, lasting=bool)


def _is_always(reply: Any) -> bool:
    values = reply.values() if isinstance(reply, dict) else reply[1::2]
    return [bytes(value) for value in values] == [b"always"]


def _no_fsync(said: dict[str, str]) -> str | None:
    version = said.get("redis_version", "")
    number = tuple(map(int, re.findall(r"\d+", version)[:3]))
    valkey = "valkey_version" in said
    if not valkey and number < (7, 2):
        return f"durable='fsync' needs Redis 7.2 or Valkey, and this is Redis {version}"
    if said.get("aof_enabled") != "1":
        return "durable='fsync' needs an append-only file: set appendonly yes on the server"
    return None if not valkey and number >= (8,) else DEPENDS


def _no_replica(said: dict[str, str]) -> str | None:
    replicas = [value for name, value in said.items() if re.fullmatch(r"slave\d+", name)]
    if any("state=online" in replica for replica in replicas):
        return None
    return "durable='replicated' needs a replica, and none is connected to the server"

"""What a test may have left behind in Redis, judged by what `store/keys.py` says may be there.

A key of no known shape is stray, and so is one without the expiry that its kind must have. When every job has ended,
locks, lines, holds and unfinished jobs must be gone as well.
"""

from __future__ import annotations

import fnmatch
import functools
import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import redis

from heavylift.store.keys import Common, Keys

STAYS = {
    "meta",
    "completed",
    "failed",
    "cancelled",
    "purge",
    "of",
    "idle",
    "durable",
    "schedules",
    "schedule",
    "call",
    "raw",
    "queues",
    "workers",
    "worker",
}
"""Kinds of keys that may be there when every job has ended."""

ENDED = {b"completed", b"failed", b"cancelled"}


@dataclass(frozen=True)
class Shape:
    """How the keys of one kind look, and whether they must have an expiry."""

    kind: str
    pattern: re.Pattern[str]
    lapses: bool


@functools.cache
def shapes() -> tuple[Shape, ...]:
    """All kinds of keys, read off `store/keys.py`, its docstrings included."""
    queue, common = Keys("PREFIX", "QUEUE"), Common("PREFIX")
    found = [_shape("ring", queue.ring(), "")]
    for owner in (queue, common):
        for kind, member in vars(type(owner)).items():
            doc = inspect.getdoc(member) or ""
            if re.match(r"hash|sorted set|set|string|list|any type", doc):
                key = getattr(owner, kind) if isinstance(member, property) else getattr(owner, kind)("ANY")
                found.append(_shape(kind, key, doc))
    return tuple(found)


def _shape(kind: str, key: str, doc: str) -> Shape:
    pattern = re.escape(key).replace("PREFIX", "[^{}]+").replace("QUEUE", "[^{}]+").replace("ANY", ".*")
    return Shape(kind, re.compile(pattern, re.DOTALL), "Expires" in doc)


def shape_of(key: str) -> Shape | None:
    """The kind of a key; None if no queue has such keys."""
    return next((shape for shape in shapes() if shape.pattern.fullmatch(key)), None)


def stray_keys(client: redis.Redis, allowed: Iterable[str] = ()) -> list[str]:
    """What is wrong with keys that should never be there; patterns in `allowed` are passed over."""
    return [wrong for _, _, wrong in _looked_at(client, list(allowed)) if wrong]


def keys_after_drain(client: redis.Redis, allowed: Iterable[str] = ()) -> list[str]:
    """The same, and what should be gone when every job has ended: locks, lines, holds, jobs in no final state."""
    found = []
    for key, kind, wrong in _looked_at(client, list(allowed)):
        if wrong:
            found.append(wrong)
        elif (left := _left(client, key, kind)) and client.exists(key):  # or it has gone since it was listed
            found.append(left)
    return found


def _left(client: redis.Redis, key: str, kind: str) -> str:
    """Why a key should be gone by now; empty if it may stay."""
    if kind == "job":
        state = client.hget(key, "state")
        return "" if state in ENDED else f"{key}: state {state!r}"
    if kind in STAYS or (kind == "unique" and client.pttl(key) > 0):  # a window, or a debounced job's for a minute
        return ""
    return f"{key}: still there after the drain"


def _looked_at(client: redis.Redis, allowed: list[str]) -> Iterator[tuple[str, str, str]]:
    """Every key that is not expressly allowed: its name, its kind, and what is wrong with it, if anything is."""
    for raw in sorted(client.scan_iter(count=1000)):
        key = raw.decode("utf-8", "replace")
        if any(fnmatch.fnmatch(key, pattern) for pattern in allowed):
            continue
        shape = shape_of(key)
        if shape is None:
            yield key, "", f"{key}: of unknown shape"
        elif shape.lapses and client.ttl(raw) == -1:
            yield key, shape.kind, f"{key}: without an expiry"
        else:
            yield key, shape.kind, ""

"""What every family of verbs stands on: the prefix, the loaded scripts and the making of a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from heavylift.store.call import Arg, Call
from heavylift.store.keys import Common, Keys
from heavylift.store.scripts import Scripts

T = TypeVar("T")

BATCH_BYTES = 1 << 18
"""One call carries about this many bytes at most, so that no script holds Redis for long."""


def runs(items: Sequence[T], most: int, weigh: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """`items` in runs that each fit one call, in order: at most `most` of them and `BATCH_BYTES`, but always one."""
    start = size = 0
    for at, item in enumerate(items):
        weight = weigh(item)
        if at > start and (at - start == most or size + weight > BATCH_BYTES):
            yield items[start:at]
            start, size = at, 0
        size += weight
    if start < len(items):
        yield items[start:]


class Verbs:
    """Builds calls and reads replies. No I/O and no state but what it was made with.

    Attributes:
        prefix: first part of every key.
        scripts: the loaded verbs.
        common: the keys that belong to no queue.
    """

    def __init__(self, prefix: str = "heavylift", scripts: Scripts | None = None) -> None:
        self.prefix = prefix
        self.scripts = scripts or Scripts()
        self.common = Common(prefix)
        self._keys: dict[str, Keys] = {}

    def keys(self, queue: str) -> Keys:
        """The keys of one queue."""
        if (found := self._keys.get(queue)) is None:
            found = self._keys.setdefault(queue, Keys(self.prefix, queue))
        return found

    def _script(
        self, verb: str, queue: str, parse: Callable[[Any], T], rest: Sequence[Arg] = (), /, **args: Arg
    ) -> Call[T]:
        loaded = self.scripts[verb]
        keys, command = loaded.bind(self.keys(queue), args, rest)
        return Call(keys, command, parse, loaded.script)

    def _plain(self, parse: Callable[[Any], T], command: str, key: str, *args: Arg) -> Call[T]:
        return Call((key,), (command, key, *args), parse)


def nothing(reply: Any) -> None:
    """Parses a reply that says nothing."""


def text(raw: bytes) -> str:
    """A name as Redis gave it back."""
    return raw.decode()


def flag(reply: Any) -> bool:
    """A reply of 0 or 1."""
    return bool(reply)

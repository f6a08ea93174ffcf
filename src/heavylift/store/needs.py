"""What a verb needs a user to be allowed: read from its script, so that no list of it can fall behind.

Only what its own statements reach counts: a file that is included brings functions that a verb may not use.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from heavylift.store.call import Script

_STATEMENT = re.compile(r"^(?!end\b|else|elseif|[})\s])\S.*(?:\n(?:[ \t}).].*|end\b.*|else.*)?)*", re.MULTILINE)
_DEFINES = re.compile(r"local (?:function (\w+)|([\w, ]+?)\s*=)")
_CALLED = re.compile(r"\bp?call\(([^,)]*)")
_WORD = re.compile(r"'([A-Z]+)'")
_NAMED = re.compile(r"\bbase \.\. '([a-z]+:?)'")
_WRITES = frozenset({"DEL", "HDEL", "HINCRBY", "HSET", "PEXPIRE", "SET", "UNLINK", "ZADD", "ZPOPMAX", "ZREM"})
"""What a script that never writes cannot give, even where it shares a function that does."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one verb needs beside the keys that it declares.

    Attributes:
        word: how it is called: `EVALSHA`, or `EVALSHA_RO` if it never writes.
        commands: that it gives, in capitals.
        found: parts of the queue's keys that it names on its way; one that ends in a colon is followed by an id.
        tells: it publishes: `job` to watchers of a job, `worker` to a worker.
    """

    word: str
    commands: frozenset[str]
    found: frozenset[str]
    tells: frozenset[str]


@functools.cache
def needs(script: Script) -> Needs:
    """What this script needs."""
    text = "\n".join(_reached(script.source))
    commands = {word for called in _CALLED.findall(text) for word in _WORD.findall(called)}
    found = set(_NAMED.findall(text))
    tells = set[str]()
    if "PUBLISH" in commands:
        tells = {"worker"} if "':worker:'" in text else set()
        tells |= {"job"} if "call('PUBLISH', job_base" in text else set()
    word = word_for(script.source)
    if word == "EVALSHA_RO":
        commands -= _WRITES
    return Needs(word, frozenset(commands), frozenset(found), frozenset(tells))


def word_for(source: str) -> str:
    """The command that runs this script. Users who may only read may run those that only read."""
    return "EVALSHA_RO" if "no-writes" in source.partition("\n")[0] else "EVALSHA"


def _reached(source: str) -> Iterator[str]:
    """The statements that may run: those that stand free, and definitions that one of them names."""
    definitions: dict[str, str] = {}
    todo: list[str] = []
    for statement in _STATEMENT.findall(re.sub(r"--.*", "", source)):
        defines = _DEFINES.match(statement)
        if defines and (defines[1] or not _CALLED.search(statement)):
            definitions.update(dict.fromkeys(re.findall(r"\w+", defines[1] or defines[2]), statement))
        else:
            todo.append(statement)
    while todo:
        statement = todo.pop()
        yield statement
        todo += [definitions.pop(name) for name in set(re.findall(r"\w+", statement)) & definitions.keys()]

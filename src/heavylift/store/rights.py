"""What the user of a connection may do, asked before a script may run into what it may not, and leave half of it done.

One question per connection for a user who may do everything; for others one for each verb and queue, when it is first
used, and again after a while if it was not allowed: somebody may have granted it since. Redis itself answers
(`redis.acl_check_cmd`), so any way of granting rights will do.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from typing import Any, TypeAlias

from heavylift.errors import PermissionMissing, StoreError
from heavylift.store.call import Arg, Call, Script
from heavylift.store.needs import needs
from heavylift.store.refusals import Refusal

Check: TypeAlias = tuple[Arg, ...]

_SOURCE = """#!lua flags=no-writes
local allowed = {}
for i, check in ipairs(ARGV) do
  local ok, may = pcall(redis.acl_check_cmd, unpack(cjson.decode(check)))
  allowed[i] = (not ok or may) and 1 or 0
end
return allowed
"""
_SCRIPT = Script("rights", _SOURCE, hashlib.sha1(_SOURCE.encode(), usedforsecurity=False).hexdigest())

_STRANGE = "81c2ff0a-no-key-of-anybody"
_EVERYTHING: tuple[Check, ...] = (
    ("ACL", "SETUSER", "x"),
    ("FLUSHALL",),
    ("SET", _STRANGE, "x"),
    ("PUBLISH", _STRANGE, "x"),
)
"""Whoever may do these may do all."""

ASKED_AGAIN = 0.1
"""Seconds that a refusal is taken for granted."""

REMEDY = "`heavylift acl` prints the rights that each role needs"


class Rights:
    """What is known so far. Belongs to one connection, and goes with it."""

    __slots__ = ("_answers", "_pending", "everything")

    def __init__(self) -> None:
        self.everything: bool | None = None
        self._answers: dict[tuple[str, str], tuple[StoreError | None, float]] = {}
        self._pending: tuple[Call[Any], Sequence[Check]] | None = None

    def forget(self) -> None:
        """Redis has refused what was allowed: ask about everything again, before one more script is cut short."""
        self.everything = None
        self._answers.clear()

    def known(self, call: Call[Any]) -> bool:
        """Whether it need not be asked about this call."""
        if self.everything or call.script is None:
            return True
        _, until = self._answers.get(_subject(call), (None, 0.0))
        return time.monotonic() < until

    def refusal(self, call: Call[Any]) -> StoreError | None:
        """Why this call must not be sent; None if it may."""
        return None if self.everything or call.script is None else self._answers[_subject(call)][0]

    def question(self, call: Call[Any]) -> list[Sequence[Arg]]:
        """Two commands that ask about a call that is not `known`; give the replies to `answer`."""
        checks = _EVERYTHING if self.everything is None else tuple(_checks(call))
        self._pending = (call, checks)
        asked = (call.command[0], _SCRIPT.sha, 0, *map(json.dumps, checks))
        return [("SCRIPT", "LOAD", _SCRIPT.source), asked]

    def answer(self, loaded: Any, reply: Any) -> None:
        """Note what was said."""
        assert self._pending is not None, "nothing was asked"
        call, checks = self._pending
        if isinstance(reply, Refusal):
            self._note(call, None)  # whatever it is, the call itself will meet it
            refused = loaded if isinstance(loaded, Refusal) and reply.code == "NOSCRIPT" else reply
            if refused.code == "NOPERM":
                self.everything = False
                self._note(call, PermissionMissing(f"{_what(call)}: {refused}; {REMEDY}"))
            return
        lacking = [check for check, allowed in zip(checks, reply, strict=True) if not allowed]
        if self.everything is None:
            self.everything = not lacking
        else:
            self._note(call, _lacking(call, lacking) if lacking else None)

    def _note(self, call: Call[Any], why: StoreError | None) -> None:
        self._answers[_subject(call)] = (why, time.monotonic() + ASKED_AGAIN if why else math.inf)


def _subject(call: Call[Any]) -> tuple[str, str]:
    return (call.script.sha if call.script else "", call.keys[0])


def _what(call: Call[Any]) -> str:
    return f"this user may not run {call.script.verb if call.script else str(call.command[0])}"


def _checks(call: Call[Any]) -> list[Check]:
    """Every command, every key and every channel by itself, so that the answer can name what is missing."""
    assert call.script is not None
    need, first = needs(call.script), call.keys[0]
    base = first.removesuffix("meta")
    keys = [*call.keys, *(f"{base}{part}{'x' if part.endswith(':') else ''}" for part in sorted(need.found))]
    checks: list[Check] = [
        (name, first, first, first) for name in sorted(need.commands) if name not in ("TIME", "PUBLISH")
    ]
    checks += [("TIME",)] if "TIME" in need.commands else []
    checks += [(need.word, "", 1, key) for key in keys]
    prefix = base.partition(":{")[0]
    channels = {"job": f"{base}job:x", "worker": f"{prefix}:worker:x"}
    return checks + [("PUBLISH", channels[told], "x") for told in sorted(need.tells)]


def _lacking(call: Call[Any], lacking: Sequence[Check]) -> PermissionMissing:
    commands = [str(check[0]) for check in lacking if check[0] not in ("PUBLISH", "EVALSHA", "EVALSHA_RO")]
    keys = [str(check[3]) for check in lacking if str(check[0]).startswith("EVALSHA")]
    channels = [str(check[1]) for check in lacking if check[0] == "PUBLISH"]
    said = [
        f"{kind} {' '.join(names)}"
        for kind, names in (("the command", commands), ("the key", keys), ("to PUBLISH to", channels))
        if names
    ]
    return PermissionMissing(f"{_what(call)}, which needs {', '.join(said)}; nothing was done; {REMEDY}")

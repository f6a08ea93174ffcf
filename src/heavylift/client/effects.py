"""Effects of `ctx.once`, as plans: looking at one, and saying what became of one that is in doubt."""

from __future__ import annotations

from typing import Any

from heavylift.client.operations import Operations
from heavylift.client.plan import Plan, ask
from heavylift.codec import encode_result
from heavylift.once import KEEP, MAX_RESULT, check_key
from heavylift.store.jobs import EffectRecord


class Effects:
    """Plans for effects.

    Args:
        operations: the other plans, whose verbs and patience are used.
    """

    def __init__(self, operations: Operations) -> None:
        self._jobs = operations.jobs
        self._patience = operations.patience

    def look(self, key: str) -> Plan[EffectRecord | None]:
        """What is stored of an effect."""
        return (yield from ask(self._jobs.once(check_key(key)), self._patience))

    def forget(self, key: str) -> Plan[bool]:
        """It has not happened. False if nothing is stored."""
        return (yield from ask(self._jobs.once_forget(check_key(key)), self._patience))

    def done(self, key: str, result: Any) -> Plan[None]:
        """It has happened, and this came of it."""
        data = encode_result(result, MAX_RESULT)
        yield from ask(self._jobs.once_done(check_key(key), "", data, int(KEEP * 1000)), self._patience)

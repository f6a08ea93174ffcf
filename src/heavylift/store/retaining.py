"""Verbs about how long, and how many, ended jobs of a queue are kept. The sweep enforces it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heavylift.retention import Retention
from heavylift.store.call import Arg, Call
from heavylift.store.verbs import Verbs, nothing

FIELDS = {
    "completed": "kept:completed",
    "failed": "kept:failed",
    "completed_count": "most:completed",
    "failed_count": "most:failed",
}

TO_GO_BY = {"completed": ("keep:completed", "keep:cancelled"), "failed": ("keep:failed",)}
"""What the next sweep would write of them: jobs that end before it go by the rule already."""


class Retaining(Verbs):
    """Retain, retention."""

    def retain(self, queue: str, rules: Mapping[str, int | None]) -> tuple[Call[None], ...]:
        """Set rules of a queue, by the names of `FIELDS`: ms or counts; None takes one away. Two calls at most."""
        meta = self.keys(queue).meta
        rule_of = {field: rule for name, rule in rules.items() for field in (FIELDS[name], *TO_GO_BY.get(name, ()))}
        said: list[Arg] = [part for field, rule in rule_of.items() if rule is not None for part in (field, rule)]
        lifted = [FIELDS[name] for name, rule in rules.items() if rule is None]
        calls = [self._plain(nothing, "HSET", meta, *said)] if said else []
        return (*calls, *([self._plain(nothing, "HDEL", meta, *lifted)] if lifted else []))

    def retention(self, queue: str) -> Call[Retention]:
        """What was set for a queue."""

        def parse(reply: Any) -> Retention:
            ms_completed, ms_failed, completed, failed = (int(one) if one and one.isdigit() else None for one in reply)
            return Retention(_seconds(ms_completed), _seconds(ms_failed), completed, failed)

        return self._plain(parse, "HMGET", self.keys(queue).meta, *FIELDS.values())


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000

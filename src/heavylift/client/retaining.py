"""How long, and how many, ended jobs of a queue are kept, as plans."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from heavylift.client.operations import Operations, check_queue
from heavylift.client.plan import Plan, ask, or_raise
from heavylift.duration import seconds
from heavylift.errors import InvalidArgument
from heavylift.options import MOST_KEPT
from heavylift.retention import AsSet, Retention


def retain(operations: Operations, queue: str, said: Mapping[str, float | timedelta | AsSet | None]) -> Plan[None]:
    """Set what is said, by the names of `Retention`; what is None stays as it is."""
    rules = {name: _rule(name, value) for name, value in said.items() if value is not None}
    if not rules:
        raise InvalidArgument("completed", None, 'say what to set: seconds or a count; or "default"')
    for answer in (yield from operations.ask_naming(operations.jobs.retain(check_queue(queue), rules), [queue])):
        or_raise(answer)


def retention(operations: Operations, queue: str) -> Plan[Retention]:
    """What was set for a queue."""
    return (yield from ask(operations.jobs.retention(check_queue(queue)), operations.patience))


def _rule(name: str, value: Any) -> int | None:
    """As it is stored: ms, or a count; None to take it away."""
    if value == "default":
        return None
    if not name.endswith("_count"):
        return math.ceil(seconds(name, value) * 1000)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_KEPT:
        raise InvalidArgument(name, value, f'give a whole number, 0 to {MOST_KEPT:,}, or "default"')
    return value

"""Limits, order and step of a queue, as plans."""

from __future__ import annotations

from typing import Any, Literal, get_args

from heavylift.client.operations import Operations, check_queue
from heavylift.client.plan import Plan, ask, or_raise
from heavylift.errors import InvalidArgument
from heavylift.limits import STRICT_STEP, Order, QueueLimits, Rate, Unlimited, read_rate
from heavylift.options import NAME
from heavylift.store.call import Call


class Limiting:
    """Plans for limits.

    Args:
        operations: the other plans, whose verbs and patience are used.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._jobs = operations.jobs
        self._patience = operations.patience

    def limit(
        self,
        queue: str,
        group: str | None,
        per_key: bool,
        concurrency: int | Unlimited | None,
        rate: Rate | str | None,
        burst: int | None,
    ) -> Plan[None]:
        """Set limits, or lift them."""
        if (concurrency, rate, burst) == (None, None, None):
            raise InvalidArgument("concurrency", concurrency, 'say what to limit: concurrency or rate; or "unlimited"')
        if group is not None and not (isinstance(group, str) and NAME.fullmatch(group)):
            raise InvalidArgument("group", group, "use 1 to 100 letters, digits and _ . -")
        lifted = rate == "unlimited"
        tokens: Rate | Unlimited | None = read_rate(None if lifted else rate, burst)
        if lifted:
            tokens = "unlimited"
        call = self._jobs.limit(check_queue(queue), concurrency, tokens, group=group or "", per_key=per_key)
        yield from self._set(queue, call)

    def limits(self, queue: str) -> Plan[QueueLimits]:
        """What is limited, the order and the step."""
        return (yield from ask(self._jobs.limits(check_queue(queue)), self._patience))

    def order(self, queue: str, order: Order) -> Plan[bool]:
        """Have keys take turns, or not. False if it was so."""
        if order not in get_args(Order):
            raise InvalidArgument("order", order, 'give "fair" or "priority"')
        changed: bool = yield from self._set(queue, self._jobs.order(check_queue(queue), order))
        return changed

    def step(self, queue: str, seconds: float | Literal["strict"]) -> Plan[None]:
        """Say how much waiting a unit of priority is worth."""
        worth = STRICT_STEP if seconds == "strict" else seconds
        if isinstance(worth, (str, bool)) or not isinstance(worth, (int, float)) or not 0 <= worth <= STRICT_STEP:
            raise InvalidArgument("step", seconds, f'give seconds, 0 to {STRICT_STEP:,.0f}, or "strict"')
        yield from self._set(queue, self._jobs.step(check_queue(queue), round(worth * 1_000_000)))

    def _set(self, queue: str, call: Call[Any]) -> Plan[Any]:
        answers = yield from self._operations.ask_naming([call], [queue])
        return or_raise(answers[0])

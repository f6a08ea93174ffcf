"""Verbs about limits: how many jobs may run and start, and in which order they take turns."""

from __future__ import annotations

import re
from typing import Any

from heavylift.errors import InvalidArgument
from heavylift.limits import Limit, Order, QueueLimits, Rate, Unlimited, check_concurrency
from heavylift.store.call import Call
from heavylift.store.verbs import Verbs, flag, nothing

_LEAVE, _LIFT = "", "-"
_FIELD = re.compile(r"(limit|rate|declared)(?::([^/]+)(/\*)?)?")
_RATE = re.compile(r"(\d+) (\d+) (\d+)")


class Limiting(Verbs):
    """Limit, declare, limits, order, step."""

    def limit(
        self,
        queue: str,
        concurrency: int | Unlimited | None = None,
        rate: Rate | Unlimited | None = None,
        *,
        group: str = "",
        per_key: bool = False,
    ) -> Call[None]:
        """Set how many jobs may run at once, and how many may start in a time, over all workers.

        Args:
            queue: its name.
            concurrency: 0 or more; per key 1 or more; None leaves it as it is.
            rate: None leaves it as it is.
            group: limit this group instead of the queue.
            per_key: limit each key of the group instead.

        Raises:
            InvalidArgument: `concurrency` is too low, or `per_key` stands without a group.
        """
        if concurrency is not None and concurrency != "unlimited":
            check_concurrency("concurrency", concurrency, int(per_key))
        if per_key and not group:
            raise InvalidArgument("group", group, "name the group whose keys are limited")
        said = {"most": _said(concurrency), "rate": _said(rate)}
        return self._script("limit", queue, nothing, scope=_scope(group, per_key), **said, declared="")

    def declare(self, queue: str, limit: Limit) -> Call[bool]:
        """Write what the handlers' code says of a group, or of its keys, unless it was written before.

        What was said by hand since then stays until the code says something else. True: it was written.
        """
        most, tokens = _said(limit.concurrency or "unlimited"), _said(limit.rate or "unlimited")
        declared = _LIFT if (most, tokens) == (_LIFT, _LIFT) else f"{most} {tokens}"
        scope = _scope(limit.group or "", limit.per_key)
        return self._script("limit", queue, flag, scope=scope, most=most, rate=tokens, declared=declared)

    def limits(self, queue: str) -> Call[QueueLimits]:
        """How the queue gives out its jobs."""
        return self._plain(_read, "HGETALL", self.keys(queue).meta)

    def order(self, queue: str, order: Order) -> Call[bool]:
        """Have keys take turns, or the best rank of all go first. False: it was so."""
        return self._script("order", queue, flag, order=order)

    def step(self, queue: str, step_us: int) -> Call[None]:
        """Set how much waiting, in microseconds, one unit of priority is worth (60 s unless set; at most 7e12)."""
        return self._plain(nothing, "HSET", self.keys(queue).meta, "step", step_us)


def _scope(group: str, per_key: bool) -> str:
    return f"{group}/*" if per_key else group


def _said(value: int | Rate | str | None) -> str:
    if isinstance(value, Rate):
        return f"{value.count} {round(value.seconds * 1000)} {value.at_once}"
    return {None: _LEAVE, "unlimited": _LIFT}.get(value, str(value))  # type: ignore[arg-type]


def _read(reply: Any) -> QueueLimits:
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    meta = {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in pairs}
    found: dict[tuple[str, bool], dict[str, str]] = {}
    for name, value in meta.items():
        if field := _FIELD.fullmatch(name):
            found.setdefault((field[2] or "", bool(field[3])), {})[field[1]] = value
    read = (_limit(group, per_key, said) for (group, per_key), said in sorted(found.items()))
    step = meta.get("step", "")
    return QueueLimits(
        limits=tuple(limit for limit in read if limit.concurrency is not None or limit.rate),
        order="fair" if meta.get("order") == "fair" else "priority",
        step=int(step) / 1e6 if step.isdigit() else 60.0,
    )


def _limit(group: str, per_key: bool, said: dict[str, str]) -> Limit:
    most, rate = said.get("limit", ""), said.get("rate", "")
    declared = said.get("declared") == f"{most or _LIFT} {rate or _LIFT}"
    return Limit(group or None, per_key, int(most) if most.isdigit() else None, _rate(rate), declared)


def _rate(text: str) -> Rate | None:
    found = _RATE.fullmatch(text)
    if found is None:
        return None
    count, period, burst = map(int, found.groups())
    try:
        rate = Rate(count, period / 1000)
        return rate if rate.at_once == burst else Rate(count, period / 1000, burst)
    except InvalidArgument:
        return None

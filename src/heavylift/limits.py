"""Limits of a queue, as values: how many jobs may run at once, how many may start in a time, and whose turn it is."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from heavylift.errors import HandlerError, InvalidArgument

Unlimited: TypeAlias = Literal["unlimited"]
"""Lifts a limit."""

Order: TypeAlias = Literal["priority", "fair"]
"""`priority`: the best rank of all goes first. `fair`: keys take turns, priority counts within a key."""

UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
UNITS |= {"d": 86400, "day": 86400}

STRICT_STEP = 7e6
"""Seconds of waiting per unit of priority that make priorities strict: 81 days."""

_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{0,6})\s*([a-z]+)\s*")
_HOW = 'give "100/min", "10/s", "5000/h", "1/day" or a Rate'

LONGEST = 31 * 86400
FASTEST = 1_000_000
MOST = 1_000_000


class Rate(msgspec.Struct, frozen=True):
    """So many starts in so many seconds, evenly spread: `Rate(100, 60)` lets one start every 0.6 seconds.

    In any stretch of time there are at most `burst` more starts than the rate alone would allow. A pause is not made
    up for by more than that.

    Attributes:
        count: starts.
        seconds: in this time; a millisecond to 31 days.
        burst: how many may start at once after a pause. If not given: what comes in a quarter of a second, so
            that high rates are reached whatever the network adds; 1 for up to four a second.

    Raises:
        InvalidArgument: a number is out of range.
    """

    count: int
    seconds: float
    burst: int | None = None

    def __post_init__(self) -> None:
        if not _whole(self.count, 1, FASTEST * LONGEST):
            raise InvalidArgument("rate.count", self.count, "give a whole number, 1 or more")
        if isinstance(self.seconds, bool) or not 0.001 <= self.seconds <= LONGEST:
            raise InvalidArgument("rate.seconds", self.seconds, "give a millisecond to 31 days, in seconds")
        if self.count / self.seconds > FASTEST:
            raise InvalidArgument("rate", str(self), f"give {FASTEST:,} a second or less, or no limit")
        if self.burst is not None and not _whole(self.burst, 1, MOST):
            raise InvalidArgument("burst", self.burst, f"give a whole number, 1 to {MOST:,}")
        if self.at_once * self.seconds / self.count > 366 * 86400:
            raise InvalidArgument("burst", self.burst, f"is more than a year's worth of {self}; give less")

    @property
    def at_once(self) -> int:
        """The burst, said or not."""
        return self.burst or max(1, math.floor(self.count / self.seconds / 4))

    @classmethod
    def of(cls, value: Rate | str, burst: int | None = None) -> Rate:
        """A rate from its short form: `"100/min"`, `"5000/h"`, `"3/10s"`.

        Args:
            value: the rate; units are s, min, h, day, with a number before them or not.
            burst: over its own, if given.

        Raises:
            InvalidArgument: it cannot be read, or is out of range.
        """
        if isinstance(value, Rate):
            return value if burst is None else cls(value.count, value.seconds, burst)
        found = _RATE.fullmatch(value) if isinstance(value, str) else None
        if found is None or found[3] not in UNITS:
            raise InvalidArgument("rate", value, _HOW)
        return cls(int(found[1]), int(found[2] or 1) * UNITS[found[3]], burst)

    def __str__(self) -> str:
        for unit, size in (("day", 86400), ("h", 3600), ("min", 60), ("s", 1)):
            if self.seconds == size:
                return f"{self.count}/{unit}"
        return f"{self.count}/{self.seconds:g}s"


@dataclass(frozen=True, slots=True)
class Limit:
    """What is limited in one place of a queue.

    Attributes:
        group: whose; None for the whole queue.
        per_key: holds for each key of the group.
        concurrency: jobs that run at once, over all workers.
        rate: jobs that start in a time.
        declared: it is as the handlers' code said it last; False if it was set, or changed, by hand.
    """

    group: str | None = None
    per_key: bool = False
    concurrency: int | None = None
    rate: Rate | None = None
    declared: bool = False

    def __str__(self) -> str:
        said = [f"{self.concurrency} at once"] if self.concurrency is not None else []
        if self.rate is not None:
            said.append(str(self.rate) + (f" (burst {self.rate.burst})" if self.rate.burst else ""))
        return " and ".join(said) or "no limit"


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How a queue gives out its jobs.

    Attributes:
        limits: the queue's first, then those of its groups and of their keys, by name.
        order: `priority` or `fair`.
        step: seconds of waiting that one unit of priority is worth.
    """

    limits: tuple[Limit, ...] = ()
    order: Order = "priority"
    step: float = 60.0


def check_concurrency(name: str, value: object, least: int) -> None:
    """Refuse what is no number of jobs.

    Raises:
        InvalidArgument: it is no whole number from `least` on.
    """
    if not _whole(value, least, MOST):
        raise InvalidArgument(name, value, f"give a whole number, {least} to {MOST:,}")


def read_rate(rate: Rate | str | None, burst: int | None = None) -> Rate | None:
    """A rate and its burst as they are said together: `rate="100/min", burst=10`.

    Raises:
        InvalidArgument: the rate cannot be read, or there is a burst of none.
    """
    if rate is None and burst is not None:
        raise InvalidArgument("burst", burst, "goes with rate")
    return None if rate is None else Rate.of(rate, burst)


def declared_limits(handler: str, options: Mapping[str, Any]) -> tuple[Limit, ...]:
    """What the options of `@handler` say of its group, or of that and of each key in it, where they declare a key.

    Args:
        handler: its name; that of its group, too, if the options name none.
        options: as given to `@handler`.

    Raises:
        HandlerError: a limit is none, or it is not clear what it holds for.
    """
    group, keyed = options.get("group") or handler, options.get("key") is not None
    own = _declared(options, "concurrency", "rate", options.get("burst"))
    shared = _declared(options, "group_concurrency", "group_rate", None)
    if not (own or shared):
        return ()
    if not isinstance(group, str):
        raise HandlerError("group", group, "limits are declared for one group; give its name, or a function as key=")
    if shared and not keyed:
        name = "group_concurrency" if shared[0] else "group_rate"
        raise HandlerError(name, options[name], f"goes with key=; without, {name[6:]}= holds for the whole group")
    limits = [Limit(group, False, *shared, declared=True)] if shared else []
    return (*limits, *([Limit(group, keyed, *own, declared=True)] if own else []))


def _declared(
    options: Mapping[str, Any], concurrency: str, rate: str, burst: int | None
) -> tuple[int | None, Rate | None] | None:
    """What two options of these names limit; None if nothing."""
    try:
        most = options.get(concurrency)
        if most is not None:
            check_concurrency(concurrency, most, 1)
        tokens = read_rate(options.get(rate), burst)
    except InvalidArgument as wrong:
        named = rate if wrong.field.partition(".")[0] == "rate" else wrong.field
        raise HandlerError(named, wrong.value, wrong.remedy) from None
    return None if most is None and tokens is None else (most, tokens)


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

"""When a schedule ticks: cron expressions in a time zone, and intervals. Values; ticks are ms since 1970.

Both answer the same three questions, from any moment and without memory: the first tick after it, the last one up to
it, and the next few. So whoever asks, and however often, gets the same ticks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from cronsim import CronSim, CronSimError

from heavylift.errors import InvalidArgument

NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""Names that stand for an expression."""

LONGEST = 3660 * 86_400_000
"""The longest interval, about ten years, in ms."""


class Cron(msgspec.Struct, frozen=True, tag_field="kind", tag="cron", omit_defaults=True):
    """Ticks of a cron expression: `Cron("0 3 * * *", tz="Europe/Berlin")`.

    Five fields (minute, hour, day, month, weekday), or six with the seconds first. Each is `*`, a number, a range
    `1-5`, a step `*/15`, a list of these; months and weekdays also by name; days `L` (last) and `LW` (last weekday);
    weekdays `MON#2` (second Monday) and `5L` (last Friday). Or a name: `@hourly` `@daily` `@weekly` `@monthly`
    `@yearly`.

    When clocks change, a fixed time of day runs once, as with Debian's cron: one that is left out runs at the end of
    the gap, one that comes twice runs the first time. Where minute or hour begins with `*`, or there are several
    seconds, ticks go by what the clock shows: none in the gap, twice where it is set back.

    Attributes:
        expression: as above.
        tz: name of a time zone; `UTC` if not given, never the machine's own.

    Raises:
        InvalidArgument: the expression cannot be read or never comes, or the time zone is not known.
    """

    expression: str
    tz: str = "UTC"

    def __post_init__(self) -> None:
        if not isinstance(self.expression, str):
            raise InvalidArgument("expression", self.expression, 'give a cron expression, such as "0 3 * * *"')
        zone_of(self.tz)
        if self.expression.startswith("@") and self.expression not in NAMED:
            raise InvalidArgument("expression", self.expression, f"give one of {', '.join(NAMED)}, or five fields")
        try:
            first = self.after(0)
        except CronSimError as wrong:
            remedy = (
                f"{str(wrong).lower()}; give minute, hour, day, month, weekday, or six fields with the seconds first"
            )
            raise InvalidArgument("expression", self.expression, remedy) from None
        if first is None:
            raise InvalidArgument("expression", self.expression, "no such time ever comes")

    def after(self, at: int) -> int | None:
        """The first tick later than `at`; None if there is none for 50 years."""
        for tick in self._walk(at):
            if tick > at:  # where clocks are set back, the walk may begin with one that has passed
                return tick
        return None

    def latest(self, at: int) -> int | None:
        """The last tick not later than `at`; None if there was none for 50 years."""
        found = next((tick for tick in self._walk(at + 1000, back=True) if tick <= at), None)
        while found is not None:  # where clocks are set back, walking backwards passes some over
            later = self.after(found)
            if later is None or later > at:
                break
            found = later
        return found

    def _walk(self, at: int, back: bool = False) -> Iterator[int]:
        expression = NAMED.get(self.expression, self.expression)
        fields = expression.split()
        second = 0
        if len(fields) == 6 and fields[0].isascii() and fields[0].isdigit() and int(fields[0]) < 60:
            second = int(fields.pop(0))  # one second of each minute: as five fields, which know fixed times of day
            expression = " ".join(fields)
        begin = datetime.fromtimestamp(at // 1000 - second, UTC)
        for tick in CronSim(expression, begin.astimezone(zone_of(self.tz)), reverse=back):
            yield (round(tick.timestamp()) + second) * 1000


class Every(msgspec.Struct, frozen=True, tag_field="kind", tag="every", omit_defaults=True, kw_only=True):
    """Ticks at an even distance: `Every(minutes=5)`. The parts add up.

    They are counted from 1970 and not from when the schedule was made: `Every(minutes=5)` ticks at :00, :05, :10, on
    every worker and after every restart. Days are of 24 hours and begin at 0:00 UTC.

    Attributes:
        days, hours, minutes, seconds: together one second to ten years.
        offset: seconds by which each tick is later; less than the distance.

    Raises:
        InvalidArgument: the distance or the offset is out of range.
    """

    days: float = 0
    hours: float = 0
    minutes: float = 0
    seconds: float = 0
    offset: float = 0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e10:
                raise InvalidArgument(name, value, "give a number, zero or more")
        if not 1000 <= self.ms <= LONGEST:
            raise InvalidArgument("every", f"{self.ms / 1000:g} s", "give a second or more, and ten years at most")
        if self.offset * 1000 >= self.ms:
            raise InvalidArgument("offset", self.offset, "give less than the time between two ticks")

    @property
    def ms(self) -> int:
        """The time between two ticks."""
        return round((((self.days * 24 + self.hours) * 60 + self.minutes) * 60 + self.seconds) * 1000)

    def after(self, at: int) -> int:
        """The first tick later than `at`."""
        return self.latest(at) + self.ms

    def latest(self, at: int) -> int:
        """The last tick not later than `at`."""
        offset = round(self.offset * 1000)
        return (at - offset) // self.ms * self.ms + offset


Timetable: TypeAlias = Cron | Every
"""When the jobs of a schedule are made."""


def upcoming(times: Timetable, at: int, count: int) -> list[int]:
    """The first `count` ticks later than `at`."""
    found: list[int] = []
    tick = times.after(at)
    while tick is not None and len(found) < count:
        found.append(tick)
        tick = times.after(tick)
    return found


_EVERY = re.compile(r"@?every\s+((?:\d+(?:\.\d+)?\s*[a-z]+\s*)+)", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)
_UNITS = {"s": "seconds", "sec": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days"}


def timetable(value: Timetable | timedelta | str) -> Timetable:
    """A timetable from its short forms: `"0 3 * * *"`, `"@daily"`, `"every 5 minutes"`, `"every 1h 30m"`, a timedelta.

    Raises:
        InvalidArgument: it is none of these.
    """
    if isinstance(value, (Cron, Every)):
        return value
    if isinstance(value, timedelta):
        return Every(seconds=value.total_seconds())
    if not isinstance(value, str):
        raise InvalidArgument("schedule", value, 'give a Cron, an Every, a timedelta, or text: "every 5 minutes"')
    found = _EVERY.fullmatch(value.strip())
    return _interval(value, found[1]) if found else Cron(value.strip())


def _interval(text: str, parts: str) -> Every:
    said: dict[str, float] = {}
    for number, unit in _PART.findall(parts.lower()):
        name: str = _UNITS.get(unit) or (unit if unit.endswith("s") else unit + "s")
        if name not in _UNITS.values() or name in said:
            raise InvalidArgument("schedule", text, "give seconds, minutes, hours or days, each once: every 1h 30m")
        said[name] = float(number)
    return Every(**said)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of a name.

    Raises:
        InvalidArgument: there is none; says what to do where the machine knows no time zones at all.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, TypeError, OSError):
        none_known = "this machine knows no time zones: install the package tzdata"
        remedy = "is no time zone; give a name such as Europe/Berlin" if available_timezones() else none_known
        raise InvalidArgument("tz", name, remedy) from None

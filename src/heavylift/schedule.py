"""Schedules, as values: what is to run when, and what becomes of ticks that were missed. No I/O.

The rule for missed ticks is one pure function, `next_turn`. Whoever fires a tick reckons with it, by Redis's clock, so
it does not matter which worker that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias, cast

import msgspec

from heavylift.errors import InvalidArgument
from heavylift.options import NAME
from heavylift.timetable import Timetable, timetable, upcoming

CatchUp: TypeAlias = Literal["once", "skip"]
"""What becomes of ticks that nobody was there to fire: `once`: the latest of them is fired late; `skip`: none is."""

Times: TypeAlias = Timetable | timedelta | str
"""A timetable or one of its short forms: `"0 3 * * *"`, `"@daily"`, `"every 5 minutes"`, a timedelta."""

ON_TIME = 5000
"""A tick is fired whatever `catch_up` says if it is not later than this, in ms."""

AHEAD = 3
"""Next ticks that a record shows."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """What `@handler(schedule=...)` takes where the times alone do not say it all.

    Attributes:
        times: when it ticks: a `Cron`, an `Every`, or a short form of them.
        args: the arguments of its jobs, by name.
        name: of the schedule, 1 to 100 letters, digits and `_ . -`; the handler's if not given.
        catch_up: `"once"` (the default) fires the latest of the ticks that were missed; `"skip"` none of them.
        overlap: False leaves a tick out while the job of the tick before has not ended.

    Raises:
        InvalidArgument: one of them will not do.
    """

    times: Times
    args: Mapping[str, Any] = {}
    name: str | None = None
    catch_up: CatchUp = "once"
    overlap: bool = True

    def __post_init__(self) -> None:
        timetable(self.times)
        if self.name is not None:
            check_name(self.name)
        if self.catch_up not in ("once", "skip"):
            raise InvalidArgument("catch_up", self.catch_up, 'give "once" or "skip"')
        if not isinstance(self.overlap, bool):
            raise InvalidArgument("overlap", self.overlap, "give True or False")
        if not isinstance(self.args, Mapping):
            raise InvalidArgument("args", self.args, "give a mapping of argument names to values")


def check_name(name: object) -> str:
    """Refuse what is no name of a schedule.

    Raises:
        InvalidArgument: says what one looks like.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidArgument("name", name, "name the schedule with 1 to 100 letters, digits and _ . -")
    return name


class Ticks(msgspec.Struct, frozen=True, omit_defaults=True):
    """A timetable between two moments, as it is stored. Times in ms since 1970.

    Attributes:
        times: the timetable.
        start: no tick is earlier.
        end: no tick is later.
    """

    times: Timetable
    start: int | None = None
    end: int | None = None

    def after(self, at: int) -> int | None:
        """The first tick later than `at`; None if there is none any more."""
        if self.start is not None:
            at = max(at, self.start - 1)
        tick = self.times.after(at)
        return None if tick is None or (self.end is not None and tick > self.end) else tick

    def latest(self, at: int) -> int | None:
        """The last tick not later than `at`; None if there was none yet."""
        if self.end is not None:
            at = min(at, self.end)
        tick = self.times.latest(at)
        return None if tick is None or (self.start is not None and tick < self.start) else tick

    def ahead(self, at: int, count: int) -> list[int]:
        """The first `count` ticks later than `at`, or as many as there are."""
        if self.start is not None:
            at = max(at, self.start - 1)
        found = upcoming(self.times, at, count)
        return found if self.end is None else [tick for tick in found if tick <= self.end]


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that a handler declares, checked.

    Attributes:
        name: of the schedule.
        handler: of its jobs.
        ticks: when it ticks.
        args, catch_up, overlap: see `Schedule`.
    """

    name: str
    handler: str
    ticks: Ticks
    args: Mapping[str, Any]
    catch_up: CatchUp
    overlap: bool


def declared(handler: str, value: Times | Schedule | Sequence[Times | Schedule]) -> tuple[Declared, ...]:
    """What `@handler(schedule=...)` says, for a handler of this name.

    Raises:
        InvalidArgument: it cannot be read, or two schedules have one name.
    """
    found: dict[str, Declared] = {}
    for one in value if isinstance(value, (list, tuple)) else [value]:
        said = one if isinstance(one, Schedule) else Schedule(times=cast(Times, one))
        name = said.name or handler
        if name in found:
            raise InvalidArgument("schedule", name, "is the name of two schedules of one handler; give one a name=")
        found[name] = Declared(
            name=name,
            handler=handler,
            ticks=Ticks(timetable(said.times)),
            args=said.args,
            catch_up=said.catch_up,
            overlap=said.overlap,
        )
    return tuple(found.values())


class Turn(msgspec.Struct, frozen=True):
    """What is to be done about a tick whose time has come.

    Attributes:
        fire: the tick to make a job of; None if it passes without one.
        next: the tick that comes then; None if that was the last.
    """

    fire: int | None
    next: int | None


def next_turn(ticks: Ticks, due: int, now: int, catch_up: CatchUp) -> Turn:
    """What to do about the tick `due`, at `now`.

    One that is not later than `ON_TIME` is fired for itself, and so are those that follow it. If it is later, those
    up to the latest one count as missed, and `catch_up` says whether that one is made up for.
    """
    latest = due if now - due <= ON_TIME else max(due, ticks.latest(now) or due)
    fire = latest if catch_up == "once" or now - latest <= ON_TIME else None
    return Turn(fire, ticks.after(latest))


class ScheduleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it stands in Redis. Times are aware datetimes, in UTC.

    Attributes:
        name, queue, handler: what it is called, where its jobs go and who runs them.
        times: its timetable; None if that cannot be read.
        args: the arguments of its jobs; secret ones are left out.
        catch_up, overlap: see `Schedule`.
        start, end: no tick is earlier, or later.
        paused: it is not fired.
        declared: it was written by a worker, from the handler's code.
        upcoming: its next ticks, at most three; none while it is paused, or when it is over.
        last: id of the job of its last tick.
        fired: jobs it has made.
        skipped: ticks left out: those that were missed, counted as one each time, and those that would have
            overlapped.
        unreadable: why it cannot be read here, and makes no jobs by workers such as this one: written by a newer
            release, in a time zone that this machine does not know, or damaged. Empty if it can.
    """

    name: str
    queue: str
    handler: str
    times: Timetable | None
    args: Mapping[str, Any]
    catch_up: CatchUp = "once"
    overlap: bool = True
    start: datetime | None = None
    end: datetime | None = None
    paused: bool = False
    declared: bool = False
    upcoming: tuple[datetime, ...] = ()
    last: str | None = None
    fired: int = 0
    skipped: int = 0
    unreadable: str = ""


def at(tick: int) -> datetime:
    """A tick as a datetime in UTC."""
    return datetime.fromtimestamp(tick / 1000, UTC)


def job_of(name: str, tick: int) -> str:
    """The id of the job of a tick: one tick can never be two jobs."""
    return f"{name}@{tick}"

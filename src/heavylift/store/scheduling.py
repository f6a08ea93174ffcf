"""Verbs about schedules: read, write, pause, fire, pass over, delete."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from heavylift.schedule import CatchUp
from heavylift.store.call import Arg, Call
from heavylift.store.producing import NewJob, Tick
from heavylift.store.verbs import BATCH_BYTES, Verbs, flag

AT_ONCE = 100
"""Schedules read by one call."""


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A schedule to be written.

    Attributes:
        name: of the schedule.
        times: JSON of `schedule.Ticks`.
        job: what its jobs are like; its id does not count.
        catch_up, alone: what becomes of ticks that are late, and of those that would overlap.
        next: the first tick (ms), if there is one.
        rev: fresh for each write, kept when the call is repeated.
    """

    name: str
    times: bytes
    job: NewJob
    catch_up: CatchUp
    alone: bool
    next: int | None
    rev: str

    @property
    def digest(self) -> str:
        """Tells this declaration from others: of all that was said, but not of when."""
        said = [self.name, self.times.decode(), self.job.handler, self.job.spec.decode(), self.job.options]
        data = msgspec.json.encode([*said, self.catch_up, self.alone])
        return hashlib.sha256(data).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    """A schedule as it stands in Redis.

    Attributes:
        name: of the schedule.
        queue: where its jobs go.
        tick: its next tick (ms); None if there is none, or it is paused.
        fields: its hash; see `keys.SCHEDULE_FIELDS`.
    """

    name: str
    queue: str
    tick: int | None
    fields: dict[str, bytes]

    def text(self, field: str) -> str:
        """A field as text; empty if there is none."""
        return self.fields.get(field, b"").decode("utf-8", "replace")

    def number(self, field: str) -> int:
        """A field as a number; 0 if it is none."""
        said = self.text(field)
        return int(said) if said.isdigit() else 0

    @property
    def skips(self) -> bool:
        """Ticks that were missed are left out."""
        return self.text("catch_up") == "skip"

    @property
    def alone(self) -> bool:
        """No tick while the job of the one before has not ended."""
        return self.text("alone") == "1"

    def job(self, id: str, spec: bytes, tick: Tick | None = None) -> NewJob:
        """A job of it.

        Raises:
            ValueError: its options cannot be read.
        """
        return NewJob.stored(id, spec, self.text("handler"), self.text("options"), tick)


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """Schedules of a queue, the soonest first, and when they were read.

    Attributes:
        now: Redis's time (ms).
        first: the next tick of all schedules of the queue that is to come (ms), if there is one.
        schedules: those asked for; one call gives not more than about 256 KiB.
    """

    now: int
    first: int | None
    schedules: Sequence[StoredSchedule]


class Scheduling(Verbs):
    """Schedules, schedule, pause, resume, pass, unschedule. Fired is by `enqueue`, with a job that has a `tick`."""

    def schedules(
        self, queue: str, names: Sequence[str] = (), *, due: bool = False, offset: int = 0, limit: int = AT_ONCE
    ) -> Call[SchedulePage]:
        """Read schedules: those named, those due, or all, from `offset` on. One that cannot be read has no fields."""

        def parse(reply: Any) -> SchedulePage:
            now, first, *rest = reply
            found = [
                StoredSchedule(name.decode(), queue, _ms(tick), _fields(said))
                for name, tick, said in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
            ]
            return SchedulePage(int(now), _ms(first), found)

        return self._script(
            "schedules", queue, parse, names, due=int(due), offset=offset, limit=limit, max_bytes=BATCH_BYTES
        )

    def schedule(self, queue: str, new: NewSchedule, *, declared: bool = False) -> Call[bool]:
        """Write a schedule. If it is `declared` by code and was written before, nothing is written: False."""
        rest: list[Arg] = ["rev", new.rev, "handler", new.job.handler, "spec", new.job.spec, "options", new.job.options]
        rest += ["catch_up", new.catch_up, "alone", str(int(new.alone))]
        return self._script(
            "schedule",
            queue,
            flag,
            rest,
            name=new.name,
            declared=new.digest if declared else "",
            times=new.times,
            next=_text(new.next),
        )

    def pause_schedule(self, queue: str, name: str) -> Call[int]:
        """Fire it no more. 1, 0 if it was paused, -1 if there is none."""
        return self._script("schedule_pause", queue, int, name=name, rev="", next="")

    def resume_schedule(self, queue: str, name: str, rev: str, next: int | None) -> Call[int]:
        """Fire it again, from this tick on. 1, 0 if it was not paused, -1 if it is not of this revision any more."""
        return self._script("schedule_pause", queue, int, name=name, rev=rev, next=_text(next))

    def pass_tick(self, queue: str, tick: Tick) -> Call[bool]:
        """Let a tick pass without a job. False: it is not its next tick any more."""
        return self._script(
            "schedule_pass",
            queue,
            flag,
            name=tick.schedule,
            rev=tick.rev,
            tick=tick.at,
            next=_text(tick.next),
        )

    def unschedule(self, queue: str, name: str, rev: str = "") -> Call[bool]:
        """Delete a schedule, if it is of this revision. False: there is none."""
        return self._script("unschedule", queue, flag, name=name, rev=rev)


def _ms(score: bytes) -> int | None:
    return None if b"inf" in score else int(float(score))


def _text(tick: int | None) -> str:
    return "inf" if tick is None else str(tick)


def _fields(said: Any) -> dict[str, bytes]:
    pairs = said.items() if isinstance(said, dict) else zip(said[::2], said[1::2], strict=True)
    return {name.decode("utf-8", "replace"): value for name, value in pairs}

"""Schedules, as plans: write, list, pause, run now, delete."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from heavylift.client.operations import AT_ONCE, Operations, check_queue
from heavylift.client.plan import Plan, ask, ask_all, ask_in_parts, or_raise
from heavylift.client.producing import Placed
from heavylift.codec import decode_envelope, stamped
from heavylift.errors import UNREADABLE, InvalidArgument, InvalidJob, ScheduleChanging, ScheduleNotFound
from heavylift.job import JobSpec, new_id
from heavylift.redaction import redacted_json
from heavylift.request import Requests, said
from heavylift.schedule import AHEAD, Schedule, ScheduleRecord, Ticks, at, check_name
from heavylift.store.call import Call
from heavylift.store.jobs import NewSchedule, StoredSchedule
from heavylift.timetable import timetable

TRIES = 5
"""Times a schedule is looked at anew because it has been changed meanwhile."""


@dataclass(frozen=True, slots=True)
class Found:
    """A schedule, and Redis's time when it was read (ms)."""

    schedule: StoredSchedule
    now: int


class Scheduling:
    """Plans for schedules.

    Args:
        operations: the other plans, whose verbs and patience are used.
        requests: makes storable jobs.
    """

    def __init__(self, operations: Operations, requests: Requests) -> None:
        self._operations = operations
        self._requests = requests
        self._jobs = operations.jobs
        self._patience = operations.patience

    def schedule(
        self,
        name: str,
        spec: JobSpec[Any],
        rules: Schedule,
        start: datetime | None,
        end: datetime | None,
        options: Mapping[str, Any],
    ) -> Plan[ScheduleRecord]:
        """Write a schedule, or change it."""
        check_name(name)
        ticks = Ticks(timetable(rules.times), _moment("start", start), _moment("end", end))
        queue, job = self._requests.make_repeated(spec, said(options))
        page = yield from ask(self._jobs.schedules(queue, [name]), self._patience)
        first = ticks.after(page.now)
        if first is None:
            raise InvalidArgument("end", end, "leaves no tick to come")
        new = NewSchedule(
            name, msgspec.json.encode(ticks), job, rules.catch_up, not rules.overlap, next=first, rev=new_id()
        )
        yield from self._set(queue, self._jobs.schedule(queue, new))
        return _record((yield from self._find(name, queue)))

    def schedules(self, queue: str | None) -> Plan[list[ScheduleRecord]]:
        """All schedules, of a queue or of all, by queue and name; also those that cannot be read."""
        names = [check_queue(queue)] if queue is not None else (yield from self._operations.queues())
        found: list[Found] = []
        for name in names:
            offset = 0
            while True:
                page = yield from ask(self._jobs.schedules(name, offset=offset), self._patience)
                found += [Found(schedule, page.now) for schedule in page.schedules]
                offset += len(page.schedules)
                if not page.schedules:
                    break
        unique = {(one.schedule.queue, one.schedule.name): one for one in found}  # one may move between two pages
        return [_record(unique[place]) for place in sorted(unique)]

    def pause(self, name: str, queue: str | None) -> Plan[bool]:
        """Fire it no more. False if it was paused."""
        found = yield from self._find(name, queue)
        return (yield from ask(self._jobs.pause_schedule(found.schedule.queue, name), self._patience)) == 1

    def resume(self, name: str, queue: str | None) -> Plan[bool]:
        """Fire it again. False if it was not paused."""
        for _ in range(TRIES):
            found = yield from self._find(name, queue)
            place = found.schedule.queue
            following = _ticks(found.schedule).after(found.now)
            call = self._jobs.resume_schedule(place, name, found.schedule.text("rev"), following)
            answer = yield from self._set(place, call)
            if answer >= 0:
                return bool(answer)
        raise ScheduleChanging(name)

    def unschedule(self, name: str, queue: str | None) -> Plan[bool]:
        """Delete it. False if there is none."""
        try:
            found = yield from self._find(name, queue)
        except ScheduleNotFound:
            return False
        return (yield from ask(self._jobs.unschedule(found.schedule.queue, name), self._patience))

    def run(self, name: str, queue: str | None) -> Plan[Placed]:
        """Enqueue a job of it now, beside its ticks."""
        found = yield from self._find(name, queue)
        place = found.schedule.queue
        spec = stamped(found.schedule.fields.get("spec", b""), time.time_ns() // 1_000_000)
        job = found.schedule.job(f"{name}@run.{new_id()}", spec)
        answers = yield from self._operations.ask_naming([self._jobs.enqueue(place, [job], new_id())], [place])
        (placed,) = or_raise(answers[0])
        return Placed(place, placed.id, placed.duplicate)

    # --- inside -----------------------------------------------------------------------------------------------

    def _find(self, name: str, queue: str | None) -> Plan[Found]:
        """The schedule of a name.

        Raises:
            ScheduleNotFound: there is none.
            InvalidArgument: several queues have one, and it was not said which is meant.
        """
        check_name(name)
        names = [check_queue(queue)] if queue is not None else (yield from self._operations.queues())
        calls = [self._jobs.schedules(one, [name]) for one in names]
        pages = yield from ask_in_parts(calls, self._patience, AT_ONCE)
        found = [Found(schedule, page.now) for page in pages for schedule in page.schedules]
        if not found:
            raise ScheduleNotFound(f"there is no schedule {name}" + (f" in queue {queue}" if queue else ""))
        if len(found) > 1:
            queues = ", ".join(one.schedule.queue for one in found)
            raise InvalidArgument("queue", queue, f"say which: {queues} have a schedule {name}")
        return found[0]

    def _set(self, queue: str, call: Call[Any]) -> Plan[Any]:
        """The call's answer; then the workers are told, who would else look only after their `poll`."""
        answer = or_raise((yield from self._operations.ask_naming([call], [queue]))[0])
        workers = yield from ask(self._jobs.workers(), self._patience)
        for start in range(0, len(workers), AT_ONCE):
            some = workers[start : start + AT_ONCE]
            yield from ask_all([self._jobs.tell(worker.id, "schedules") for worker in some], self._patience)
        return answer


def _moment(name: str, value: datetime | None) -> int | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidArgument(name, value, "give a datetime with a time zone")
    return math.ceil(value.timestamp() * 1000)


def _ticks(schedule: StoredSchedule) -> Ticks:
    try:
        return msgspec.json.decode(schedule.fields.get("times", b""), type=Ticks)
    except (*UNREADABLE, InvalidArgument) as wrong:
        raise InvalidArgument("schedule", schedule.name, f"cannot be read ({wrong}); write it anew") from None


def _record(found: Found) -> ScheduleRecord:
    schedule = found.schedule
    try:
        ticks = _ticks(schedule)
    except InvalidArgument as wrong:
        return _said(schedule, None, (), str(wrong))
    coming = [] if schedule.tick is None else [schedule.tick, *ticks.ahead(schedule.tick, AHEAD - 1)]
    return _said(schedule, ticks, coming)


def _said(schedule: StoredSchedule, ticks: Ticks | None, coming: Iterable[int], unreadable: str = "") -> ScheduleRecord:
    try:
        envelope = decode_envelope(schedule.fields.get("spec", b""))
        args = msgspec.json.decode(redacted_json(envelope.args, envelope.secret))
    except (InvalidJob, *UNREADABLE):
        args = {}
    return ScheduleRecord(
        name=schedule.name,
        queue=schedule.queue,
        handler=schedule.text("handler"),
        times=None if ticks is None else ticks.times,
        args=args,
        catch_up="skip" if schedule.skips else "once",
        overlap=not schedule.alone,
        start=None if ticks is None or ticks.start is None else at(ticks.start),
        end=None if ticks is None or ticks.end is None else at(ticks.end),
        paused=schedule.text("paused") == "1",
        declared=bool(schedule.text("declared")),
        upcoming=tuple(at(tick) for tick in coming),
        last=schedule.text("last") or None,
        fired=schedule.number("fired"),
        skipped=schedule.number("skipped"),
        unreadable=unreadable,
    )

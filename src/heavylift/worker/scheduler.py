"""The scheduler: makes jobs of ticks, for the queues this worker serves.

Every worker has one, and none leads. A tick and its job are one write, which names the tick that was seen and does
nothing if another was faster: so there is one job for a tick however many workers look, and one that dies between
looking and writing leaves the tick to the others. The clock is Redis's, given with every look.

It writes what the handlers declare once in each epoch of a queue: see `Announcing` for why only then.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from heavylift.codec import stamped
from heavylift.errors import UNREADABLE, Busy, InvalidJob, StoreError, Unavailable
from heavylift.job import new_id
from heavylift.log import log
from heavylift.registry import Registry
from heavylift.request import Requests
from heavylift.schedule import Declared, Ticks, job_of, next_turn
from heavylift.service import Service
from heavylift.store.call import Call
from heavylift.store.jobs import Jobs, NewJob, NewSchedule, SchedulePage, StoredSchedule, Tick, batches
from heavylift.store.scheduling import AT_ONCE
from heavylift.worker.contact import Contact

_ticks = msgspec.json.Decoder(Ticks)


class Scheduler(Service):
    """See the module.

    Args:
        queues: those whose ticks are fired here.
        requests: makes the jobs of what handlers declare.
        poll: longest time between two looks, in seconds.
    """

    def __init__(
        self,
        jobs: Jobs,
        contact: Contact,
        registry: Registry,
        *,
        queues: Sequence[str],
        requests: Requests,
        poll: float,
        on_crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        super().__init__("scheduler", on_crash)
        self._jobs = jobs
        self._contact = contact
        self._registry = registry
        self._requests = requests
        self._poll = poll
        self._undeclared = deque(queues)
        self._refused: dict[str, str] = {}
        self._unreadable: set[str] = set()
        self._passed_over = dict.fromkeys(queues, 0)  # of what is due: so many that cannot be read
        self._some = threading.Event()

    def changed(self) -> None:
        """Schedules have changed: look at them now. From any thread."""
        self._some.set()

    wake = changed

    def declare(self, queue: str) -> None:
        """Redis has forgotten a queue: say again what its handlers declare. From any thread."""
        self._undeclared.append(queue)
        self._some.set()

    def run(self) -> None:
        """Fire what is due, then sleep until the next tick."""
        try:
            while not self.stopping.is_set():
                self._some.clear()
                try:
                    pause = self.round()
                except Unavailable:
                    pause = self._contact.pause()
                if not self.stopping.is_set():
                    self._some.wait(pause)
        finally:
            self._contact.close()

    def round(self) -> float:
        """Fire what is due. The loop calls it; so does who has no loop.

        Returns:
            seconds until the next look.

        Raises:
            Unavailable: Redis cannot be reached.
        """
        for _ in range(len(self._undeclared)):
            if not self._declare(self._undeclared[0]):
                self._undeclared.append(self._undeclared[0])
            self._undeclared.popleft()
        looks = [self._jobs.schedules(queue, due=True, offset=over) for queue, over in self._passed_over.items()]
        pages = dict(zip(self._passed_over, self._contact.round_trip(looks), strict=True))
        looked = {queue: page for queue, page in pages.items() if isinstance(page, SchedulePage)}
        calls = [call for queue, page in looked.items() for call in self._answers_to(queue, page)]
        if calls:
            refused = [reply for reply in self._contact.round_trip(calls) if isinstance(reply, StoreError)]
            if not refused:
                return 0.0
            log.warning("redis refused to fire schedules, trying again", error=str(refused[0]), calls=len(refused))
            self._passed_over = dict.fromkeys(self._passed_over, 0)
        elif any(self._passed_over[queue] for queue in looked):
            return 0.0  # what is due behind them
        waits = [page.first - page.now for page in looked.values() if page.first is not None and page.first > page.now]
        return min([self._poll, *(wait / 1000 + 0.001 for wait in waits)])

    # --- firing -----------------------------------------------------------------------------------------------

    def _answers_to(self, queue: str, page: SchedulePage) -> Iterator[Call[Any]]:
        """The calls that bring all that is due one tick further.

        What cannot be read stays due, the first of all: the next look passes over it, until one has found no more.
        """
        firing: list[NewJob] = []
        stuck = 0
        for schedule in page.schedules:
            try:
                job = self._turn(schedule, page.now)
            except (InvalidJob, *UNREADABLE, ValueError) as wrong:
                self._cannot_read(schedule, wrong)
                stuck += 1
                continue
            if isinstance(job, NewJob):
                firing.append(job)
            else:
                yield self._jobs.pass_tick(queue, job)
        self._passed_over[queue] = self._passed_over[queue] + stuck if stuck else 0
        yield from (self._jobs.enqueue(queue, some, new_id()) for some in batches(firing))

    def _turn(self, schedule: StoredSchedule, now: int) -> NewJob | Tick:
        """The job of a tick that has come, or the tick itself if it is to pass without one."""
        due = schedule.tick or now
        turn = next_turn(
            _ticks.decode(schedule.fields.get("times", b"")), due, now, "skip" if schedule.skips else "once"
        )
        tick = Tick(schedule.name, due, schedule.text("rev"), turn.next, schedule.alone)
        if turn.fire is None:
            return tick
        spec = stamped(schedule.fields.get("spec", b""), turn.fire)
        return schedule.job(job_of(schedule.name, turn.fire), spec, tick)

    def _cannot_read(self, schedule: StoredSchedule, wrong: Exception) -> None:
        if schedule.name not in self._unreadable:
            self._unreadable.add(schedule.name)
            log.error("cannot read a schedule", schedule=schedule.name, queue=schedule.queue, error=str(wrong))

    # --- declaring --------------------------------------------------------------------------------------------

    def _declare(self, queue: str) -> bool:
        """Bring a queue's schedules in line with what the handlers say. False if it is to be said again."""
        said = {one.name: one for one in self._registry.schedules.get(queue, ())}
        found = self._all(queue)
        if isinstance(found, StoreError):
            return self._was_said(queue, [found])
        now, there = found
        calls: list[Call[Any]] = [self._write(queue, one, now) for one in said.values()]
        calls += [self._jobs.register_queue(queue)] * bool(said)
        calls += [
            self._jobs.unschedule(queue, name, schedule.text("rev"))
            for name, schedule in there.items()
            if name not in said and schedule.text("declared") and self._registry.get(schedule.text("handler"))
        ]
        return self._was_said(queue, self._contact.round_trip(calls))

    def _was_said(self, queue: str, replies: Sequence[Any]) -> bool:
        """False if it is to be said again, at the next look."""
        refused = [reply for reply in replies if isinstance(reply, StoreError)]
        told = next((str(reply) for reply in refused if not isinstance(reply, Busy)), "")
        if told and told != self._refused.get(queue):
            log.warning("redis refused the schedules that handlers declare, trying again", queue=queue, error=told)
        self._refused[queue] = told
        return not refused

    def _write(self, queue: str, said: Declared, now: int) -> Call[bool]:
        handler = self._registry.get(said.handler)
        assert handler is not None
        _, job = self._requests.make_repeated(handler.job(**said.args))
        new = NewSchedule(
            name=said.name,
            times=msgspec.json.encode(said.ticks),
            job=job,
            catch_up=said.catch_up,
            alone=not said.overlap,
            next=said.ticks.after(now),
            rev=new_id(),
        )
        return self._jobs.schedule(queue, new, declared=True)

    def _all(self, queue: str) -> tuple[int, Mapping[str, StoredSchedule]] | StoreError:
        """Redis's time, and all schedules of a queue by name; or why they cannot be read now."""
        found: dict[str, StoredSchedule] = {}
        offset = 0
        while True:
            (page,) = self._contact.round_trip([self._jobs.schedules(queue, offset=offset, limit=AT_ONCE)])
            if isinstance(page, StoreError):
                return page
            found.update((schedule.name, schedule) for schedule in page.schedules)
            offset += len(page.schedules)
            if not page.schedules:
                return page.now, found

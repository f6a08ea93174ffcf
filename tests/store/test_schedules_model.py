"""Schedules against a small model: workers that look and fire in any order, die in between, and get lost replies.

Every tick becomes one job at most; every tick that was seen to pass became one, or was counted as left out.
"""

from __future__ import annotations

import hypothesis.strategies as st
import msgspec
from hypothesis.stateful import invariant, precondition, rule

from heavylift.schedule import Ticks, job_of, next_turn
from heavylift.store.jobs import Jobs, NewJob, NewSchedule, SchedulePage, Tick
from heavylift.store.scripts import Scripts
from heavylift.timetable import Every
from tests.servers import Server
from tests.store import machines

QUEUE = "q"
NAMES = st.sampled_from(["a", "b"])
WORKERS = st.sampled_from([0, 1, 2])
SPEC = b'{"handler":"h","args":{},"enqueued_at":0}'


class Machine(machines.StoreMachine):
    """Three workers, two schedules, and a clock that jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.offset = 0
        self.revision = 0
        self.seen: dict[int, SchedulePage] = {}
        self.jobs_made: set[str] = set()
        self.fired: dict[str, int] = {}

    @property
    def jobs(self) -> Jobs:
        return Jobs("heavylift", Scripts(self.offset))

    @rule(ms=st.integers(1, 40_000))
    def time_passes(self, ms: int) -> None:
        self.offset += ms

    @rule(name=NAMES, seconds=st.sampled_from([1, 7, 20]), alone=st.booleans(), skips=st.booleans())
    def someone_writes(self, name: str, seconds: int, alone: bool, skips: bool) -> None:
        now = self.connection.ask(self.jobs.schedules(QUEUE)).now
        ticks = Ticks(Every(seconds=seconds))
        self.revision += 1
        new = NewSchedule(
            name,
            msgspec.json.encode(ticks),
            NewJob("", SPEC, "h"),
            "skip" if skips else "once",
            alone,
            ticks.after(now),
            str(self.revision),
        )
        assert self.connection.ask(self.jobs.schedule(QUEUE, new)) is True

    @rule(name=NAMES)
    def someone_deletes(self, name: str) -> None:
        there = bool(self.connection.ask(self.jobs.schedules(QUEUE, [name])).schedules)
        assert self.connection.ask(self.jobs.unschedule(QUEUE, name)) is there

    @rule(name=NAMES)
    def someone_pauses(self, name: str) -> None:
        self.connection.ask(self.jobs.pause_schedule(QUEUE, name))
        for schedule in self.connection.ask(self.jobs.schedules(QUEUE, [name])).schedules:
            assert schedule.tick is None

    @rule(name=NAMES)
    def someone_resumes(self, name: str) -> None:
        page = self.connection.ask(self.jobs.schedules(QUEUE, [name]))
        for schedule in page.schedules:
            first = msgspec.json.decode(schedule.fields["times"], type=Ticks).after(page.now)
            self.connection.ask(self.jobs.resume_schedule(QUEUE, name, schedule.text("rev"), first))
            (after,) = self.connection.ask(self.jobs.schedules(QUEUE, [name])).schedules
            assert after.tick is not None

    @rule(worker=WORKERS)
    def a_worker_looks(self, worker: int) -> None:
        self.seen[worker] = self.connection.ask(self.jobs.schedules(QUEUE, due=True))

    @precondition(lambda self: self.seen)
    @rule(worker=WORKERS, again=st.booleans())
    def a_worker_fires_what_it_saw(self, worker: int, again: bool) -> None:
        """However long ago that was; `again` repeats the call, as one does whose reply was lost."""
        page = self.seen.pop(worker, None)
        for schedule in page.schedules if page else ():
            assert schedule.tick is not None
            ticks = msgspec.json.decode(schedule.fields["times"], type=Ticks)
            turn = next_turn(ticks, schedule.tick, page.now, "skip" if schedule.skips else "once")
            tick = Tick(schedule.name, schedule.tick, schedule.text("rev"), turn.next, schedule.alone)
            if turn.fire is None:
                self.connection.ask(self.jobs.pass_tick(QUEUE, tick))
                continue
            id = job_of(schedule.name, turn.fire)
            call = self.jobs.enqueue(QUEUE, [schedule.job(id, SPEC, tick)], f"n{self.revision}.{worker}.{id}")
            (placed,) = self.connection.ask(call)
            if again:
                (repeated,) = self.connection.ask(call)
                assert repeated.duplicate is placed.duplicate
            if not placed.duplicate:
                assert id not in self.jobs_made, "one tick, one job"
                self.jobs_made.add(id)

    @rule(worker=WORKERS)
    def a_worker_dies(self, worker: int) -> None:
        self.seen.pop(worker, None)

    @rule(place=st.integers(0, 99))
    def a_job_ends(self, place: int) -> None:
        """Which there are depends on how long the calls took, so what is drawn must not."""
        if self.jobs_made:
            self.connection.ask(self.jobs.cancel(QUEUE, sorted(self.jobs_made)[place % len(self.jobs_made)]))

    @invariant()
    def there_are_just_the_jobs_that_were_made(self) -> None:
        stored = {key.decode().partition(":job:")[2] for key in self.client.scan_iter("*:job:*", count=1000)}
        assert stored == self.jobs_made

    @invariant()
    def names_and_hashes_agree(self) -> None:
        names = {name.decode() for name in self.client.zrange("heavylift:{q}:schedules", 0, -1)}
        hashes = {key.decode().rpartition(":")[2] for key in self.client.scan_iter("*:schedule:*", count=1000)}
        assert names == hashes


def test_there_is_one_job_for_a_tick_whoever_fires_and_whoever_dies(server: Server) -> None:
    machines.run(Machine, server, steps=40)

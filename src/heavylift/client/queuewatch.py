"""Watching whole queues: everything their jobs do, from now on, until time is up. A plan.

What runs when the watch begins is told first, with its last progress. From then on every job that is seen is
remembered until it has ended, so that its end is told even if the message was lost: when listening begins again, all
that are open are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from heavylift.client.inbox import Heard, Mark
from heavylift.client.jobwatch import JobWatch
from heavylift.client.plan import Hear, Listen, Plan, Tell, ask_all
from heavylift.client.watching import Clock, JobKey, Watching, confirmed, decoded, note
from heavylift.errors import StoreError
from heavylift.event import Event
from heavylift.job import State
from heavylift.store.glance import glance
from heavylift.store.jobs import Jobs

REMEMBERED = 10_000
"""Jobs remembered as open; beyond that the ones seen first are forgotten, and their end is told only if heard."""

RUNNING = 100
"""Running jobs per queue told at the beginning."""


class QueueWatch:
    """Watches queues.

    Args:
        jobs: the store's verbs.
        pattern: the channels of their jobs, also of those of queues that do not exist yet.
        queues: asks which queues there are.
        clock: when to read, and when to stop.
        patience: seconds a read is tried again.
    """

    def __init__(
        self, jobs: Jobs, pattern: str, queues: Callable[[], Plan[Sequence[str]]], clock: Clock, patience: float
    ) -> None:
        self._jobs = jobs
        self._pattern = pattern
        self._queues = queues
        self._clock = clock
        self._patience = patience
        self._open: dict[JobKey, JobWatch] = {}
        self._watching = Watching(self._open, lambda key: glance(jobs.keys(key[0]), key[1]), clock, patience)

    def run(self) -> Plan[None]:
        """Tell until time is up."""
        known = yield from self._queues()
        box = yield Listen((), [self._pattern])
        try:
            heard = yield from confirmed(box, self._clock)
            yield from self._read(known)
            while not self._clock.up:
                for event in self._told(heard):
                    yield Tell(event)
                if Mark.LIVE in heard or not self._clock.live:
                    known = yield from self._queues_or(known)
                    yield from self._read(known)
                if self._clock.wait() == 0:
                    self._clock.has_read()
                heard = yield Hear(box, self._clock.wait())
                note(heard, self._clock)
        finally:
            box.close()

    def _queues_or(self, known: Sequence[str]) -> Plan[Sequence[str]]:
        """The queues there are; those that were known if it cannot be asked."""
        try:
            return (yield from self._queues())
        except StoreError:
            return known

    def _read(self, names: Sequence[str]) -> Plan[None]:
        """Tell what runs now, and what has become of what was open."""
        pages = yield from ask_all([self._jobs.page(name, State.ACTIVE, 0, RUNNING) for name in names], self._patience)
        for name, ids in zip(names, pages, strict=True):
            for id in ids if not isinstance(ids, StoreError) else ():
                self._remember((name, id))
        yield from self._watching.read(must=False)
        for key in [key for key, watch in self._open.items() if watch.ended]:
            del self._open[key]

    def _told(self, heard: Iterable[Heard]) -> list[Event]:
        told: list[Event] = []
        for item in heard:
            event = None if isinstance(item, Mark) else decoded(item)
            if event is not None:
                key = event.queue, event.job
                watch = self._remember(key)
                told += watch.heard(event)
                if watch.ended:
                    del self._open[key]
        return told

    def _remember(self, key: JobKey) -> JobWatch:
        watch = self._open.get(key)
        if watch is None:
            watch = self._open[key] = JobWatch(*key)
            watch.known = True  # somebody has seen it: if it is gone, it has ended
            if len(self._open) > REMEMBERED:
                del self._open[next(iter(self._open))]
        return watch

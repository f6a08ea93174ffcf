"""Watching whole queues: everything their jobs do, from now on, until time is up. A plan.

What runs when the watch begins is told first, with its last progress. What happens then is heard. Whenever messages
may have been lost, three things are read, so that no end is missing: the jobs that were seen and have not ended; those
that run; and those that ended since the last moment up to which everything is known, by Redis's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from heavylift.client.inbox import Heard, Mark
from heavylift.client.jobwatch import JobWatch
from heavylift.client.plan import Hear, Listen, Plan, Tell, ask_all
from heavylift.client.watching import Clock, JobKey, Watching, confirmed, decoded, note
from heavylift.errors import Busy, StoreError, Unavailable
from heavylift.event import Event, Kind
from heavylift.job import State
from heavylift.store.call import Call
from heavylift.store.glance import glance
from heavylift.store.jobs import Ended, Jobs

REMEMBERED = 10_000
"""Jobs remembered as open; beyond that the ones seen first are forgotten, and that one of them was removed before its
end is told only if heard. As many are remembered as ended, lest an end is told twice."""

PAGE = 100
"""Jobs of a queue in one state that are read together."""

ENDS = (State.COMPLETED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Part:
    """A page to be read: jobs that run, or that ended in one way at `since` or later."""

    queue: str
    state: State
    since: int = 0
    offset: int = 0
    count: int = PAGE

    def call(self, jobs: Jobs) -> Call[Any]:
        """Reads it."""
        if self.state is State.ACTIVE:
            return jobs.page(self.queue, self.state, self.offset, self.count)
        return jobs.ended(self.queue, self.state, self.since, self.offset, self.count)

    def following(self, page: Sequence[str] | Ended) -> Part | None:
        """The page behind it; None if this was the last. Of those that ended it begins where they do, as some of the
        earlier ones may be removed meanwhile."""
        ends = page.ends if isinstance(page, Ended) else page
        if len(ends) < PAGE:
            return None
        if not isinstance(page, Ended):
            return replace(self, offset=self.offset + len(ends))
        last = page.ends[-1][1]
        passed = sum(at == last for _, at in page.ends)
        return replace(self, since=last, offset=passed + (self.offset if last == self.since else 0))


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
        self._ended: dict[JobKey, int] = {}  # when (ms)
        self._first: frozenset[str] = frozenset()  # queues that were there when the watch began
        self._since: dict[str, int] = {}  # by queue: up to then everything is known (ms)
        self._behind = False  # a read has failed

    def run(self) -> Plan[None]:
        """Tell until time is up."""
        known = yield from self._queues()
        box = yield Listen((), [self._pattern])
        try:
            heard = yield from confirmed(box, self._clock)
            yield from self._begin(known)
            while not self._clock.up:
                for event in self._told(heard):
                    yield Tell(event)
                due = self._clock.wait() == 0
                if Mark.LIVE in heard or not self._clock.live or (self._behind and due):
                    known = yield from self._queues_or(known)
                    yield from self._catch_up(known)
                elif due:
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

    # --- reading ----------------------------------------------------------------------------------------------

    def _begin(self, names: Sequence[str]) -> Plan[None]:
        """Tell what runs now. Of what has ended only the time is asked for."""
        self._first = frozenset(names)
        yield from self._read([part for name in names for part in (_time(name), Part(name, State.ACTIVE))])

    def _catch_up(self, names: Sequence[str]) -> Plan[None]:
        """Tell what has become of what was open, what runs now, and what ended unheard."""
        yield from self._look(self._open)
        parts: list[Part] = []
        for name in names:
            parts.append(Part(name, State.ACTIVE))
            if name in self._since or name not in self._first:  # in a new queue everything is news
                parts += [Part(name, state, self._since.get(name, 0)) for state in ENDS]
            else:
                parts.append(_time(name))
        yield from self._read(parts)

    def _read(self, parts: Sequence[Part]) -> Plan[None]:
        """Read pages and those that follow, and tell of the jobs in them. All is known then up to the first answer."""
        known: dict[str, int] = {}
        failed: set[str] = set()
        while parts and not self._clock.up:
            pages = yield from ask_all([part.call(self._jobs) for part in parts], self._patience)
            following: list[Part | None] = []
            for part, page in zip(parts, pages, strict=True):
                if isinstance(page, (Unavailable, Busy)):
                    failed.add(part.queue)
                if isinstance(page, StoreError):
                    continue
                if isinstance(page, Ended):
                    known.setdefault(part.queue, page.now)
                yield from self._look(self._news(part.queue, page))
                following.append(part.following(page))
            parts = [part for part in following if part is not None]
        if not parts:
            self._since.update((name, now) for name, now in known.items() if name not in failed)
        self._behind = bool(failed)
        self._clock.has_read()

    def _news(self, queue: str, page: Sequence[str] | Ended) -> dict[JobKey, JobWatch]:
        """Jobs of a page of which nothing was told that is as new."""
        if isinstance(page, Ended):
            new = [id for id, at in page.ends if self._ended.get((queue, id), -1) < at]
        else:
            new = [id for id in page if (queue, id) not in self._open]
        return {(queue, id): self._open.get((queue, id)) or _watch((queue, id)) for id in new}

    def _look(self, watches: dict[JobKey, JobWatch]) -> Plan[None]:
        """Read jobs, and tell."""
        some = dict(watches)
        read = Watching(some, lambda key: glance(self._jobs.keys(key[0]), key[1]), self._clock, self._patience)
        yield from read.read(must=False)
        for key, watch in some.items():
            self._keep(key, watch)

    # --- hearing ----------------------------------------------------------------------------------------------

    def _told(self, heard: Iterable[Heard]) -> list[Event]:
        """What there is to tell of messages. What came before the first gap in them is known."""
        told: list[Event] = []
        gap = False
        for item in heard:
            gap = gap or item is Mark.LIVE
            event = None if isinstance(item, Mark) else decoded(item)
            if event is None:
                continue
            if not gap:
                self._since[event.queue] = max(event.at, self._since.get(event.queue, 0))
            key = event.queue, event.job
            if event.at > self._ended.get(key, -1) or event.event is Kind.REMOVED:
                watch = self._open.get(key) or _watch(key)
                told += watch.heard(event)
                self._keep(key, watch, event.at)
        return told

    def _keep(self, key: JobKey, watch: JobWatch, at: int = 0) -> None:
        """Remember a job as open, or when it has ended."""
        if watch.ended:
            self._open.pop(key, None)
            self._ended[key] = max(watch.since, at)
        else:
            self._ended.pop(key, None)
            self._open[key] = watch
        for kept in (self._open, self._ended):
            if len(kept) > REMEMBERED:
                del kept[next(iter(kept))]


def _time(queue: str) -> Part:
    """Asks for nothing but the time."""
    return Part(queue, State.COMPLETED, count=0)


def _watch(key: JobKey) -> JobWatch:
    watch = JobWatch(*key)
    watch.known = True  # somebody has seen it: if it is gone, it has ended
    return watch

"""How jobs are watched so that no end is missed, whatever is lost on the way. Plans.

Pub/sub is a hint, the job in Redis is the truth. So a watcher first listens, then reads the state, then streams; and
it reads again whenever something may have been lost: when its box says `LIVE` (listening has begun, or begun again),
when it has been quiet for a while, and before it believes in an end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

from heavylift.client.inbox import Heard, Mark
from heavylift.client.jobwatch import JobWatch
from heavylift.client.plan import Hear, Listen, Plan, Tell, ask_all, or_raise
from heavylift.errors import UNREADABLE, Busy, ClientClosed, Unavailable
from heavylift.event import Event, decode
from heavylift.job import JobRecord
from heavylift.store.call import Call

T = TypeVar("T")

JobKey: TypeAlias = tuple[str, str]
"""Queue and id."""

CONFIRM = 1.0
"""Longest wait, in seconds, until listening is confirmed; after that the state is read every so often instead."""

UNHEARD = 0.5
"""Pause between reads, in seconds, while nothing can be heard."""

READ_AT_ONCE = 100


class Clock:
    """When to stop, and when to read although nothing was heard. Monotonic seconds.

    Args:
        end: when time is up; None for never.
        reread: longest pause between two reads, in seconds.
    """

    def __init__(self, end: float | None, reread: float) -> None:
        self._end = end
        self._reread = reread
        self._live = False
        self._read_at = time.monotonic()

    @property
    def up(self) -> bool:
        """Time is up."""
        return self._end is not None and time.monotonic() >= self._end

    def has_read(self) -> None:
        """The state has just been read."""
        self._read_at = time.monotonic()

    @property
    def live(self) -> bool:
        """Whatever is published will be heard."""
        return self._live

    def mark(self, mark: Mark) -> None:
        """Take note of whether anything can be heard."""
        self._live = mark is Mark.LIVE

    def wait(self) -> float:
        """Seconds to listen until the next read or the end; 0 if either is due."""
        return self._until(self._read_at + (self._reread if self._live else min(self._reread, UNHEARD)))

    def wait_at_most(self, seconds: float) -> float:
        """Seconds to listen, the given ones unless time is up before."""
        return self._until(time.monotonic() + seconds)

    def _until(self, then: float) -> float:
        return max(0.0, (then if self._end is None else min(then, self._end)) - time.monotonic())


def listen_until(
    channels: Sequence[str], read: Callable[[], Plan[T | None]], reread: float, end: float | None
) -> Plan[T | None]:
    """Listen, then `read`, and again whenever there is news, until a read gives something but None.

    The answer of that read; None if time is up first.
    """
    clock = Clock(end, reread)
    box = yield Listen(channels)
    try:
        yield from confirmed(box, clock)
        while True:
            found = yield from read()
            clock.has_read()
            if found is not None or clock.up:
                return found
            news = False
            while not news and (wait := clock.wait()) > 0:
                heard: list[Heard] = yield Hear(box, wait)
                note(heard, clock)
                news = any(_is_news(item) for item in heard)
    finally:
        box.close()


class Watching:
    """Watches some jobs: tells what happens to them.

    Args:
        watches: the jobs, by queue and id.
        read: reads one of them.
        clock: when to read, and when to stop.
        patience: seconds a read is tried again.
    """

    def __init__(
        self,
        watches: dict[JobKey, JobWatch],
        read: Callable[[JobKey], Call[JobRecord | None]],
        clock: Clock,
        patience: float,
    ) -> None:
        self.watches = watches
        self._read = read
        self._clock = clock
        self._patience = patience

    def until_ended(self, channels: Sequence[str]) -> Plan[None]:
        """Tell until all jobs have ended, or time is up."""
        box = yield Listen(channels)
        try:
            heard = yield from confirmed(box, self._clock)
            yield from self.read(must=True)
            while True:
                lost = yield from self.tell(heard)
                if lost or (not heard and self._clock.wait() == 0):
                    yield from self.read(must=False)
                if self._clock.up or all(watch.ended for watch in self.watches.values()):
                    return
                heard = yield Hear(box, self._clock.wait())
                note(heard, self._clock)
        finally:
            box.close()

    def tell(self, heard: Iterable[Heard]) -> Plan[bool]:
        """Tell what was heard. True if something may have been lost before: then the jobs must be read."""
        lost = False
        for item in heard:
            if isinstance(item, Mark):
                lost = lost or item is Mark.LIVE
                continue
            event = decoded(item)
            watch = None if event is None else self.watches.get((event.queue, event.job))
            for told in watch.heard(event) if watch and event else ():
                yield Tell(told)
        return lost

    def read(self, *, must: bool) -> Plan[None]:
        """Read the jobs that have not ended. Unless it `must`, one that cannot be read now is left to the next read."""
        open_ones = [watch for watch in self.watches.values() if not watch.ended]
        for start in range(0, len(open_ones), READ_AT_ONCE):
            some = open_ones[start : start + READ_AT_ONCE]
            records = yield from ask_all([self._read((watch.queue, watch.id)) for watch in some], self._patience)
            for watch, record in zip(some, records, strict=True):
                if not must and isinstance(record, (Unavailable, Busy)):
                    continue
                for told in watch.read(or_raise(record)):
                    yield Tell(told)
        self._clock.has_read()


def confirmed(box: Any, clock: Clock) -> Plan[list[Heard]]:
    """Wait until listening is confirmed, not for ever; what was heard by then."""
    got: list[Heard] = []
    give_up = time.monotonic() + CONFIRM
    while not any(isinstance(item, Mark) for item in got):
        wait = clock.wait_at_most(give_up - time.monotonic())
        if wait == 0:
            break
        got += yield Hear(box, wait)
    note(got, clock)
    return [item for item in got if not isinstance(item, Mark)]


def note(heard: Iterable[Heard], clock: Clock) -> None:
    """Have the clock know whether anything can be heard.

    Raises:
        ClientClosed: nothing ever will be.
    """
    for item in heard:
        if item is Mark.CLOSED:
            raise ClientClosed
        if isinstance(item, Mark):
            clock.mark(item)


def _is_news(item: Heard) -> bool:
    """True if whoever waits for the end of a job should read it now."""
    if isinstance(item, Mark):
        return item is Mark.LIVE
    event = decoded(item)
    return event is not None and event.event.final


def decoded(message: bytes) -> Event | None:
    """The event, if it is one: newer versions and strangers may say what we do not know."""
    try:
        return decode(message)
    except UNREADABLE:
        return None

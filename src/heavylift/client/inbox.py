"""What a listener has heard for one watcher, until the watcher takes it. One kind for threads, one for event loops.

A box is bounded. A watcher too slow for what it watches does not get everything: its box is emptied and says `LIVE`
again, and the watcher reads the state, which is the truth anyway.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

LIMIT = 10_000
"""Messages one box holds."""


class Mark(Enum):
    """What a box says beside messages.

    `LIVE`: from here on everything is heard, so read the state now. `LOST`: nothing is heard until it is `LIVE` again.
    `CLOSED`: nothing will be heard any more.
    """

    LIVE = "live"
    LOST = "lost"
    CLOSED = "closed"


Heard: TypeAlias = bytes | Mark


class Inbox:
    """The part both kinds share: what is in the box, and leaving.

    Attributes:
        name: nothing else is this object; it outlives the box with whoever has noted it.
    """

    def __init__(self, leave: Callable[[Inbox], None]) -> None:
        self.name = object()
        self._leave = leave
        self._heard: deque[Heard] = deque()

    def put(self, heard: Heard) -> None:
        """Put something in. From the listener's thread."""
        raise NotImplementedError

    def close(self) -> None:
        """Hear no more. Waits for nothing: the collector may call it in any thread, whatever that is at."""
        self._leave(self)

    def _add(self, heard: Heard) -> None:
        if len(self._heard) >= LIMIT:
            self._heard.clear()
            self._heard.append(Mark.LIVE)
        self._heard.append(heard)

    def _all(self) -> list[Heard]:
        found = list(self._heard)
        self._heard.clear()
        return found


class ThreadInbox(Inbox):
    """A box that a thread waits on."""

    def __init__(self, leave: Callable[[Inbox], None]) -> None:
        super().__init__(leave)
        self._some = threading.Condition()

    def put(self, heard: Heard) -> None:
        """Put something in. From the listener's thread."""
        with self._some:
            self._add(heard)
            self._some.notify()

    def take(self, seconds: float) -> list[Heard]:
        """All there is; waits up to `seconds` for the first."""
        with self._some:
            if not self._heard:
                self._some.wait(max(0.0, seconds))
            return self._all()


class LoopInbox(Inbox):
    """A box that a coroutine waits on. Made on the loop that will take from it."""

    def __init__(self, leave: Callable[[Inbox], None]) -> None:
        super().__init__(leave)
        self._loop = asyncio.get_running_loop()
        self._guard = threading.Lock()
        self._some = asyncio.Event()

    def put(self, heard: Heard) -> None:
        """Put something in. From the listener's thread."""
        with self._guard:
            first = not self._heard
            self._add(heard)
        if first:
            try:
                self._loop.call_soon_threadsafe(self._some.set)
            except RuntimeError:  # the loop has ended, and with it whoever watched
                self.close()

    async def take(self, seconds: float) -> list[Heard]:
        """All there is; waits up to `seconds` for the first."""
        if not self._heard:
            try:
                async with asyncio.timeout(max(0.0, seconds)):
                    await self._some.wait()
            except TimeoutError:
                pass
        self._some.clear()
        with self._guard:
            return self._all()

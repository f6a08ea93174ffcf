"""The dispatcher's ear: one wait for everything that may concern it.

It waits on the worker's pub/sub channel (wake-ups from producers, cancel requests) and on a descriptor that
other threads of this worker write to (a place is free, an outcome is in), in one `select`. Both are hints:
whatever is lost is made up for by the dispatcher's fallback poll.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

from heavylift.errors import StoreError
from heavylift.log import log
from heavylift.nudge import Nudge
from heavylift.store.channel import Channel

RETRY_AFTER = 1.0


class Mailbox:
    """Waits for messages and nudges. All but `nudge` belongs to the dispatcher's thread."""

    def __init__(self, open_channel: Callable[[], Channel]) -> None:
        """`open_channel` connects and subscribes; raises a `StoreError` if it cannot."""
        self._open_channel = open_channel
        self._channel: Channel | None = None
        self._descriptor = -1  # the channel's; kept because a channel that has failed gives a new one
        self._retry_at = 0.0
        self._down = False
        self._nudge = Nudge()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._nudge, selectors.EVENT_READ)

    def nudge(self) -> None:
        """Make `wait` return. From any thread."""
        self._nudge.set()

    def wait(self, timeout: float) -> list[bytes]:
        """Messages that came in, after at most `timeout` seconds; empty if it was only a nudge.

        A nudge that was given before the call makes it return at once: clear, then look, then wait.
        """
        ready = [key.fd for key, _ in self._selector.select(timeout)]
        if self._nudge.fileno() in ready:
            self._nudge.clear()
        return self._read() if timeout > 0 or self._descriptor in ready else []

    @property
    def connected(self) -> bool:
        """False while wake-ups cannot arrive."""
        return self._channel is not None

    def close(self) -> None:
        """Close the channel and the descriptors."""
        self._drop()
        self._selector.close()
        self._nudge.close()

    def open(self) -> bool:
        """Connect if it is not; True if it just did, and so may have missed what was said before."""
        if self._channel is not None or time.monotonic() < self._retry_at:
            return False
        try:
            self._channel = self._open_channel()
        except StoreError as lost:
            self._retry_at = time.monotonic() + RETRY_AFTER
            if not self._down:
                self._down = True
                log.warning("no wake-ups: cannot subscribe; polling meanwhile", error=str(lost))
            return False
        self._descriptor = self._channel.fileno()
        self._selector.register(self._descriptor, selectors.EVENT_READ)
        if self._down:
            self._down = False
            log.info("wake-ups are back")
        return True

    def _read(self) -> list[bytes]:
        """What has come in; also when nothing has, for the channel notices here that its other end is gone."""
        if self._channel is None:
            return []
        try:
            return [message for _, message in self._channel.read()]
        except StoreError:
            self._drop()
            return []

    def _drop(self) -> None:
        if self._channel is not None:
            self._selector.unregister(self._descriptor)
            self._channel.close()
            self._channel = None

"""One subscribed connection for all that a client waits for, and the thread that reads it.

A thousand threads or tasks may wait for results: they share this one connection. It is made when somebody first
listens and given up a while after the last has left. Messages are hints and may be lost with the connection: every
box is then told `LOST`, and `LIVE` as soon as everything it listens to is confirmed again. A watcher that reads the
state whenever it is told `LIVE` has missed nothing.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Sequence
from random import random

from heavylift.client.inbox import Inbox, Mark
from heavylift.errors import StoreError
from heavylift.nudge import Nudge
from heavylift.store.channel import Channel

LINGER = 10.0
"""Seconds the connection is kept once nobody listens."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
GLANCE = 5.0
"""Longest wait, so that a dead connection is noticed."""


class Listener:
    """Boxes by what they listen to. Any thread may `join` and `leave`; the listener's own does the rest.

    Args:
        open_channel: makes a channel; it connects when first used.
    """

    def __init__(self, open_channel: Callable[[], Channel]) -> None:
        self._open_channel = open_channel
        self._guard = threading.Lock()
        # Guarded:
        self._boxes: dict[str, set[Inbox]] = {}  # by channel, or by pattern
        self._joined: dict[Inbox, Sequence[str]] = {}  # what each listens to
        self._patterns: set[str] = set()
        self._changes: list[tuple[str, list[str]] | Inbox] = []
        self._thread: threading.Thread | None = None
        self._nudge: Nudge | None = None
        self._closed = False
        # The thread's own:
        self._unconfirmed: list[tuple[int, Inbox]] = []

    def join(self, box: Inbox, channels: Sequence[str], patterns: Sequence[str]) -> None:
        """Put into `box` what is said on channels and patterns; `LIVE` comes once all of it is in force."""
        with self._guard:
            if self._closed:
                box.put(Mark.CLOSED)
                return
            self._change("SUBSCRIBE", [name for name in channels if self._add(name, box)])
            self._change("PSUBSCRIBE", [name for name in patterns if self._add(name, box)])
            self._patterns.update(patterns)
            self._joined[box] = [*self._joined.get(box, ()), *channels, *patterns]
            self._changes.append(box)
            self._wake()

    def leave(self, box: Inbox) -> None:
        """Forget a box. Does nothing for one that is not there."""
        with self._guard:
            gone = []
            for name in self._joined.pop(box, ()):
                self._boxes[name].discard(box)
                if not self._boxes[name]:
                    del self._boxes[name]
                    gone.append(name)
            patterns = [name for name in gone if name in self._patterns]
            self._patterns.difference_update(patterns)
            self._change("UNSUBSCRIBE", [name for name in gone if name not in patterns])
            self._change("PUNSUBSCRIBE", patterns)
            if gone:
                self._wake()

    def close(self) -> None:
        """End the thread and the connection; every box is told."""
        with self._guard:
            self._closed = True
            boxes = list(self._joined)
            thread = self._thread
            if self._nudge is not None:
                self._nudge.set()
        for box in boxes:
            box.put(Mark.CLOSED)
        if thread is not None and thread is not threading.current_thread():
            thread.join(5.0)

    # --- any thread, guarded --------------------------------------------------------------------------

    def _add(self, name: str, box: Inbox) -> bool:
        """True if nobody has listened to this before."""
        boxes = self._boxes.setdefault(name, set())
        boxes.add(box)
        return len(boxes) == 1

    def _change(self, word: str, names: list[str]) -> None:
        if names:
            self._changes.append((word, names))

    def _wake(self) -> None:
        if self._thread is None:
            self._nudge = Nudge()
            self._thread = threading.Thread(
                target=self._run, args=(self._nudge,), name="heavylift-listener", daemon=True
            )
            self._thread.start()
        elif self._nudge is not None:
            self._nudge.set()

    # --- the thread -----------------------------------------------------------------------------------

    def _run(self, nudge: Nudge) -> None:
        channel: Channel | None = None
        failures, quiet_since = 0, None
        try:
            while True:
                now = time.monotonic()
                with self._guard:
                    quiet_since = (quiet_since or now) if not self._boxes else None
                    if self._closed or (quiet_since and now - quiet_since >= LINGER):
                        return
                try:
                    if channel is None:
                        channel = self._connect()
                    else:
                        self._apply(channel)
                    self._hear(channel, nudge)
                    failures = 0
                except Exception as wrong:  # lost, or refused: watchers go on reading the state meanwhile
                    if not isinstance(wrong, StoreError):
                        _say(wrong)
                    self._lost(channel)
                    channel = None
                    failures += 1
                    _wait([nudge], min(FIRST_PAUSE * 2.0 ** min(failures, 10), LONGEST_PAUSE) * (0.5 + random() / 2))
                    nudge.clear()
        finally:
            if channel is not None:
                channel.close()
            self._ended(nudge)

    def _connect(self) -> Channel:
        """A new channel that listens to all that is wanted."""
        channel = self._open_channel()
        with self._guard:
            names = [name for name in self._boxes if name not in self._patterns]
            patterns = list(self._patterns)
            boxes = list(self._joined)
            self._changes.clear()
        try:
            channel.connect()
            channel.subscribe(names)
            channel.psubscribe(patterns)
        except BaseException:
            channel.close()
            raise
        self._unconfirmed = [(channel.asked, box) for box in boxes]
        return channel

    def _apply(self, channel: Channel) -> None:
        with self._guard:
            changes, self._changes = self._changes, []
        words = {
            "SUBSCRIBE": channel.subscribe,
            "PSUBSCRIBE": channel.psubscribe,
            "UNSUBSCRIBE": channel.unsubscribe,
            "PUNSUBSCRIBE": channel.punsubscribe,
        }
        for change in changes:
            if isinstance(change, Inbox):
                self._unconfirmed.append((channel.asked, change))
            else:
                words[change[0]](change[1])

    def _hear(self, channel: Channel, nudge: Nudge) -> None:
        some_confirmed = self._unconfirmed and self._unconfirmed[0][0] <= channel.confirmed
        _wait([channel, nudge], 0 if some_confirmed else GLANCE)
        nudge.clear()
        for name, message in channel.read():
            self._deliver(name, message)
        while self._unconfirmed and self._unconfirmed[0][0] <= channel.confirmed:
            self._unconfirmed.pop(0)[1].put(Mark.LIVE)

    def _deliver(self, name: str, message: bytes) -> None:
        with self._guard:
            boxes = set(self._boxes.get(name, ()))
        for box in boxes:
            box.put(message)

    def _lost(self, channel: Channel | None) -> None:
        if channel is not None:
            channel.close()
        self._unconfirmed = []
        with self._guard:
            boxes = list(self._joined)
        for box in boxes:
            box.put(Mark.LOST)

    def _ended(self, nudge: Nudge) -> None:
        """Nobody sets the nudge from here on; somebody who listens now gets a new thread."""
        with self._guard:
            self._thread = self._nudge = None
            nudge.close()
            if self._boxes and not self._closed:
                self._wake()


def _wait(readers: Sequence[Channel | Nudge], seconds: float) -> None:
    poll = select.poll()
    for reader in readers:
        poll.register(reader.fileno(), select.POLLIN)
    poll.poll(seconds * 1000)


def _say(defect: Exception) -> None:
    """Report what should not have happened; nobody waits for this thread who could be told."""
    import structlog  # here: a producer that never needs it does not load it

    structlog.get_logger("heavylift").exception("the listener met a defect and begins anew", exc_info=defect)

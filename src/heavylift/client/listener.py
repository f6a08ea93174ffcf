"""One subscribed connection for all that a client waits for, and the thread that reads it.

A thousand threads or tasks may wait for results: they share this one connection. It is made when somebody first
listens and given up a while after the last has left. Messages are hints and may be lost with the connection: every
box is then told `LOST`, and `LIVE` as soon as everything it listens to is confirmed again. A watcher that reads the
state whenever it is told `LIVE` has missed nothing.

Who joins or leaves only says so, in one step that nothing can strike in the middle of: neither a `Stop` in the thread
of a handler, nor the collector, which closes abandoned watches in whatever thread it runs. The listener's thread does
the rest. It holds no box: one that nobody watches any more has left.
"""

from __future__ import annotations

import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import random

from heavylift.client.inbox import Heard, Inbox, Mark
from heavylift.errors import StoreError
from heavylift.nudge import Nudge
from heavylift.store.channel import Channel

LINGER = 10.0
"""Seconds the connection is kept once nobody listens."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
GLANCE = 5.0
"""Longest wait, so that a dead connection is noticed."""


class _Ref(weakref.ref[Inbox]):
    """A box that may be gone; its name stays."""

    __slots__ = ("name",)
    name: object


@dataclass(frozen=True, slots=True)
class _Join:
    """A box wants to listen."""

    box: _Ref
    channels: Sequence[str]
    patterns: Sequence[str]


class Listener:
    """Boxes by what they listen to. Any thread may `join` and `leave`; the listener's own does the rest.

    Args:
        open_channel: makes a channel; it connects when first used.
    """

    def __init__(self, open_channel: Callable[[], Channel]) -> None:
        self._open_channel = open_channel
        self._orders: deque[_Join | _Ref | object] = (
            deque()
        )  # who joins, boxes that are gone, names of those that leave
        self._guard = threading.Lock()
        # Guarded:
        self._thread: threading.Thread | None = None
        self._nudge: Nudge | None = None
        self._closed = False
        # The thread's own:
        self._boxes: dict[object, _Ref] = {}
        self._listening: dict[str, set[object]] = {}  # which boxes, by channel or pattern
        self._joined: dict[object, list[str]] = {}  # what each listens to
        self._patterns: set[str] = set()
        self._changes: list[tuple[str, list[str]] | object] = []
        self._unconfirmed: list[tuple[int, object]] = []

    def join(self, box: Inbox, channels: Sequence[str], patterns: Sequence[str]) -> None:
        """Put into `box` what is said on channels and patterns; `LIVE` comes once all of it is in force."""
        ref = _Ref(box, self._orders.append)  # not a function of ours: a `Stop` that strikes in one is swallowed
        ref.name = box.name
        self._orders.append(_Join(ref, channels, patterns))
        with self._guard:
            if self._closed:
                box.put(Mark.CLOSED)
            else:
                self._wake()

    def leave(self, box: Inbox) -> None:
        """Forget a box, the next time the thread looks. Does nothing for one that is not there."""
        self._orders.append(box.name)

    def close(self) -> None:
        """End the thread and the connection; every box is told."""
        with self._guard:
            self._closed = True
            boxes = list(self._boxes.values())
            thread = self._thread
            if self._nudge is not None:
                self._nudge.set()
        for box in boxes:
            if there := box():
                there.put(Mark.CLOSED)
        if thread is not None and thread is not threading.current_thread():
            thread.join(5.0)

    def _wake(self) -> None:
        """Have the thread look; guarded. One that was never started, because its starter was stopped, is replaced."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="heavylift-listener", daemon=True)
            self._thread.start()
        elif self._nudge is not None:
            self._nudge.set()

    # --- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        channel: Channel | None = None
        failures, quiet_since = 0, None
        nudge = Nudge()
        try:
            while True:
                now = time.monotonic()
                with self._guard:
                    if self._closed or self._thread is not threading.current_thread():
                        return
                    self._nudge = nudge
                    self._take_orders()
                quiet_since = (quiet_since or now) if not self._boxes else None
                if quiet_since and now - quiet_since >= LINGER:
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

    def _take_orders(self) -> None:
        while self._orders:
            order = self._orders.popleft()
            if isinstance(order, _Join):
                self._admit(order)
            else:
                self._see_off(order.name if isinstance(order, _Ref) else order)

    def _admit(self, order: _Join) -> None:
        if order.box() is None:
            return
        box = order.box.name
        self._boxes.setdefault(box, order.box)
        self._change("SUBSCRIBE", [name for name in order.channels if self._add(name, box)])
        self._change("PSUBSCRIBE", [name for name in order.patterns if self._add(name, box)])
        self._patterns.update(order.patterns)
        self._joined.setdefault(box, []).extend((*order.channels, *order.patterns))
        self._changes.append(box)

    def _see_off(self, box: object) -> None:
        self._boxes.pop(box, None)
        gone = []
        for name in self._joined.pop(box, ()):
            self._listening[name].discard(box)
            if not self._listening[name]:
                del self._listening[name]
                gone.append(name)
        patterns = [name for name in gone if name in self._patterns]
        self._patterns.difference_update(patterns)
        self._change("UNSUBSCRIBE", [name for name in gone if name not in patterns])
        self._change("PUNSUBSCRIBE", patterns)

    def _add(self, name: str, box: object) -> bool:
        """True if nobody has listened to this before."""
        boxes = self._listening.setdefault(name, set())
        boxes.add(box)
        return len(boxes) == 1

    def _change(self, word: str, names: list[str]) -> None:
        if names:
            self._changes.append((word, names))

    def _connect(self) -> Channel:
        """A new channel that listens to all that is wanted."""
        channel = self._open_channel()
        self._changes.clear()
        try:
            channel.connect()
            channel.subscribe([name for name in self._listening if name not in self._patterns])
            channel.psubscribe(self._patterns)
        except BaseException:
            channel.close()
            raise
        self._unconfirmed = [(channel.asked, name) for name in self._boxes]
        return channel

    def _apply(self, channel: Channel) -> None:
        changes, self._changes = self._changes, []
        words = {
            "SUBSCRIBE": channel.subscribe,
            "PSUBSCRIBE": channel.psubscribe,
            "UNSUBSCRIBE": channel.unsubscribe,
            "PUNSUBSCRIBE": channel.punsubscribe,
        }
        for change in changes:
            if isinstance(change, tuple):
                words[change[0]](change[1])
            else:
                self._unconfirmed.append((channel.asked, change))

    def _hear(self, channel: Channel, nudge: Nudge) -> None:
        some_confirmed = self._unconfirmed and self._unconfirmed[0][0] <= channel.confirmed
        _wait([channel, nudge], 0 if some_confirmed else GLANCE)
        nudge.clear()
        for name, message in channel.read():
            self._deliver(name, message)
        while self._unconfirmed and self._unconfirmed[0][0] <= channel.confirmed:
            self._tell([self._unconfirmed.pop(0)[1]], Mark.LIVE)

    def _deliver(self, name: str, message: bytes) -> None:
        self._tell(self._listening.get(name, ()), message)

    def _lost(self, channel: Channel | None) -> None:
        if channel is not None:
            channel.close()
        self._unconfirmed = []
        self._tell(self._boxes, Mark.LOST)

    def _tell(self, names: Iterable[object], heard: Heard) -> None:
        for name in names:
            if (box := self._boxes.get(name)) and (there := box()):
                there.put(heard)

    def _ended(self, nudge: Nudge) -> None:
        """Nobody sets the nudge from here on; somebody who listens now gets a new thread."""
        with self._guard:
            nudge.close()
            if self._thread is not threading.current_thread():
                return
            self._thread = self._nudge = None
            if not self._closed:
                self._take_orders()
                if self._boxes:
                    self._wake()
            late = [order.box for order in self._orders if isinstance(order, _Join)]
        for box in late:
            if there := box():
                there.put(Mark.CLOSED)


def _wait(readers: Sequence[Channel | Nudge], seconds: float) -> None:
    poll = select.poll()
    for reader in readers:
        poll.register(reader.fileno(), select.POLLIN)
    poll.poll(seconds * 1000)


def _say(defect: Exception) -> None:
    """Report what should not have happened; nobody waits for this thread who could be told."""
    from heavylift.log import log  # here: a producer that never needs it does not load structlog

    log.exception("the listener met a defect and begins anew", exc_info=defect)

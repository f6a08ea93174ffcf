"""Listening to what the scripts publish: events of jobs, and messages to a worker.

Messages are hints and may be lost with the connection. Whoever owns a channel reconnects and then reads the truth.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from heavylift.errors import Unavailable
from heavylift.store.link import NOT_YET, Link, pack
from heavylift.store.link import reader as new_reader
from heavylift.store.refusals import Refusal, explain
from heavylift.store.slots import Slots
from heavylift.store.target import Target

PING_AFTER = 15.0
"""Silent for this long (seconds), the channel asks whether the other end is still there."""


class Channel:
    """A subscribed connection for one thread: select on `fileno`, then `read`.

    Args:
        target: where. In a Cluster any node will do: PUBLISH reaches all.
        name: as for `Connection`.
        ping_after: seconds of silence before it asks; as many again without an answer mean it is gone.

    Attributes:
        asked, confirmed: subscriptions and their ends asked for on this connection, and those Redis has confirmed. What
            was asked for when `asked` was n is in force once `confirmed` has reached n: then read the state.
    """

    def __init__(self, target: Target, *, name: str = "channel", ping_after: float = PING_AFTER) -> None:
        self.target = target
        self._link = Link(target.at(target.nodes[0]) if target.cluster else target, name)
        self._candidates = Slots(target.nodes).candidates() if target.cluster else []
        self._name = name
        self._reader = new_reader()
        self._ping_after = ping_after
        self._heard = time.monotonic()
        self._asked = False
        self.asked = self.confirmed = 0

    def connect(self) -> None:
        """Connect now.

        Raises:
            Unavailable, PermissionMissing: as `Connection`.
        """
        if self._link.is_open:
            return
        for node in self._candidates[:-1]:
            self._link = Link(self.target.at(node), self._name)
            try:
                self._opened()
            except Unavailable:
                continue
            return
        if self._candidates:
            self._link = Link(self.target.at(self._candidates[-1]), self._name)
        self._opened()

    def _opened(self) -> None:
        self._link.open().settimeout(self.target.command_timeout)
        self._reader = new_reader()
        self._heard, self._asked = time.monotonic(), False
        self.asked = self.confirmed = 0

    def subscribe(self, names: Iterable[str]) -> None:
        """Listen to channels by name: to all that is published once this is `confirmed`."""
        self._tell("SUBSCRIBE", list(names))

    def psubscribe(self, patterns: Iterable[str]) -> None:
        """Listen to channels by pattern."""
        self._tell("PSUBSCRIBE", list(patterns))

    def unsubscribe(self, names: Iterable[str]) -> None:
        """Stop listening to channels by name."""
        self._tell("UNSUBSCRIBE", list(names))

    def punsubscribe(self, patterns: Iterable[str]) -> None:
        """Stop listening to patterns."""
        self._tell("PUNSUBSCRIBE", list(patterns))

    def fileno(self) -> int:
        """For select. Readable means: `read`. Connects if it must."""
        self.connect()
        return self._link.open().fileno()

    def read(self) -> list[tuple[str, bytes]]:
        """What has arrived, pairs of the name or pattern it came by and the message; empty if nothing. Never waits.

        What several subscriptions fit comes once by each.

        Also notices a dead connection: call it at least every few seconds, readable or not.

        Raises:
            Unavailable: the connection is gone, and with it the subscriptions.
            StoreError: a subscription was refused.
        """
        self.connect()
        messages: list[tuple[str, bytes]] = []
        self._drain()
        while (reply := self._next()) is not NOT_YET:
            if message := self._message(reply):
                messages.append(message)
        self._check()
        return messages

    def close(self) -> None:
        """Drop the socket and all subscriptions."""
        self._link.close()

    def _tell(self, word: str, names: list[str]) -> None:
        if not names:
            return
        self.connect()
        wire = self._link.open()
        try:
            wire.settimeout(self.target.command_timeout)
            wire.sendall(pack(((word, *names),)))
        except OSError as wrong:
            raise self._failed(str(wrong)) from None
        self.asked += len(names)

    def _drain(self) -> None:
        wire = self._link.open()
        try:
            wire.setblocking(False)
            while True:
                chunk = wire.recv(1 << 16)
                if not chunk:
                    raise self._failed("the server closed the connection")
                self._reader.feed(chunk)
                self._heard, self._asked = time.monotonic(), False
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as wrong:
            if type(wrong).__name__ in ("SSLWantReadError", "SSLWantWriteError"):
                return
            if isinstance(wrong, Unavailable):
                raise
            raise self._failed(str(wrong)) from None

    def _next(self) -> Any:
        try:
            return self._reader.gets()
        except Refusal as broken:
            raise self._failed(str(broken)) from None

    def _message(self, reply: Any) -> tuple[str, bytes] | None:
        if isinstance(reply, Refusal):
            raise explain(reply)
        if isinstance(reply, list) and reply[0] == b"message":
            return reply[1].decode(), reply[2]
        if isinstance(reply, list) and reply[0] == b"pmessage":
            return reply[1].decode(), reply[3]
        if isinstance(reply, list) and reply[0] != b"pong":
            self.confirmed += 1
        return None  # a confirmation, or the answer to a ping

    def _check(self) -> None:
        silent = time.monotonic() - self._heard
        if silent > 2 * self._ping_after:
            raise self._failed("no answer to a ping")
        if silent > self._ping_after and not self._asked:
            self._asked = True
            wire = self._link.open()
            try:
                wire.settimeout(self.target.command_timeout)
                wire.sendall(pack((("PING",),)))
            except OSError as wrong:
                raise self._failed(str(wrong)) from None

    def _failed(self, said: str) -> Unavailable:
        self._link.close()
        return Unavailable(f"{self.target}: {said}")

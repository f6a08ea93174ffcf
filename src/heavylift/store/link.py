"""One socket to one node: commands out, replies in. redis-py dials and greets; the traffic is ours.

Its own reading and retrying differ from version to version and can run a command twice, so after the greeting
only its socket is used, with hiredis to pack and parse.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

import hiredis

from heavylift.errors import Unavailable
from heavylift.store.call import Arg
from heavylift.store.refusals import Refusal
from heavylift.store.rights import Rights
from heavylift.store.target import Target

_READ = 1 << 16


def reader() -> hiredis.Reader:
    """A parser that gives error replies as `Refusal` values."""
    return hiredis.Reader(replyError=Refusal, protocolError=Refusal, notEnoughData=NOT_YET)


class _NotYet:
    """No whole reply has arrived."""


NOT_YET = _NotYet()


def pack(commands: Sequence[Sequence[Arg]]) -> bytes:
    """Commands as they go over the wire."""
    return b"".join([hiredis.pack_command(command) for command in commands])  # type: ignore[arg-type]


class Link:
    """A connection that is made when it is needed and dropped when it fails. Owned by one thread at a time."""

    def __init__(self, target: Target, name: str) -> None:
        self.target = target
        self.rights = Rights()
        self.told: dict[tuple[Arg, ...], Any] = {}
        self._name = name
        self._dialled: Any = None
        self._socket: socket.socket | None = None
        self._reader = reader()

    @property
    def is_open(self) -> bool:
        """True if it has a socket; the other end may be gone all the same."""
        return self._socket is not None

    def open(self) -> socket.socket:
        """The socket; connects if there is none.

        Raises:
            Unavailable: nobody there, or no answer in time.
            PermissionMissing: the credentials are refused.
        """
        if (wire := self._socket) is None:
            self._dialled = self.target.dial(self._name)
            self._reader = reader()
            wire = self._socket = self._dialled._sock
        return wire

    def send(self, commands: Sequence[Sequence[Arg]]) -> None:
        """Write commands; `receive` must follow for each of them.

        Raises:
            Unavailable: the connection failed; what was sent may have run.
        """
        wire = self.open()
        try:
            wire.sendall(pack(commands))
        except OSError as wrong:
            raise self._failed(wrong) from None

    def receive(self, count: int) -> list[Any]:
        """The next `count` replies. An error reply is a `Refusal` among them.

        Raises:
            Unavailable: the connection failed or was silent for `command_timeout`; what was sent may have run.
        """
        wire = self.open()
        gets, feed = self._reader.gets, self._reader.feed
        replies: list[Any] = []
        try:
            while len(replies) < count:
                reply = gets()
                if reply is NOT_YET:
                    if not (chunk := wire.recv(_READ)):
                        raise ConnectionError("the server closed the connection")
                    feed(chunk)
                else:
                    replies.append(reply)
        except (OSError, Refusal) as wrong:
            raise self._failed(wrong) from None
        except BaseException:
            self.close()  # a signal in between would leave replies that belong to nobody
            raise
        return replies

    def close(self) -> None:
        """Drop the socket. The next use makes a new one."""
        dialled, self._dialled, self._socket = self._dialled, None, None
        if dialled is not None:
            try:
                dialled.disconnect()
            except OSError:
                pass

    def _failed(self, wrong: Exception) -> Unavailable:
        self.close()
        said = "no answer in time" if isinstance(wrong, TimeoutError) else (str(wrong) or type(wrong).__name__)
        return Unavailable(f"{self.target}: {said}")

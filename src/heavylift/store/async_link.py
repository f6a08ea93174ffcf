"""`link.Link` for an event loop: one socket to one node, made when needed, dropped when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from heavylift.errors import Unavailable
from heavylift.store.call import Arg
from heavylift.store.link import NOT_YET, pack, reader
from heavylift.store.refusals import Refusal
from heavylift.store.rights import Rights
from heavylift.store.target import Target

_READ = 1 << 16


class AsyncLink:
    """A connection of one event loop. Used by one coroutine at a time."""

    def __init__(self, target: Target, name: str) -> None:
        self.target = target
        self.rights = Rights()
        self.told: dict[tuple[Arg, ...], Any] = {}
        self._name = name
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._reader = reader()

    @property
    def is_open(self) -> bool:
        """True if it has a socket; the other end may be gone all the same."""
        return self._streams is not None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The two streams; connects if there are none.

        Raises:
            Unavailable: nobody there, or no answer in time.
            PermissionMissing: the credentials are refused.
        """
        if (streams := self._streams) is None:
            dialled: Any = await self.target.dial_async(self._name)
            self._reader = reader()
            streams = self._streams = (dialled._reader, dialled._writer)
            dialled._reader = dialled._writer = None  # ours now: it would close them when it is collected
        return streams

    async def send(self, commands: Sequence[Sequence[Arg]]) -> None:
        """Write commands; `receive` must follow for each of them.

        Raises:
            Unavailable: the connection failed; what was sent may have run.
        """
        _, writer = await self.open()
        try:
            writer.write(pack(commands))
            await asyncio.wait_for(writer.drain(), self.target.command_timeout)
        except OSError as wrong:
            raise self._failed(wrong) from None
        except BaseException:
            self.close()
            raise

    async def receive(self, count: int) -> list[Any]:
        """The next `count` replies. An error reply is a `Refusal` among them.

        Raises:
            Unavailable: the connection failed or was silent for `command_timeout`; what was sent may have run.
        """
        replies: list[Any] = []
        try:
            while len(replies) < count:
                reply = self.parsed()
                if reply is NOT_YET:
                    await self.fill(self.target.command_timeout)
                else:
                    replies.append(reply)
        except Unavailable:
            raise
        except OSError as wrong:
            raise self._failed(wrong) from None
        except BaseException:
            self.close()  # a cancellation in between would leave replies that belong to nobody
            raise
        return replies

    def parsed(self) -> Any:
        """The next whole reply that has arrived, or `NOT_YET`."""
        try:
            return self._reader.gets()
        except Refusal as broken:
            raise self._failed(broken) from None

    async def fill(self, timeout: float) -> None:
        """Wait for bytes, at most `timeout` seconds.

        Raises:
            TimeoutError: nothing came.
            ConnectionError: the server closed the connection.
        """
        stream, _ = await self.open()
        async with asyncio.timeout(timeout):
            chunk = await stream.read(_READ)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        self._reader.feed(chunk)

    def close(self) -> None:
        """Drop the socket. The next use makes a new one."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()

    async def aclose(self) -> None:
        """Drop the socket and wait, for a moment, until it is closed."""
        if (streams := self._streams) is not None:
            self.close()
            try:
                await asyncio.wait_for(streams[1].wait_closed(), 1.0)
            except OSError:
                pass

    def _failed(self, wrong: Exception) -> Unavailable:
        self.close()
        said = "no answer in time" if isinstance(wrong, TimeoutError) else (str(wrong) or type(wrong).__name__)
        return Unavailable(f"{self.target}: {said}")

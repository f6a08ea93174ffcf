"""A TCP proxy that misbehaves as it is told: between a client and its Redis, an event loop in a thread of its own.

What it does can be changed while connections are open; it goes for both directions unless one is named: `up` is
towards the server, `down` towards the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

Direction = Literal["up", "down"]
BOTH: tuple[Direction, ...] = ("up", "down")
CHUNK = 1 << 14

T = TypeVar("T")


@dataclass
class Manners:
    """What is done to the bytes of one direction.

    Attributes:
        delay, jitter: seconds before each chunk is passed on, give or take.
        rate: bytes per second; 0 is no limit.
        cut_after: bytes until the connection is cut; None is never.
        silent: bytes are taken and never passed on.
    """

    delay: float = 0.0
    jitter: float = 0.0
    rate: float = 0.0
    cut_after: int | None = None
    silent: bool = False


class _Pair:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(self, down: asyncio.StreamWriter, up: asyncio.StreamWriter) -> None:
        self.ends = (down, up)
        self.deaf = False  # the next bytes from the server are swallowed, and the connection is cut

    def cut(self) -> None:
        for end in self.ends:
            end.transport.abort()


class Proxy:
    """Listens on a free loopback port, as long as the `with` block lasts.

    Args:
        target: the server's unix socket, or its host and port.

    Attributes:
        dropped: replies that were swallowed by `drop_reply`.
    """

    def __init__(self, target: Path | tuple[str, int]) -> None:
        self.port = 0
        self.dropped = 0
        self._target = target
        self._manners: dict[Direction, Manners] = {way: Manners() for way in BOTH}
        self._drop: bytes | None = None
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    @property
    def url(self) -> str:
        """What a client connects to instead of the server."""
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # --- how it behaves ---------------------------------------------------------------------------------

    def pass_on(self) -> None:
        """As if it were not there; listens again if it refused. What was held back is gone with its connections."""
        self._run(self._heal())

    def refuse(self) -> None:
        """Cut every connection and let nobody in."""
        self._run(self._refuse())

    def cut(self) -> None:
        """Cut every connection once; new ones are welcome."""
        self._run(self._cut())

    def cut_after(self, count: int, *ways: Direction) -> None:
        """Cut the connection that carries the `count`-th byte from now, whichever it is; once."""
        self._set(ways, cut_after=count)

    def drop_reply(self, to: bytes) -> None:
        """Pass the next command on that contains these bytes, swallow what the server answers, and cut; once."""
        self._drop = to

    def delay(self, seconds: float, jitter: float = 0.0, *ways: Direction) -> None:
        """Hold each chunk back for so long."""
        self._set(ways, delay=seconds, jitter=jitter)

    def throttle(self, rate: float, *ways: Direction) -> None:
        """Let `rate` bytes through in a second, per connection."""
        self._set(ways, rate=rate)

    def black_hole(self, *ways: Direction) -> None:
        """Take everything and pass nothing on; connections stay open, and new ones are let in."""
        self._set(ways, silent=True)

    def _set(self, ways: tuple[Direction, ...], **what: Any) -> None:
        for way in ways or BOTH:
            for name, value in what.items():
                setattr(self._manners[way], name, value)

    # --- in the loop ------------------------------------------------------------------------------------

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _heal(self) -> None:
        held_back = any(manners.silent for manners in self._manners.values())
        self._manners = {way: Manners() for way in BOTH}
        self._drop = None
        if held_back:  # a stream with a hole in it is of no use
            await self._cut()
        if self._server is None:
            await self._listen()

    async def _refuse(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self._cut()

    async def _cut(self) -> None:
        for pair in list(self._pairs):
            pair.cut()

    async def _close(self) -> None:
        await self._refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the proxy closes
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, server = await self._dial()
        except OSError:
            return
        pair = _Pair(writer, server)
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                self._pump("up", pair, reader, server),
                self._pump("down", pair, answers, writer),
            )
        finally:
            self._pairs.discard(pair)
            pair.cut()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(*self._target)

    async def _pump(
        self, way: Direction, pair: _Pair, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(CHUNK):
                if not await self._treat(way, pair, chunk, sink):
                    break
        pair.cut()

    async def _treat(self, way: Direction, pair: _Pair, chunk: bytes, sink: asyncio.StreamWriter) -> bool:
        """Do to a chunk what the manners ask for; False if the connection is to be cut."""
        manners = self._manners[way]
        if way == "up" and self._drop is not None and self._drop in chunk:
            self._drop, pair.deaf = None, True
        if way == "down" and pair.deaf:
            self.dropped += 1
            return False
        if pause := manners.delay + random.uniform(-manners.jitter, manners.jitter):
            await asyncio.sleep(max(0.0, pause))
        if manners.rate:
            await asyncio.sleep(len(chunk) / manners.rate)
        if manners.silent:
            return True
        if manners.cut_after is not None:
            chunk, manners.cut_after = chunk[: manners.cut_after], manners.cut_after - len(chunk)
        sink.write(chunk)
        await sink.drain()
        if manners.cut_after is not None and manners.cut_after <= 0:
            manners.cut_after = None
            return False
        return True

"""The shell for an event loop: as `session`, with `await`. Belongs to one loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Sequence
from typing import Any, TypeVar

from heavylift.client.inbox import LoopInbox
from heavylift.client.listener import Listener
from heavylift.client.plan import Ask, Hear, Listen, Pause, Plan, Running, Step, Tell
from heavylift.client.session import CONNECTION, LISTENER
from heavylift.client.sharing import AsyncSharing
from heavylift.errors import ClientClosed, HeavyliftError, Unavailable
from heavylift.event import Event
from heavylift.locate import Place
from heavylift.store.async_connection import AsyncConnection
from heavylift.store.call import Call
from heavylift.store.channel import Channel

T = TypeVar("T")


class AsyncSession:
    """What a client has open on one event loop. Connects when first used; made on that loop."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._guard = asyncio.Lock()
        # Of those who wait until their jobs are kept (True), and of the others: they hold up only each other.
        self._sharings: dict[bool, AsyncSharing] = {}
        self._closed = False
        self._listener = Listener(lambda: Channel(place.find(), name=LISTENER))

    async def run(self, plan: Plan[T]) -> T:
        """Carry out a plan; its answer. Raises what it raises."""
        going = Running(plan)
        try:
            while going.step is not None:
                await self._do(going, going.step)
            return going.value
        finally:
            going.close()

    async def tell(self, plan: Plan[None]) -> AsyncGenerator[Event, None]:
        """Carry out a plan that tells events, as far as they are asked for."""
        going = Running(plan)
        try:
            while going.step is not None:
                if isinstance(going.step, Tell):
                    yield going.step.event
                    going.answer(None)
                else:
                    await self._do(going, going.step)
        except ClientClosed:
            return
        finally:
            going.close()

    async def close(self) -> None:
        """Close connections; end the listener's thread."""
        self._closed = True
        await asyncio.to_thread(self._listener.close)
        sharings, self._sharings = self._sharings, {}
        for sharing in sharings.values():
            await sharing.close()

    async def _do(self, going: Running[Any], step: Step) -> None:
        try:
            answer = await self._done(step)
        except HeavyliftError as wrong:
            going.fail(wrong)
        else:
            going.answer(answer)

    async def _done(self, step: Step) -> Any:
        match step:
            case Ask(calls):
                return await self._ask(calls)
            case Hear(box, seconds):
                return await box.take(seconds)
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case Listen(channels, patterns, box):
                box = box or LoopInbox(self._listener.leave)
                self._listener.join(box, channels, patterns)
                return box
            case Tell():
                raise TypeError("a plan that tells events is for `tell`")

    async def _ask(self, calls: Sequence[Call[Any]]) -> list[Any]:
        waits = any(call.confirm or call.lasting for call in calls)
        sharing = self._sharings.get(waits) or await self._connect(waits)
        answers = await sharing.round_trip(calls)
        if self._closed:  # meanwhile: do not leave open what was closed
            await sharing.close()
        if self._place.embedded and any(isinstance(answer, Unavailable) for answer in answers):
            await asyncio.to_thread(self._place.find)
        return answers

    async def _connect(self, waits: bool) -> AsyncSharing:
        async with self._guard:
            if self._closed:
                raise ClientClosed
            if waits not in self._sharings:
                target = await asyncio.to_thread(self._place.find) if self._place.embedded else self._place.find()
                self._sharings[waits] = AsyncSharing(AsyncConnection(target, name=CONNECTION))
            return self._sharings[waits]


class AsyncSessions:
    """The session of the running loop. One loop at a time: a new one gets a new session."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._session: AsyncSession | None = None

    async def run(self, plan: Plan[T]) -> T:
        """Carry out a plan; its answer. Raises what it raises."""
        return await self._here().run(plan)

    async def tell(self, plan: Plan[None]) -> AsyncGenerator[Event, None]:
        """Carry out a plan that tells events, as far as they are asked for."""
        async with contextlib.aclosing(self._here().tell(plan)) as events:
            async for event in events:
                yield event

    async def close(self) -> None:
        """Close what this loop has open. The next use opens it again."""
        session, self._session = self._session, None
        if session is not None and self._process == os.getpid():
            await session.close()
            await asyncio.to_thread(self._place.leave)

    def _here(self) -> AsyncSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop or self._process != os.getpid():
            self._loop, self._process = loop, os.getpid()
            self._session = AsyncSession(self._place)
        return self._session

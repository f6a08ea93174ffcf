"""Callers that are in flight together share round trips, by themselves: nobody waits for a batch to fill.

Threads: the first to find the connection free sends what has gathered, its own call and others', and hands out the
answers; those who come meanwhile gather for the next. Coroutines: what is asked in one turn of the loop goes together,
and what gathers during a round trip goes with the next.

A lost connection is tried once more for calls that may be repeated: an idle connection whose server was restarted
costs no error.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, TypeVar

from heavylift.errors import StoreError, Unavailable
from heavylift.store.async_connection import AsyncConnection
from heavylift.store.call import Call
from heavylift.store.connection import Connection
from heavylift.store.exchange import raise_if_lost

T = TypeVar("T")

MOST = 200
"""Calls in one shared round trip."""


class _Slip:
    """One caller's calls and, once `done`, their results."""

    __slots__ = ("calls", "done", "results")

    def __init__(self, calls: Sequence[Call[Any]]) -> None:
        self.calls = calls
        self.results: list[Any] = []
        self.done = False


class Sharing:
    """A `Connection` for any number of threads."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._wire = threading.Lock()
        self._gathered: list[_Slip] = []

    def ask(self, call: Call[T]) -> T:
        """One call; its answer.

        Raises:
            StoreError: Redis refused it, or could not be asked.
        """
        answer: T = raise_if_lost(self.round_trip((call,))[0])
        return answer

    def round_trip(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """Several calls; their answers in order, `StoreError`s (also `Unavailable`) in their places."""
        slip = _Slip(calls)
        self._gathered.append(slip)
        while not slip.done:
            with self._wire:
                if not slip.done:
                    self._send()
        return slip.results

    def close(self) -> None:
        """Drop the connection, once it is free."""
        with self._wire:
            self.connection.close()

    def _send(self) -> None:
        slips = _take(self._gathered)
        results: list[Any] = []
        try:
            results = self._results([call for slip in slips for call in slip.calls])
        except BaseException as error:
            lost = error if isinstance(error, StoreError) else Unavailable(f"the round trip was broken off: {error!r}")
            results = [lost] * sum(len(slip.calls) for slip in slips)
            if not isinstance(error, StoreError):
                raise
        finally:
            _hand_out(slips, results)

    def _results(self, calls: list[Call[Any]]) -> list[Any]:
        try:
            return self.connection.round_trip(calls)
        except Unavailable as lost:
            again = _again(calls)
            return _with_lost(calls, self.connection.round_trip(again) if again else (), lost)


def _again(calls: Sequence[Call[Any]]) -> list[Call[Any]]:
    """The calls to be sent again once the connection was lost over them."""
    return [call for call in calls if call.repeatable]


def _with_lost(calls: Sequence[Call[Any]], answers: Sequence[Any], lost: Unavailable) -> list[Any]:
    """The answers to all calls: those to the ones sent `_again`, and the loss."""
    rest = iter(answers)
    return [next(rest) if call.repeatable else lost for call in calls]


def _take(gathered: list[_Slip]) -> list[_Slip]:
    """The first slips, in order, up to `MOST` calls; at least one."""
    slips: list[_Slip] = []
    size = 0
    while gathered and (not slips or size + len(gathered[0].calls) <= MOST):
        slip = gathered.pop(0)
        size += len(slip.calls)
        slips.append(slip)
    return slips


def _hand_out(slips: Sequence[_Slip], results: Sequence[Any]) -> None:
    at = 0
    for slip in slips:
        slip.results = list(results[at : at + len(slip.calls)])
        at += len(slip.calls)
        slip.done = True


class AsyncSharing:
    """An `AsyncConnection` whose coroutines share round trips."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self._gathered: list[tuple[_Slip, asyncio.Future[None]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def ask(self, call: Call[T]) -> T:
        """As `Sharing.ask`."""
        answer: T = raise_if_lost((await self.round_trip((call,)))[0])
        return answer

    async def round_trip(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """As `Sharing.round_trip`. A caller that is cancelled takes only itself away."""
        slip = _Slip(calls)
        ready = asyncio.get_running_loop().create_future()
        self._gathered.append((slip, ready))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        await ready
        return slip.results

    async def close(self) -> None:
        """Send what has gathered, then drop the connection."""
        if self._sender is not None:
            await asyncio.wait([self._sender])
        await self.connection.close()

    async def _send_all(self) -> None:
        try:
            while self._gathered:
                waiting, self._gathered = self._gathered, []
                slips = [slip for slip, _ in waiting]
                while slips:
                    part = _take(slips)
                    _hand_out(part, await self._results([call for slip in part for call in slip.calls]))
                    waiting = _wake(waiting)
        finally:
            self._sender = None

    async def _results(self, calls: list[Call[Any]]) -> list[Any]:
        try:
            try:
                return await self.connection.round_trip(calls)
            except Unavailable as lost:
                again = _again(calls)
                return _with_lost(calls, await self.connection.round_trip(again) if again else (), lost)
        except StoreError as lost:
            return [lost] * len(calls)
        except Exception as broken:  # a defect of ours: nobody may wait for ever because of it
            return [StoreError(f"the round trip was broken off: {broken!r}")] * len(calls)


def _wake(waiting: list[tuple[_Slip, asyncio.Future[None]]]) -> list[tuple[_Slip, asyncio.Future[None]]]:
    """Wake the callers whose slips are done; those that are left."""
    left = []
    for slip, ready in waiting:
        if not slip.done:
            left.append((slip, ready))
        elif not ready.done():
            ready.set_result(None)
    return left

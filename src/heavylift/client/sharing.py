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
from collections import deque
from collections.abc import Iterable, Sequence
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
    """One caller's calls and, once `done`, their results. `sent`: they may have run."""

    __slots__ = ("calls", "done", "results", "sent")

    def __init__(self, calls: Sequence[Call[Any]]) -> None:
        self.calls = calls
        self.results: list[Any] = []
        self.sent = False
        self.done = False

    def give(self, results: list[Any]) -> None:
        """Here they are."""
        self.results = results
        self.done = True


class Sharing:
    """A `Connection` for any number of threads.

    A thread may be stopped anywhere (`Stop` in a handler that uses the client): a slip stays gathered until it is
    done, so that the next to find the connection free sees what was left.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._wire = threading.Lock()
        self._gathered: deque[_Slip] = deque()

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
        try:
            self._gathered.append(slip)
            while not slip.done:
                with self._wire:
                    if not slip.done:
                        self._send()
        finally:
            slip.done = True  # whoever is stopped asks no more
        return slip.results

    def close(self) -> None:
        """Drop the connection, once it is free."""
        with self._wire:
            self.connection.close()

    def _send(self) -> None:
        """Send what has gathered, up to `MOST` calls, and hand out the answers."""
        waiting = [slip for slip in list(self._gathered) if not slip.done]
        for slip in waiting:
            if slip.sent:
                slip.give(_broken_off(slip))
        if slips := _first(slip for slip in waiting if not slip.sent):
            for slip in slips:
                slip.sent = True
            _hand_out(slips, self._results(_calls(slips)))
        while self._gathered and self._gathered[0].done:
            self._gathered.popleft()

    def _results(self, calls: list[Call[Any]]) -> list[Any]:
        try:
            try:
                return self.connection.round_trip(calls)
            except Unavailable as lost:
                again = _again(calls)
                return _with_lost(calls, self.connection.round_trip(again) if again else (), lost)
        except Exception as wrong:
            return [_for_all(wrong)] * len(calls)


class _AsyncSlip:
    """One coroutine's calls, and the future of their results."""

    __slots__ = ("calls", "results")

    def __init__(self, calls: Sequence[Call[Any]]) -> None:
        self.calls = calls
        self.results: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    def give(self, results: list[Any]) -> None:
        """Here they are, if anybody still waits."""
        if not self.results.done():
            self.results.set_result(results)


class AsyncSharing:
    """An `AsyncConnection` whose coroutines share round trips.

    A task sends, so that a caller that is cancelled takes only itself away. The task may be cancelled too:
    `asyncio.run` does so with all there are as it ends, while some still say goodbye.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self._gathered: list[_AsyncSlip] = []
        self._sender: asyncio.Task[None] | None = None

    async def ask(self, call: Call[T]) -> T:
        """As `Sharing.ask`."""
        answer: T = raise_if_lost((await self.round_trip((call,)))[0])
        return answer

    async def round_trip(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """As `Sharing.round_trip`. A caller that is cancelled takes only itself away."""
        slip = _AsyncSlip(calls)
        self._gathered.append(slip)
        self._see_to_it()
        return await slip.results

    async def close(self) -> None:
        """Send what has gathered, then drop the connection."""
        while self._sender is not None and not self._sender.done():
            await asyncio.wait([self._sender])
        await self.connection.close()

    def _see_to_it(self) -> None:
        """Have somebody send what has gathered: a new task, unless there is one that goes on."""
        if self._sender is None or self._sender.done() or self._sender.cancelling():
            self._sender = asyncio.create_task(self._send_all())
            self._sender.add_done_callback(self._ended)

    def _ended(self, _sender: asyncio.Task[None]) -> None:
        """A sender has ended, perhaps before its time, or even before it began: have the rest sent."""
        if any(not slip.results.done() for slip in self._gathered):
            self._see_to_it()

    async def _send_all(self) -> None:
        while slips := _first(self._gathered):
            del self._gathered[: len(slips)]
            results = [result for slip in slips for result in _broken_off(slip)]
            try:
                results = await self._results(_calls(slips))
            finally:
                _hand_out(slips, results)

    async def _results(self, calls: list[Call[Any]]) -> list[Any]:
        try:
            try:
                return await self.connection.round_trip(calls)
            except Unavailable as lost:
                again = _again(calls)
                return _with_lost(calls, await self.connection.round_trip(again) if again else (), lost)
        except Exception as wrong:
            return [_for_all(wrong)] * len(calls)


S = TypeVar("S", _Slip, _AsyncSlip)


def _first(slips: Iterable[S]) -> list[S]:
    """The first slips, in order, up to `MOST` calls; at least one if there is any."""
    first: list[S] = []
    size = 0
    for slip in slips:
        size += len(slip.calls)
        if first and size > MOST:
            break
        first.append(slip)
    return first


def _calls(slips: Iterable[S]) -> list[Call[Any]]:
    return [call for slip in slips for call in slip.calls]


def _hand_out(slips: Iterable[S], results: Sequence[Any]) -> None:
    at = 0
    for slip in slips:
        slip.give(list(results[at : at + len(slip.calls)]))
        at += len(slip.calls)


def _broken_off(slip: _Slip | _AsyncSlip) -> list[Any]:
    """What is said to who was waiting as the sender was stopped."""
    return [Unavailable("whoever sent this for several was stopped meanwhile")] * len(slip.calls)


def _again(calls: Sequence[Call[Any]]) -> list[Call[Any]]:
    """The calls to be sent again once the connection was lost over them."""
    return [call for call in calls if call.repeatable]


def _with_lost(calls: Sequence[Call[Any]], answers: Sequence[Any], lost: Unavailable) -> list[Any]:
    """The answers to all calls: those to the ones sent `_again`, and the loss."""
    rest = iter(answers)
    return [next(rest) if call.repeatable else lost for call in calls]


def _for_all(wrong: Exception) -> StoreError:
    """What went wrong, as every caller is told it; a defect of ours too: nobody may wait for ever because of it."""
    return wrong if isinstance(wrong, StoreError) else StoreError(f"the round trip was broken off: {wrong!r}")

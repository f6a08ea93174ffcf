"""One suite for both shells: `OnLoop` gives an `AsyncClient` the manners of a `Client`, without a twin of any test."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from typing import Any

from heavylift.client import AsyncFlow, AsyncJob


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="test-loop")
        self._thread.start()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


class OnLoop:
    """Something asynchronous, called from threads."""

    def __init__(self, inner: Any, loop: Loop) -> None:
        self._inner = inner
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return self._wrapped(found)

        def call(*args: Any, **kwargs: Any) -> Any:
            plain = {name: _plain(value) for name, value in kwargs.items()}
            answer = found(*map(_plain, args), **plain)
            if inspect.isasyncgen(answer):
                return self._each(answer)
            return self._wrapped(self._loop.run(answer) if inspect.isawaitable(answer) else answer)

        return call

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OnLoop) and self._inner == other._inner

    def __hash__(self) -> int:
        return hash(self._inner)

    def _each(self, events: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._loop.run(anext(events))
                except StopAsyncIteration:
                    return
        finally:
            self._loop.run(events.aclose())

    def _wrapped(self, answer: Any) -> Any:
        if isinstance(answer, (AsyncJob, AsyncFlow)):
            return OnLoop(answer, self._loop)
        return [self._wrapped(one) for one in answer] if isinstance(answer, list) else answer


def _plain(value: Any) -> Any:
    """What a test gives back to the client, without its wrapping."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value._inner if isinstance(value, OnLoop) else value

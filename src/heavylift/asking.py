"""What a running handler may ask its worker, and how it waits for the answer.

A handler has no Redis: a slot's process must not load it, and every write of an attempt goes through the worker that
holds its lock. So a question travels from where the handler runs to the worker (in the cpu lane over the pipe), the
worker asks Redis, trying again through an outage until the question's patience is over, and the answer comes back.

A kind of question is a subclass of `Question`; who answers it stands in `worker/answers.py`. Neither lanes nor pipe
look into one: bytes go out, bytes come back. Asking twice must be harmless, for the worker repeats what it asks Redis
when a reply was lost.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from heavylift.errors import UNREADABLE, HeavyliftError, InvalidArgument, StoreError, Unavailable

A = TypeVar("A")

PATIENCE = 30.0
"""Seconds until a question that Redis could not be asked is answered with `Unavailable`."""

LATE = 2.0
"""Seconds more for the worker to say so; then the one who asked does not wait any longer."""

UNDO = 60.0
"""Seconds to try to take back what was asked and never answered. The handler does not wait for it."""

MOST_OPEN = 100
"""Questions of one attempt that may be open at once; a handler that starts threads may ask in each."""


class Question(msgspec.Struct, Generic[A], frozen=True, tag=True):
    """Base of the kinds of questions.

    Attributes:
        answers: the type of the answer, the `A` of the kind.
        outlives: it is answered though its attempt has ended, and the attempt is settled only then. Others are
            dropped with their attempt.
    """

    answers: ClassVar[Any]
    outlives: ClassVar[bool] = False

    def undo(self) -> Question[Any] | None:
        """What takes it back if its answer never came: it may have taken effect. None if there is nothing to take."""
        return None

    def follows(self, other: Question[Any]) -> bool:
        """It must not be asked before this other one has its answer."""
        return False


class Answer(msgspec.Struct, frozen=True):
    """What came back.

    Attributes:
        value: the answer as MessagePack, if there is no trouble.
        trouble: why there is none.
        away: it is Redis that could not be reached; the same question may be answered later.
    """

    value: bytes = b""
    trouble: str = ""
    away: bool = False


Answered = Callable[[Answer], None]


class Asks(Protocol):
    """The part of a reporter that questions go through."""

    def pose(self, question: bytes, patience: float, answered: Answered) -> None:
        """Send a question off. Does not block.

        Args:
            question: an encoded `Question`.
            patience: seconds; not answered by then, the answer is that Redis is away.
            answered: called with the answer, from any thread; not at all if the attempt ends before.
        """

    def ask(self, question: bytes, patience: float) -> Answer:
        """Send a question off and wait. `Stop` may be raised meanwhile; the answer is then dropped."""
        ...


def ask(reporter: Asks, question: Question[A], patience: float = PATIENCE) -> A:
    """Ask, and wait in this thread.

    Args:
        reporter: the attempt's.
        question: what to ask.
        patience: seconds to wait at most, through an outage of Redis.

    Raises:
        Unavailable: Redis could not be reached in time. Whether the question took effect is not known.
        StoreError: the worker refused the question, or Redis did.
        InvalidArgument: this thread runs an event loop, which would stand still; use `ask_async`.
    """
    if _in_a_loop():
        raise InvalidArgument("ask", type(question).__name__, "would hold up the event loop: await it instead")
    return _read(question, reporter.ask(encode(question), patience))


async def ask_async(reporter: Asks, question: Question[A], patience: float = PATIENCE) -> A:
    """Ask, and await the answer; as `ask`. Other tasks of the loop go on."""
    import asyncio  # loaded by whoever runs a loop; a process that only declares handlers needs none

    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()

    def arrived(answer: Answer) -> None:
        if not future.done():
            future.set_result(answer)

    def answered(answer: Answer) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(arrived, answer)

    reporter.pose(encode(question), patience, answered)
    try:
        return _read(question, await asyncio.wait_for(future, patience + LATE))
    except TimeoutError:
        return _read(question, TOO_LATE)


def _in_a_loop() -> bool:
    loaded = sys.modules.get("asyncio")
    return loaded is not None and loaded._get_running_loop() is not None


TOO_LATE = Answer(trouble="the worker did not answer in time", away=True)
TOO_MANY = Answer(trouble=f"more than {MOST_OPEN} questions of one attempt are open")
ENDED = Answer(trouble="the attempt has ended")


def encode(question: Question[Any]) -> bytes:
    """A question as it travels."""
    return msgspec.msgpack.encode(question)


def answer(value: object) -> Answer:
    """An answer that is this value."""
    return Answer(msgspec.msgpack.encode(value))


def _read(question: Question[A], answer: Answer) -> A:
    if answer.away:
        raise Unavailable(answer.trouble)
    if answer.trouble:
        raise StoreError(answer.trouble)
    try:
        value: A = msgspec.msgpack.decode(answer.value, type=type(question).answers)
    except UNREADABLE as wrong:
        raise HeavyliftError(f"the answer to {type(question).__name__} is not understood: {wrong}") from None
    return value


class Awaited:
    """One answer that a thread waits for. A signal, or a `wake`, ends the sleep early."""

    __slots__ = ("_latch", "answer")

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self._latch = threading.Lock()
        self._latch.acquire()

    def give(self, answer: Answer) -> None:
        """The answer is there. From any thread."""
        self.answer = answer
        self.wake()

    def wake(self) -> None:
        """End the sleep. From any thread."""
        with contextlib.suppress(RuntimeError):  # it has been woken already
            self._latch.release()

    def sleep(self, until: float) -> None:
        """Sleep until the answer is there, it is woken, or the time (monotonic) has come."""
        self._latch.acquire(timeout=max(0.0, min(until - time.monotonic(), threading.TIMEOUT_MAX)))

    def wait(self, seconds: float) -> Answer:
        """The answer; that it is too late if there is none after so many seconds."""
        until = time.monotonic() + seconds
        while self.answer is None and time.monotonic() < until:
            self.sleep(until)
        return self.answer or TOO_LATE

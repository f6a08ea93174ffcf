"""What a client does, written once for both shells.

A *plan* is a generator. It never sends, waits or listens: it yields the step it needs and is sent the answer, so the
same plan runs under threads (`session`) and under an event loop (`async_session`), and in a test under neither. A
step that fails is thrown into the plan, which knows best whether to go on.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from random import random
from typing import Any, Generic, TypeAlias, TypeVar

from heavylift.errors import Busy, StoreError, Unavailable
from heavylift.event import Event
from heavylift.store.call import Call

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """Send calls together. Answer: a list with each one's answer, or the `StoreError` it was refused with."""

    calls: Sequence[Call[Any]]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds. No answer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Listen:
    """Listen to channels and patterns. Answer: the box for what they say, a new one if none is given."""

    channels: Sequence[str] = ()
    patterns: Sequence[str] = ()
    box: Any = None


@dataclass(frozen=True, slots=True)
class Hear:
    """Wait until there is something in the box, at most `seconds`. Answer: a list of it, empty when time is up."""

    box: Any
    seconds: float


@dataclass(frozen=True, slots=True)
class Tell:
    """Hand an event to whoever watches. No answer. Only in plans of `watch`."""

    event: Event


Step: TypeAlias = Ask | Pause | Listen | Hear | Tell
Plan: TypeAlias = Generator[Step, Any, T]


class Running(Generic[T]):
    """A plan under way, for the shells: do `step`, then `answer` or `fail`, while there is one; then take `value`."""

    __slots__ = ("_plan", "step", "value")

    def __init__(self, plan: Plan[T]) -> None:
        self._plan = plan
        self.step: Step | None = None
        self.value: T
        self.answer(None)

    def answer(self, answer: Any) -> None:
        """What the step came to."""
        try:
            self.step = self._plan.send(answer)
        except StopIteration as done:
            self.step, self.value = None, done.value

    def fail(self, wrong: Exception) -> None:
        """The step could not be done."""
        try:
            self.step = self._plan.throw(wrong)
        except StopIteration as done:
            self.step, self.value = None, done.value

    def close(self) -> None:
        """End it, finished or not."""
        self._plan.close()


FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


def ask_all(calls: Sequence[Call[Any]], patience: float, needed: int | None = None) -> Plan[list[Any]]:
    """The calls' answers, in order; a refused one has its `StoreError` there.

    A call that got no answer, or came while its queue moved between Cluster nodes, is sent again, the same call, for
    at most `patience` seconds, as long as one of the first `needed` is among them. That is safe for `repeatable` ones
    only: their ids, nonces and numbers make them take effect once.
    """
    answers: list[Any] = [None] * len(calls)
    todo = list(range(len(calls)))
    failures, deadline = 0, 0.0
    while True:
        try:
            replies = yield Ask(calls if len(todo) == len(calls) else [calls[at] for at in todo])
        except Unavailable as lost:
            replies = [lost] * len(todo)
        for at, reply in zip(todo, replies, strict=True):
            answers[at] = reply
        todo = [at for at in todo if isinstance(answers[at], (Unavailable, Busy)) and calls[at].repeatable]
        if not any(needed is None or at < needed for at in todo):
            return answers
        now = time.monotonic()
        deadline = deadline or now + patience
        pause = min(FIRST_PAUSE * 2**failures, LONGEST_PAUSE) * (0.5 + random() / 2)
        if now + pause >= deadline:
            return answers
        failures += 1
        yield Pause(pause)


def ask(call: Call[T], patience: float) -> Plan[T]:
    """One call's answer.

    Raises:
        StoreError: Redis refused it, or could not be asked for `patience` seconds.
    """
    answers = yield from ask_all((call,), patience)
    answer: T = or_raise(answers[0])
    return answer


def ask_in_parts(calls: Sequence[Call[Any]], patience: float, at_once: int) -> Plan[list[Any]]:
    """As `ask_all`, so many calls in each round trip at most.

    Raises:
        StoreError: the first refusal; what came before it is done.
    """
    answers: list[Any] = []
    for start in range(0, len(calls), at_once):
        some = yield from ask_all(calls[start : start + at_once], patience)
        answers += map(or_raise, some)
    return answers


def or_raise(answer: Any) -> Any:
    """The answer of one call; raises it if it is an error."""
    if isinstance(answer, StoreError):
        raise answer
    return answer

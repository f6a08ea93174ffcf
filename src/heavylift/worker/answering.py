"""Answers what running handlers ask: the worker's end of `asking`.

One thread and one connection, made at the first question. How a kind of question is answered is a plan: a generator
that yields store calls and is sent their replies. The calls of all open questions go out together, a round trip at a
time, so a question that takes many of them, or is refused for a while, holds up no other. Through an outage they are
asked again and again, until the patience of each is over.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, Union

import msgspec
import structlog

from heavylift.asking import Answer, Answered, Question, answer
from heavylift.errors import UNREADABLE, Busy, HeavyliftError, StoreError, Unavailable
from heavylift.service import Service
from heavylift.store.jobs import Call, Jobs
from heavylift.worker.contact import Contact

log = structlog.get_logger("heavylift")

MOST = 100
"""Questions whose calls go out in one round trip."""

AGAIN = 0.05
"""Seconds before a refused call is sent again (a key is moving)."""


@dataclass(frozen=True, slots=True)
class Asker:
    """The attempt that asks: its queue, its job, and the token of its lock."""

    queue: str
    job: str
    token: str


Plan: TypeAlias = Generator[Sequence[Call[Any]], list[Any], Any]
Answers: TypeAlias = Mapping[type[Question[Any]], Callable[[Jobs, Asker, Any], Plan]]
"""How each kind of question is answered. What a plan returns is the answer, encodable by msgspec; a `HeavyliftError`
out of it is a refusal."""


@dataclass(slots=True)
class _Open:
    """A question that has no answer yet, and the calls it waits for."""

    plan: Plan
    until: float
    answered: Answered
    calls: Sequence[Call[Any]] = ()
    not_before: float = 0.0
    trouble: str = field(default="it could not be asked in time")


class Answering(Service):
    """A buffer of open questions, and the loop that gets them answered."""

    def __init__(
        self,
        jobs: Jobs,
        contact: Contact,
        answers: Answers,
        on_crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        super().__init__("answering", on_crash)
        self._jobs = jobs
        self._contact = contact
        self._answers = answers
        kinds = Union[tuple(answers)] if answers else None  # noqa: UP007
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(kinds)
        self._arrived: deque[_Open] = deque()
        self._open: deque[_Open] = deque()
        self._some = threading.Event()

    def put(self, asker: Asker, question: bytes, patience: float, answered: Answered) -> None:
        """Have this answered within so many seconds. From any thread; never blocks."""
        try:
            asked = self._decoder.decode(question)
        except UNREADABLE as wrong:
            answered(Answer(trouble=f"the worker does not understand the question: {wrong}"))
            return
        plan = self._answers[type(asked)](self._jobs, asker, asked)
        self._arrived.append(_Open(plan, time.monotonic() + patience, answered))
        self._some.set()

    def wake(self) -> None:
        """Make the loop look at `stopping`."""
        self._some.set()

    def run(self) -> None:
        """Answer; sleep while nothing is asked."""
        try:
            while not self.stopping.is_set():
                self._some.wait(self._pause())
                self._some.clear()
                while self._arrived:
                    self._go_on(self._arrived.popleft(), [])
                self._round()
            for one in [*self._open, *self._arrived]:
                one.answered(Answer(trouble="the worker shuts down", away=True))
        finally:
            self._contact.close()

    def _pause(self) -> float | None:
        """Seconds until there is something to do without being told."""
        if not self._open:
            return None
        return max(0.0, min(min(one.until, one.not_before) for one in self._open) - time.monotonic())

    def _round(self) -> None:
        """Send what may be sent now, all together, and take the answers in."""
        now = time.monotonic()
        due, waiting = self._sort(now)
        self._open = waiting
        if not due:
            return
        try:
            replies = self._contact.round_trip([call for one in due for call in one.calls])
        except Unavailable as away:
            pause = time.monotonic() + self._contact.pause()
            for one in due:
                one.not_before, one.trouble = pause, str(away)
            self._open.extend(due)
            return
        at = 0
        for one in due:
            mine, at = replies[at : at + len(one.calls)], at + len(one.calls)
            self._heard(one, mine)

    def _sort(self, now: float) -> tuple[list[_Open], deque[_Open]]:
        """Those whose calls go out now, and those that wait; what is over its time is answered."""
        due: list[_Open] = []
        waiting: deque[_Open] = deque()
        for one in self._open:
            if one.until <= now:
                one.answered(Answer(trouble=one.trouble, away=True))
            elif one.not_before <= now and len(due) < MOST:
                due.append(one)
            else:
                waiting.append(one)
        return due, waiting

    def _heard(self, one: _Open, replies: list[Any]) -> None:
        refusals = [reply for reply in replies if isinstance(reply, StoreError)]
        if not refusals:
            self._go_on(one, replies)
        elif all(isinstance(refusal, (Busy, Unavailable)) for refusal in refusals):
            one.not_before, one.trouble = time.monotonic() + AGAIN, str(refusals[0])
            self._open.append(one)
        else:
            one.answered(Answer(trouble=str(refusals[0])))

    def _go_on(self, one: _Open, replies: list[Any]) -> None:
        """Have the plan take its replies, and keep it for the next round trip unless it has the answer."""
        try:
            one.calls = one.plan.send(replies) if one.calls else next(one.plan)
            one.not_before = 0.0
            self._open.append(one)
        except StopIteration as end:
            one.answered(answer(end.value))
        except HeavyliftError as refused:
            one.answered(Answer(trouble=str(refused)))
        except Exception as defect:  # of one plan; the others' questions are answered all the same
            log.exception("a question could not be answered")
            one.answered(Answer(trouble=f"the worker met an error: {defect!r}"))

"""Answers what running handlers ask: the worker's end of `asking`.

One thread and one connection, made at the first question. How a kind of question is answered is a plan: a generator
that yields store calls and is sent their replies. The calls of all open questions go out together, a round trip at a
time, so a question that takes many of them, or is refused for a while, holds up no other. Through an outage they are
asked again and again, until the patience of each is over.

A question belongs to its attempt. When that ends, what it has asked is dropped, and taken back if it may have taken
effect; only what the handler has said is still carried out (see `questions`). The attempt is settled behind that, so
that the next attempt of the job, wherever it runs, finds things as this one has left them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, Union

import msgspec

from heavylift.asking import ENDED, UNDO, Answer, Answered, Question, answer
from heavylift.errors import UNREADABLE, Busy, HeavyliftError, StoreError, Unavailable
from heavylift.log import log
from heavylift.service import Service
from heavylift.store.jobs import Jobs
from heavylift.worker.contact import Contact
from heavylift.worker.questions import Asked, Asker, Asking, Plan

MOST = 100
"""Questions whose calls go out in one round trip."""

AGAIN = 0.05
"""Seconds before a refused call is sent again (a key is moving)."""

LEAVING = Answer(trouble="the worker shuts down", away=True)

Answers: TypeAlias = Mapping[type[Question[Any]], Callable[[Jobs, Asker, Any], Plan]]
"""How each kind of question is answered. What a plan returns is the answer, encodable by msgspec; a `HeavyliftError`
out of it is a refusal."""


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
        self._gate = threading.Lock()  # the three below
        self._arrived: deque[Callable[[], None]] = deque()
        self._attempts: dict[Asker, Asking] = {}
        self._over = False
        self._open: deque[Asked] = deque()
        self._some = threading.Event()

    # --- from any thread ------------------------------------------------------------------------------------

    def put(self, asker: Asker, question: bytes, patience: float, answered: Answered) -> None:
        """Have this answered within so many seconds. Never blocks."""
        try:
            asked = self._decoder.decode(question)
        except UNREADABLE as wrong:
            answered(Answer(trouble=f"the worker does not understand the question: {wrong}"))
            return
        until = time.monotonic() + patience
        with self._gate:
            if not (over := self._over):
                of = self._attempts.setdefault(asker, Asking(asker))
                of.put += 1
                self._arrived.append(lambda: self._take(of, asked, until, answered))
        if over:
            answered(LEAVING)
        self._some.set()

    def end(self, asker: Asker, then: Callable[[], object]) -> bool:
        """The attempt has ended, and asks nothing more. `then` is called, from another thread, when all it had asked is
        answered or taken back. False: it is so already, and `then` is not called.
        """
        with self._gate:
            of = self._attempts.pop(asker, None)
            if of is None or of.idle or self._over:
                return False
            self._arrived.append(lambda: self._end(of, then))
        self._some.set()
        return True

    def wake(self) -> None:
        """Make the loop look at `stopping`."""
        self._some.set()

    # --- the loop -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Answer; sleep while nothing is asked."""
        try:
            while not self.stopping.is_set():
                self._some.wait(self._pause())
                self._some.clear()
                self._take_in()
                self._round()
        finally:
            self._leave()
            self._contact.close()

    def _take_in(self) -> None:
        while self._arrived:
            self._arrived.popleft()()

    def _leave(self) -> None:
        """Tell who still waits; what was to be carried out gets a last try, if Redis is there."""
        with self._gate:
            self._over = True
            live = list(self._attempts.values())
        self._take_in()
        for of in {*live, *(one.of for one in self._open)}:
            self._drop(of, LEAVING)
        if self._contact.down_since is None:
            self._round()
        for one in list(self._open):
            one.close(LEAVING)

    def _take(self, of: Asking, question: Question[Any], until: float, answered: Answered) -> None:
        self._ask(of, question, until, answered)
        of.taken += 1

    def _ask(self, of: Asking, question: Question[Any], until: float, answered: Answered) -> None:
        plan = self._answers[type(question)](self._jobs, of.asker, question)
        asked = Asked(question, of, plan, until, answered)
        asked.behind = [one for one in self._open if not one.closed and question.follows(one.question)]
        of.add(asked)
        self._go_on(asked, [])

    def _end(self, of: Asking, then: Callable[[], object]) -> None:
        self._drop(of, ENDED)
        of.then = then
        of.settle()

    def _drop(self, of: Asking, why: Answer) -> None:
        until = time.monotonic() + UNDO
        for undo in of.drop(why):
            self._ask(of, undo, until, lambda _: None)

    def _pause(self) -> float | None:
        """Seconds until there is something to do without being told."""
        due = min((one.due for one in self._open), default=None)
        return None if due is None else max(0.0, due - time.monotonic())

    def _round(self) -> None:
        """Send what may be sent now, all together, and take the answers in."""
        due = self._sort(time.monotonic())
        if not due:
            return
        for one in due:
            one.sent = True
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

    def _sort(self, now: float) -> list[Asked]:
        """Those whose calls go out now; the others are kept. What is over its time is answered."""
        due: list[Asked] = []
        waiting: deque[Asked] = deque()
        for one in self._open:
            if one.closed:
                continue
            if one.until <= now:
                one.close(Answer(trouble=one.trouble, away=True))
            elif one.due <= now and len(due) < MOST:
                due.append(one)
            else:
                waiting.append(one)
        self._open = waiting
        return due

    def _heard(self, one: Asked, replies: list[Any]) -> None:
        refusals = [reply for reply in replies if isinstance(reply, StoreError)]
        if not refusals:
            self._go_on(one, replies)
        elif all(isinstance(refusal, (Busy, Unavailable)) for refusal in refusals):
            one.not_before, one.trouble = time.monotonic() + AGAIN, str(refusals[0])
            self._open.append(one)
        else:
            one.close(Answer(trouble=str(refusals[0])))

    def _go_on(self, one: Asked, replies: list[Any]) -> None:
        """Have the plan take its replies, and keep it for the next round trip unless it has the answer."""
        try:
            one.calls = one.plan.send(replies) if one.calls else next(one.plan)
            one.not_before = 0.0
            self._open.append(one)
        except StopIteration as end:
            one.close(answer(end.value))
        except HeavyliftError as refused:
            one.close(Answer(trouble=str(refused)))
        except Exception as defect:  # of one plan; the others' questions are answered all the same
            log.exception("a question could not be answered")
            one.close(Answer(trouble=f"the worker met an error: {defect!r}"))

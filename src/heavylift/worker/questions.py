"""What an attempt has asked: its open questions, and what must still become of them once it has ended.

A question that may change something has three ways to end badly. Its attempt may be stopped while it waits, its answer
may never come, its process may be killed. Whatever was not answered may have taken effect, and is taken back (`undo`)
unless it certainly was not sent; an answer that was given is the handler's to act on, and stands.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from heavylift.asking import Answer, Answered, Question
from heavylift.store.call import Call

Plan: TypeAlias = Generator[Sequence[Call[Any]], list[Any], Any]


@dataclass(frozen=True, slots=True)
class Asker:
    """The attempt that asks: its queue, its job, and the token of its lock."""

    queue: str
    job: str
    token: str


@dataclass(slots=True, eq=False)
class Asked:
    """A question, and the calls it waits for.

    Attributes:
        of: what else its attempt has asked.
        until: when its patience is over (monotonic).
        sent: its calls may have run.
        closed: it has its answer.
        behind: those that must have theirs before it is asked.
    """

    question: Question[Any]
    of: Asking
    plan: Plan
    until: float
    answered: Answered
    calls: Sequence[Call[Any]] = ()
    not_before: float = 0.0
    trouble: str = "it could not be asked in time"
    sent: bool = False
    closed: bool = False
    behind: Sequence[Asked] = ()

    @property
    def waits(self) -> bool:
        """It is another's turn."""
        return any(not other.closed for other in self.behind)

    @property
    def due(self) -> float:
        """When there is something to do for it (monotonic)."""
        return self.until if self.waits else min(self.until, self.not_before)

    def close(self, answer: Answer) -> None:
        """Give the answer, once."""
        if not self.closed:
            self.closed = True
            self.of.close(self, told=not answer.trouble)
            self.answered(answer)
            self.of.settle()


@dataclass(slots=True, eq=False)
class Asking:
    """The questions of one attempt.

    Attributes:
        asker: the attempt.
        open: those without an answer.
        unsure: by what takes it back, each that may have taken effect without its handler knowing.
        put, taken: how many were asked, and how many of these are looked after yet.
        then: what to do when the attempt has ended and nothing is open any more.
    """

    asker: Asker
    put: int = 0
    taken: int = 0
    open: dict[Asked, None] = field(default_factory=dict)
    unsure: dict[Question[Any], Asked] = field(default_factory=dict)
    then: Callable[[], object] | None = None

    @property
    def idle(self) -> bool:
        """Nothing is open, and nothing is left to be taken back."""
        return self.put == self.taken and not self.open and not self.unsure

    def add(self, asked: Asked) -> None:
        """It is asked. What it takes back has no need of an answer any more."""
        if (taken := self.unsure.get(asked.question)) is not None:
            taken.close(TAKEN_BACK)
        self.open[asked] = None
        if (undo := asked.question.undo()) is not None:
            self.unsure[undo] = asked

    def close(self, asked: Asked, told: bool) -> None:
        """It has an answer; `told`: one that its handler may act on."""
        del self.open[asked]
        self.unsure.pop(asked.question, None)
        if told or not asked.sent:
            undo = asked.question.undo()
            if undo is not None:
                self.unsure.pop(undo, None)

    def drop(self, answer: Answer) -> list[Question[Any]]:
        """Answer whatever is of no use after the end of the attempt; returns what takes back what that leaves."""
        for asked in list(self.open):
            if not asked.question.outlives:
                asked.close(answer)
        being = {asked.question for asked in self.open}
        return [undo for undo in self.unsure if undo not in being]

    def settle(self) -> None:
        """If the attempt has ended and nothing is open, go on."""
        if self.then is not None and not self.open:
            then, self.then = self.then, None
            then()


TAKEN_BACK = Answer(trouble="it was taken back")

"""Verbs that change when a single job runs: promote, reschedule, priority."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from heavylift.states import State, may
from heavylift.store.call import Call
from heavylift.store.verbs import Verbs, flag


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """What became of a job that was to run at another time.

    Attributes:
        was: the state it was in.
        state: the state it is in: `delayed`, or `waiting` if its time has come. As before where that could not be.
        due_at: when a delayed one is due, ms since 1970.
        done: it is as asked; False for a job in a state in which it is not due at any time.
    """

    was: State
    state: State
    due_at: int | None

    @property
    def done(self) -> bool:
        """See there."""
        return may("reschedule", self.was)


@dataclass(frozen=True, slots=True)
class Reprioritized:
    """What became of a job that was to get another priority.

    Attributes:
        state: the state it is in.
        was: the priority it had.
        priority: the one it has.
        done: it is as asked; False for a job that was started already.
    """

    state: State
    was: int
    priority: int
    done: bool


class Moving(Verbs):
    """Promote, reschedule, priority."""

    def promote(self, queue: str, id: str) -> Call[bool]:
        """Run a delayed job now. False: it is not delayed, or not there."""
        return self._script("promote", queue, flag, id=id)

    def reschedule(
        self, queue: str, id: str, due_ms: int, *, relative: bool = False, nonce: str = ""
    ) -> Call[Rescheduled | None]:
        """Have a waiting or delayed job run at another time. None: there is no such job.

        Args:
            queue: its name.
            id: of the job.
            due_ms: since 1970; from now if `relative`.
            relative: see there.
            nonce: fresh for each call, kept when it is repeated: then a relative time moves it once.
        """

        def parse(reply: Any) -> Rescheduled | None:
            if not reply:
                return None
            was, state, due = reply
            return Rescheduled(State(was.decode()), State(state.decode()), None if due < 0 else due)

        return self._script("reschedule", queue, parse, id=id, due=due_ms, relative=int(relative), nonce=nonce)

    def reprioritize(self, queue: str, id: str, priority: int) -> Call[Reprioritized | None]:
        """Give a job that has not been started another priority. None: there is no such job."""

        def parse(reply: Any) -> Reprioritized | None:
            if not reply:
                return None
            state, was, done = reply
            return Reprioritized(State(state.decode()), was, priority if done else was, bool(done))

        return self._script("priority", queue, parse, id=id, prio=priority)

"""The shell for threads: carries out plans with one shared connection and one listener. Belongs to one process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from heavylift.client.inbox import ThreadInbox
from heavylift.client.listener import Listener
from heavylift.client.plan import Ask, Hear, Listen, Pause, Plan, Running, Step, Tell
from heavylift.client.sharing import Sharing
from heavylift.errors import ClientClosed, HeavyliftError, Unavailable
from heavylift.event import Event
from heavylift.locate import Place
from heavylift.store.call import Call
from heavylift.store.channel import Channel
from heavylift.store.connection import Connection

T = TypeVar("T")

CONNECTION = "client"
LISTENER = "listener"
"""The connections' roles, as Redis lists them after `heavylift:`."""


class Session:
    """What a client has open in one process. Connects when first used; safe to use from any thread."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._guard = threading.Lock()
        # Of those who wait until their jobs are kept (True), and of the others: they hold up only each other.
        self._sharings: dict[bool, Sharing] = {}
        self._closed = False
        self._listener = Listener(lambda: Channel(place.find(), name=LISTENER))

    def run(self, plan: Plan[T]) -> T:
        """Carry out a plan; its answer. Raises what it raises."""
        going = Running(plan)
        try:
            while going.step is not None:
                self._do(going, going.step)
            return going.value
        finally:
            going.close()

    def tell(self, plan: Plan[None]) -> Iterator[Event]:
        """Carry out a plan that tells events, as far as they are asked for."""
        going = Running(plan)
        try:
            while going.step is not None:
                if isinstance(going.step, Tell):
                    yield going.step.event
                    going.answer(None)
                else:
                    self._do(going, going.step)
        except ClientClosed:
            return
        finally:
            going.close()

    def close(self) -> None:
        """Close connections; end the listener's thread."""
        self._listener.close()
        with self._guard:
            self._closed = True
            sharings, self._sharings = self._sharings, {}
        for sharing in sharings.values():
            sharing.close()

    def _do(self, going: Running[Any], step: Step) -> None:
        try:
            answer = self._done(step)
        except HeavyliftError as wrong:
            going.fail(wrong)
        else:
            going.answer(answer)

    def _done(self, step: Step) -> Any:
        match step:
            case Ask(calls):
                return self._ask(calls)
            case Hear(box, seconds):
                return box.take(seconds)
            case Pause(seconds):
                return time.sleep(seconds)
            case Listen(channels, patterns, box):
                box = box or ThreadInbox(self._listener.leave)
                self._listener.join(box, channels, patterns)
                return box
            case Tell():
                raise TypeError("a plan that tells events is for `tell`")

    def _ask(self, calls: Sequence[Call[Any]]) -> list[Any]:
        waits = any(call.confirm or call.lasting for call in calls)
        sharing = self._sharings.get(waits) or self._connect(waits)
        answers = sharing.round_trip(calls)
        if self._closed:  # meanwhile: do not leave open what was closed
            sharing.close()
        if self._place.embedded and any(isinstance(answer, Unavailable) for answer in answers):
            self._place.find()  # whoever left last may have stopped the project's own server: start it again
        return answers

    def _connect(self, waits: bool) -> Sharing:
        with self._guard:
            if self._closed:
                raise ClientClosed
            if waits not in self._sharings:
                self._sharings[waits] = Sharing(Connection(self._place.find(), name=CONNECTION))
            return self._sharings[waits]


class Sessions:
    """The session of this process: after a fork the child opens its own and leaves its parent's alone."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._by_process: dict[int, Session] = {}

    def run(self, plan: Plan[T]) -> T:
        """Carry out a plan; its answer. Raises what it raises."""
        return self._here().run(plan)

    def tell(self, plan: Plan[None]) -> Iterator[Event]:
        """Carry out a plan that tells events, as far as they are asked for."""
        return self._here().tell(plan)

    def close(self) -> None:
        """Close what this process has open. The next use opens it again."""
        session = self._by_process.pop(os.getpid(), None)
        if session is not None:
            session.close()
            self._place.leave()

    def _here(self) -> Session:
        process = os.getpid()
        session = self._by_process.get(process)
        if session is None:
            for other in [other for other in list(self._by_process) if other != process]:
                self._by_process.pop(other, None)  # its sockets are the parent's: nothing is said on them
            session = self._by_process.setdefault(process, Session(self._place))
        return session

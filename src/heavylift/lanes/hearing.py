"""What is said between the keeper and the processes: reads pipes, passes on what attempts report, answers them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from math import inf

from heavylift.asking import MOST_OPEN, TOO_MANY, Answer
from heavylift.errors import StopReason
from heavylift.lanes.call import Call
from heavylift.lanes.lane import Sink
from heavylift.lanes.loop import Loop
from heavylift.lanes.slot import READ_AT_ONCE, Slot
from heavylift.lanes.wire import (
    Asked,
    Begin,
    End,
    Garbled,
    Hello,
    Logged,
    Message,
    Reported,
    Saved,
    SettingUp,
    Told,
    outcome_in,
)
from heavylift.log import job_log
from heavylift.outcome import Outcome

MUTE = 0.5
"""Seconds between the end of a process's pipe and its being killed, should it still live."""


class Hearing:
    """Belongs to the keeper's thread.

    Args:
        hello: what to do when a process has said hello.
        begun: what to do when an attempt has begun.
        returned: what to do when an attempt has ended.
    """

    def __init__(
        self,
        loop: Loop,
        sink: Sink,
        hello: Callable[[Slot, Hello], None],
        begun: Callable[[Call[Slot]], None],
        returned: Callable[[Slot, Call[Slot], Outcome], None],
    ) -> None:
        self._loop = loop
        self._sink = sink
        self._hello = hello
        self._begun = begun
        self._returned = returned

    def attend(self, slot: Slot) -> None:
        """Its pipe has something to read, or room for what waits to be said."""
        if slot.gone:
            return  # an event of the same round as its end
        if slot.outgoing:
            slot.outgoing.flush()
            self._loop.await_room(slot.pipe, bool(slot.outgoing))
        over = self.read(slot)
        if over and not slot.dead and slot.mute_until == inf:
            slot.mute_until = time.monotonic() + MUTE
            slot.outgoing.clear()
            self._loop.forget(slot.pipe)

    def read(self, slot: Slot, limit: float = READ_AT_ONCE) -> bool:
        """Hear what it has said, up to so many bytes; whether it can say no more."""
        messages, over = slot.read(limit)
        try:
            for message in messages:
                self._heard(slot, message)
        except Garbled as wrong:  # a frame, and no outcome in it
            slot.garbled(wrong)
            return True
        return over

    def ask_to_stop(self, call: Call[Slot], reason: StopReason) -> None:
        """Tell its process that this call is to end."""
        call.slot.ask(call, reason)
        self._loop.await_room(call.slot.pipe, bool(call.slot.outgoing))

    def _heard(self, slot: Slot, message: Message) -> None:
        if isinstance(message, Hello):
            self._hello(slot, message)
            return
        call = slot.call
        if call is None or message.call != call.number:
            return  # of an attempt that has ended
        match message:
            case SettingUp(seconds=seconds):
                call.set_up(seconds)
            case Begin():
                call.begin(message)
                slot.loaded += message.loaded
                self._begun(call)
                self._sink.began(*call.key)
            case Reported(progress=progress):
                self._sink.progressed(*call.key, progress)
            case Saved(state=state):
                self._sink.checkpointed(*call.key, state)
            case Logged(level=level, line=line):
                call.lines.append(f"{level}: {line}")
                job_log.say(level, line, **call.log_fields(), source=level)
            case Asked():
                self._asked(call, message)
            case End():
                self._returned(slot, call, outcome_in(message))

    def _asked(self, call: Call[Slot], asked: Asked) -> None:
        call.open += 1
        if call.open > MOST_OPEN:
            self._tell(call, asked.number, TOO_MANY)
            return
        answered = partial(self._answered, call, asked.number)
        self._sink.asked(*call.key, asked.question, asked.patience, answered)

    def _answered(self, call: Call[Slot], number: int, answer: Answer) -> None:
        """From any thread."""
        self._loop.post(partial(self._tell, call, number, answer))

    def _tell(self, call: Call[Slot], number: int, answer: Answer) -> None:
        slot = call.slot
        call.open -= 1
        if slot.call is call and not slot.dead and slot.mute_until == inf:
            slot.outgoing.say(Told(call.number, number, answer))
            self._loop.await_room(slot.pipe, bool(slot.outgoing))

"""The keeper of the slots: the one thread that reads their pipes, watches their clocks and memory, and sees them die.

Everything about a slot is decided here, so nothing of it needs a lock. Others leave word (`post`) and wake it. The two
exceptions: a caller takes a slot out of `ready` to give it a call, and whoever takes a call out of `calls` tells the
sink of its end.

A death is seen by the process's sentinel. Its pipe is emptied before the outcome is given: the last checkpoint, and
even the end of the attempt, may still be in it. Only a call that had *begun* has crashed; a process that dies idle,
or with a call that it never took up, costs nobody anything. One that was killed and does not die is written off (see
`stuck`).
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

from heavylift.errors import StopReason
from heavylift.lanes.call import Call
from heavylift.lanes.errands import Errands
from heavylift.lanes.forkserver import ForkServer
from heavylift.lanes.hearing import Hearing
from heavylift.lanes.lane import Sink
from heavylift.lanes.launcher import Launcher
from heavylift.lanes.loop import Loop
from heavylift.lanes.memorywatch import MemoryWatch
from heavylift.lanes.recycling import Recycling
from heavylift.lanes.slot import Slot
from heavylift.lanes.stuck import Stuck
from heavylift.lanes.wire import Hello
from heavylift.log import log
from heavylift.outcome import Outcome

TICK = 5.0
"""Seconds. The keeper looks around at least this often."""

END_WITHIN = 2.0
"""Seconds for an idle process to end by itself before it is killed."""

EARLY = 5.0
"""Seconds. A process that dies idle before this age counts as a failed start."""


class Keeper:
    """Keeps a number of slots up.

    Attributes:
        ready: slots that can take a call; shared, by atomic steps only.
        calls: attempts in flight by job id and token; shared likewise.
        handlers: those that the last slot to start can run.
        preloaded: it had them from the fork server.
        left: processes that could not be ended, by their numbers.
        counts: recycled and died, for the status.
        stuck: processes that do not end though they were killed.
        launcher: fills the places; knows why it cannot, if it cannot.
    """

    def __init__(self, size: int, server: ForkServer, settings: bytes, sink: Sink, recycling: Recycling) -> None:
        self.ready: deque[Slot] = deque()
        self.calls: dict[tuple[str, str], Call[Slot]] = {}
        self.slots: dict[int, Slot] = {}
        self.handlers: tuple[str, ...] = ()
        self.preloaded = False
        self.left: set[int] = set()
        self.counts = {"recycled": 0, "died": 0}
        self._server = server
        self._sink = sink
        self._recycling = recycling
        self._memory = MemoryWatch()
        self._closing = False
        self._loop = Loop("heavylift-cpu", self._until_next, self._look)
        self._hearing = Hearing(self._loop, sink, self._hello, self._begun, self._returned)
        self.stuck = Stuck(self._loop, self._ended_after_all)
        self.launcher = Launcher(size, server, settings, self._loop.post, self._launched)
        self._clearer = Errands("cpu-clear")

    # --- from other threads -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the threads; slots follow."""
        for thread in (self.launcher, self._clearer, self._loop):
            thread.start()

    def post(self, act: Callable[[], None]) -> None:
        """Have the keeper do this."""
        self._loop.post(act)

    def ask(self, key: tuple[str, str], reason: StopReason) -> None:
        """Have this attempt stopped."""
        self.post(partial(self._ask, key, reason))

    def resize(self, size: int) -> None:
        """Keep so many slots up from now on."""
        self.post(partial(self._resize, size))

    def failed(self, call: Call[Slot]) -> None:
        """The executor could not run this call."""
        self.post(partial(self._failed, call))

    def close(self) -> None:
        """Start no more slots; kill those that are busy. `end` must follow."""
        self._closing = True
        self.launcher.closing()
        self.post(self._kill_busy)

    def end(self, patience: float) -> None:
        """End all processes and the threads."""
        self.launcher.close(patience)
        self._loop.end(patience)
        slots = [*self.slots.values(), *self.stuck.ended()]
        for slot in slots:
            self._clearer.order(partial(self._clear, slot, patience))
        self._clearer.close(patience * (len(slots) + 2))
        self.slots.clear()
        self._loop.close()

    # --- starting ---------------------------------------------------------------------------------------------

    def _launched(self, slot: Slot) -> None:
        self.slots[slot.index] = slot
        self._loop.watch(slot.pipe, partial(self._hearing.attend, slot))
        self._loop.watch(slot.sentinel, partial(self._died, slot))

    def _hello(self, slot: Slot, hello: Hello) -> None:
        if hello.error:
            self.launcher.failed(hello.error, slot.batch)
            self._lay_off(slot, kill=True)
            if not any(other.up for other in self.slots.values()):
                self._server.kill()  # it has the broken modules; the next one reads them anew
            return
        self.launcher.settled()
        slot.up = True
        slot.hello_by = inf
        if not hello.preloaded:
            log.warning("the fork server did not have the handlers; slots start slowly")
        self.handlers, self.preloaded = hello.handlers, hello.preloaded
        self.ready.append(slot)
        self.launcher.well()
        self._end_excess()
        self._sink.freed()

    def _resize(self, size: int) -> None:
        self.launcher.size = size
        self.launcher.fill()
        self._end_excess()

    def _end_excess(self) -> None:
        while self.launcher.excess() > 0:
            try:
                slot = self.ready.pop()
            except IndexError:
                return  # the others are busy; each comes here when its attempt has ended
            self._lay_off(slot)

    # --- the ends of attempts -----------------------------------------------------------------------------------

    def _begun(self, call: Call[Slot]) -> None:
        if call.limited:
            self._memory.begin()

    def _returned(self, slot: Slot, call: Call[Slot], outcome: Outcome) -> None:
        slot.call = None
        slot.jobs += 1
        self.launcher.useful()
        if not slot.dead:
            unfinished = call.reason is not None and not slot.alone()
            if not self._closing and (unfinished or self._recycling.worn(slot)):
                self._lay_off(slot)  # and with it what an attempt that was stopped has left running
                self.counts["recycled"] += 1
            else:
                self.ready.append(slot)
                self._end_excess()
        self._settle(call, outcome)

    def _settle(self, call: Call[Slot], outcome: Outcome) -> None:
        if self.calls.pop(call.key, None) is not None:
            self._sink.ended(*call.key, outcome, tuple(call.lines))

    # --- stopping -----------------------------------------------------------------------------------------------

    def _ask(self, key: tuple[str, str], reason: StopReason) -> None:
        call = self.calls.get(key)
        if call is not None and call.stop(reason):
            self._hearing.ask_to_stop(call, reason)

    def _kill_busy(self) -> None:
        for slot in self.slots.values():
            if slot.call is not None:
                slot.kill()

    def _failed(self, call: Call[Slot]) -> None:
        if self.calls.get(call.key) is not call:
            return
        if call.slot.dead:
            self._settle(call, call.outcome_of_death(self._closing))
        else:
            call.slot.kill()  # its death settles the call

    # --- deaths -------------------------------------------------------------------------------------------------

    def _died(self, slot: Slot) -> None:
        if slot.gone:
            return
        slot.autopsy()
        if slot.mute_until == inf:
            self._hearing.read(slot, inf)  # all that it said before it died
        early = slot.call is None and slot.jobs == 0 and time.monotonic() - slot.born < EARLY
        self.counts["died"] += 1
        if (early or not slot.up) and not self._closing:
            self.launcher.failed(
                f"process {slot.pid} ended before it was of use: {slot.cause}\n{slot.detail}", slot.batch
            )
        self._lay_off(slot)
        if (call := slot.call) is not None:
            self._settle(call, call.outcome_of_death(self._closing))

    def _lay_off(self, slot: Slot, *, kill: bool = False, clear: bool = True) -> None:
        """Part with a slot, dead or alive, have its place filled and it cleared away."""
        if slot.gone:
            return
        slot.gone = True
        with contextlib.suppress(ValueError):
            self.ready.remove(slot)
        self._loop.forget(slot.pipe)
        self._loop.forget(slot.sentinel)
        if self.slots.get(slot.index) is slot:
            del self.slots[slot.index]
            self.launcher.vacant()
        if not slot.up:
            self.launcher.settled()
        if kill:
            slot.kill()
        slot.dead = True
        self.launcher.fill()  # before it is cleared, which may take longer
        if clear:
            self._clearer.order(partial(self._clear, slot))

    def _clear(self, slot: Slot, patience: float = END_WITHIN) -> None:
        """In the thread for errands."""
        if not slot.clear(patience):
            self.left.add(slot.pid)
            self.post(partial(self._write_off, slot))

    def _write_off(self, slot: Slot) -> None:
        """It was killed and does not end: go on without it."""
        self.left.add(slot.pid)
        self.launcher.stuck = len(self.stuck) + 1
        self._lay_off(slot, clear=False)
        self.stuck.add(slot)
        self._end_excess()
        call, slot.call = slot.call, None
        if call is not None:
            self._settle(call, call.outcome_of_death(self._closing))

    def _ended_after_all(self, slot: Slot) -> None:
        self.left.discard(slot.pid)
        self.launcher.stuck = len(self.stuck)
        self.launcher.fill()
        self._clearer.order(partial(self._clear, slot))

    # --- clocks -------------------------------------------------------------------------------------------------

    def _until_next(self) -> float:
        due = min(time.monotonic() + TICK, self.launcher.due(), self._memory.due)
        for slot in self.slots.values():
            due = min(due, slot.hello_by, slot.mute_until, slot.dies_by)
            if (call := slot.call) is not None:
                due = min(due, call.due)
        return max(0.0, due - time.monotonic())

    def _look(self) -> None:
        self.launcher.fill()
        for slot, used in self._memory.over(self.slots.values()):
            if slot.call is not None:
                slot.call.used = used
            slot.kill()
        now = time.monotonic()
        for slot in list(self.slots.values()):
            if slot.dies_by <= now:
                if not slot.ended:  # else it has just died, and that is dealt with next
                    self._write_off(slot)
                continue
            call = slot.call
            if call is not None and call.time_out_at <= now:
                self._ask(call.key, "timeout")
            if min(slot.hello_by, slot.mute_until, call.begin_by if call else inf, call.end_at if call else inf) <= now:
                slot.kill()
                slot.hello_by = inf
                if call is not None:
                    call.begin_by = call.end_at = inf
                if slot.mute_until <= now:
                    slot.mute_until = now + TICK
                    slot.detail = slot.detail or "its pipe to the worker was closed"
            elif call is None and slot.up and now - slot.rss_seen >= TICK:
                self._recycle_idle(slot)

    def _recycle_idle(self, slot: Slot) -> None:
        if self._recycling.bloated(slot):
            try:
                self.ready.remove(slot)
            except ValueError:
                return  # somebody has just given it a call
            self._lay_off(slot)
            self.counts["recycled"] += 1

    def pids(self) -> list[Any]:
        """Of the processes that are up."""
        return [slot.pid for slot in list(self.slots.values())]

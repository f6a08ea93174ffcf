"""The keeper of the slots: the one thread that reads their pipes, watches their clocks and sees them die.

Everything about a slot is decided here, so nothing of it needs a lock. Others leave word (`post`) and wake it. The two
exceptions: a caller takes a slot out of `ready` to give it a call, and whoever takes a call out of `calls` tells the
sink of its end.

A death is seen by the process's sentinel. Its pipe is emptied before the outcome is given: the last checkpoint, and
even the end of the attempt, may still be in it. Only a call that had *begun* has crashed; a process that dies idle,
or with a call that it never took up, costs nobody anything.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

import structlog

from heavylift.attempt import stopped
from heavylift.errors import StopReason
from heavylift.lanes.errands import Errands
from heavylift.lanes.forkserver import ForkServer
from heavylift.lanes.lane import Sink
from heavylift.lanes.launcher import Launcher
from heavylift.lanes.slot import Call, Slot
from heavylift.lanes.wire import Begin, End, Garbled, Hello, Logged, Message, Reported, Saved, outcome_in
from heavylift.outcome import Died, Interrupted, Outcome

log = structlog.get_logger("heavylift")
job_log = structlog.get_logger("heavylift.job")

TICK = 5.0
"""Seconds. The keeper looks around at least this often."""

EARLY = 5.0
"""Seconds. A process that dies idle before this age counts as a failed start."""

MUTE = 0.5
"""Seconds between the end of a process's pipe and its being killed, should it still live."""

RSS_EVERY = 1.0
"""Seconds between two looks at a slot's memory."""


class Keeper:
    """Keeps a number of slots up.

    Attributes:
        ready: slots that can take a call; shared, by atomic steps only.
        calls: attempts in flight by job id and token; shared likewise.
        handlers: those that the last slot to start can run.
        preloaded: it had them from the fork server.
        counts: recycled and died, for the status.
        launcher: fills the places; knows why it cannot, if it cannot.
    """

    def __init__(
        self, size: int, server: ForkServer, settings: bytes, sink: Sink, *, recycle_jobs: int, recycle_rss: int
    ) -> None:
        self.ready: deque[Slot] = deque()
        self.calls: dict[tuple[str, str], Call] = {}
        self.slots: dict[int, Slot] = {}
        self.handlers: tuple[str, ...] = ()
        self.preloaded = False
        self.counts = {"recycled": 0, "died": 0}
        self.launcher = Launcher(size, server, settings, self.post, self._launched)
        self._server = server
        self._sink = sink
        self._recycle_jobs = recycle_jobs
        self._recycle_rss = recycle_rss
        self._closing = False
        self._over = False
        self._inbox: deque[Callable[[], None]] = deque()
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._awake)
        self._thread = threading.Thread(target=self._loop, name="heavylift-cpu", daemon=True)
        self._clearer = Errands("cpu-clear")

    # --- from other threads -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the threads; slots follow."""
        for thread in (self.launcher, self._clearer, self._thread):
            thread.start()

    def post(self, act: Callable[[], None]) -> None:
        """Have the keeper do this."""
        self._inbox.append(act)
        with contextlib.suppress(OSError):
            self._wake.send(b".")

    def ask(self, key: tuple[str, str], reason: StopReason) -> None:
        """Have this attempt stopped."""
        self.post(partial(self._ask, key, reason))

    def failed(self, call: Call) -> None:
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
        self.post(self._finish)
        self._thread.join(patience)
        slots = list(self.slots.values())
        for slot in slots:
            self._clearer.order(partial(slot.clear, patience))
        self._clearer.close(patience * (len(slots) + 2))
        self.slots.clear()
        self._selector.close()
        self._woken.close()
        self._wake.close()

    # --- the loop ---------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._over:
            self.launcher.fill()
            for key, _ in self._selector.select(self._until_next()):
                self._guarded(key.data)
            while self._inbox:
                self._guarded(self._inbox.popleft())
            self._guarded(self._look_at_clocks)

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # a defect of ours or of the sink's; the slots must be kept all the same
            log.exception("the keeper of the slots met an error")

    def _awake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)

    def _finish(self) -> None:
        self._over = True

    # --- starting ---------------------------------------------------------------------------------------------

    def _launched(self, slot: Slot) -> None:
        self.slots[slot.index] = slot
        self._selector.register(slot.pipe, selectors.EVENT_READ, partial(self._read, slot))
        self._selector.register(slot.sentinel, selectors.EVENT_READ, partial(self._died, slot))

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
        self._sink.freed()

    # --- what the processes say -----------------------------------------------------------------------------

    def _read(self, slot: Slot) -> None:
        if slot.gone:
            return  # an event of the same round as its end
        try:
            messages, over = slot.read()
        except Garbled as wrong:
            log.error("a slot's pipe is garbled", pid=slot.pid, why=str(wrong))
            messages, over = [], True
        for message in messages:
            self._heard(slot, message)
        if over and not slot.dead and slot.mute_until == inf:
            slot.mute_until = time.monotonic() + MUTE
            self._selector.unregister(slot.pipe)

    def _heard(self, slot: Slot, message: Message) -> None:
        if isinstance(message, Hello):
            self._hello(slot, message)
            return
        call = slot.call
        if call is None or message.call != call.number:
            return  # of an attempt that has ended
        match message:
            case Begin():
                call.begun, call.begin_by = True, inf
                if call.start.timeout is not None:
                    call.time_out_at = time.monotonic() + call.start.timeout
                self._sink.began(*call.key)
            case Reported(progress=progress):
                self._sink.progressed(*call.key, progress)
            case Saved(state=state):
                self._sink.checkpointed(*call.key, state)
            case Logged(level=level, line=line):
                call.lines.append(f"{level}: {line}")
                getattr(job_log, level, job_log.info)(line, job=call.key[0], queue=call.start.queue, source=level)
            case End():
                self._returned(slot, call, outcome_in(message))

    def _returned(self, slot: Slot, call: Call, outcome: Outcome) -> None:
        slot.call = None
        slot.jobs += 1
        self.launcher.useful()
        if not slot.dead:
            if self._worn(slot):
                self._lay_off(slot)
                self.counts["recycled"] += 1
            else:
                self.ready.append(slot)
        self._settle(call, outcome)

    def _settle(self, call: Call, outcome: Outcome) -> None:
        if self.calls.pop(call.key, None) is not None:
            self._sink.ended(*call.key, outcome, tuple(call.lines))

    # --- stopping -----------------------------------------------------------------------------------------------

    def _ask(self, key: tuple[str, str], reason: StopReason) -> None:
        call = self.calls.get(key)
        if call is None or call.reason is not None:
            return
        call.reason = reason
        call.time_out_at = inf
        call.end_at = time.monotonic() + call.start.grace
        call.slot.ask(call, reason)

    def _kill_busy(self) -> None:
        for slot in self.slots.values():
            if slot.call is not None:
                slot.kill()

    def _failed(self, call: Call) -> None:
        if self.calls.get(call.key) is not call:
            return
        if call.slot.dead:
            self._settle(call, self._outcome_of_death(call))
        else:
            call.slot.kill()  # its death settles the call

    # --- deaths -------------------------------------------------------------------------------------------------

    def _died(self, slot: Slot) -> None:
        if slot.gone:
            return
        slot.autopsy()
        if slot.mute_until == inf:
            with contextlib.suppress(Garbled):
                for message in slot.read(inf)[0]:  # all that it said before it died
                    self._heard(slot, message)
        early = slot.call is None and slot.jobs == 0 and time.monotonic() - slot.born < EARLY
        self.counts["died"] += 1
        if (early or not slot.up) and not self._closing:
            self.launcher.failed(
                f"process {slot.pid} ended before it was of use: {slot.cause}\n{slot.detail}", slot.batch
            )
        self._lay_off(slot)
        if (call := slot.call) is not None:
            self._settle(call, self._outcome_of_death(call))

    def _outcome_of_death(self, call: Call) -> Outcome:
        if call.reason is not None:
            return stopped(call.reason, call.start.timeout, forced=True)
        if self._closing:
            return Interrupted("shutdown")
        if not call.begun:
            return Interrupted("not_begun")
        return Died(call.slot.cause, call.slot.detail)

    def _lay_off(self, slot: Slot, *, kill: bool = False) -> None:
        """Part with a slot, dead or alive, have its place filled and it cleared away."""
        if slot.gone:
            return
        slot.gone = True
        with contextlib.suppress(ValueError):
            self.ready.remove(slot)
        for file in (slot.pipe, slot.sentinel):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(file)
        if self.slots.get(slot.index) is slot:
            del self.slots[slot.index]
            self.launcher.vacant(slot.index)
        if not slot.up:
            self.launcher.settled()
        if kill:
            slot.kill()
        slot.dead = True
        self.launcher.fill()  # before it is cleared, which may take longer
        self._clearer.order(slot.clear)

    # --- clocks -------------------------------------------------------------------------------------------------

    def _until_next(self) -> float:
        due = min(time.monotonic() + TICK, self.launcher.due())
        for slot in self.slots.values():
            due = min(due, slot.hello_by, slot.mute_until)
            if (call := slot.call) is not None:
                due = min(due, call.begin_by, call.time_out_at, call.end_at)
        return max(0.0, due - time.monotonic())

    def _look_at_clocks(self) -> None:
        now = time.monotonic()
        for slot in list(self.slots.values()):
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
                    slot.detail = "its pipe to the worker was closed, or written to by something else"
            elif call is None and slot.up and now - slot.rss_seen >= TICK:
                self._recycle_idle(slot)

    def _recycle_idle(self, slot: Slot) -> None:
        if self._recycle_rss and slot.rss() > self._recycle_rss:
            try:
                self.ready.remove(slot)
            except ValueError:
                return  # somebody has just given it a call
            self._lay_off(slot)
            self.counts["recycled"] += 1

    def _worn(self, slot: Slot) -> bool:
        if self._closing:
            return False
        if self._recycle_jobs and slot.jobs >= self._recycle_jobs:
            return True
        due = time.monotonic() - slot.rss_seen >= RSS_EVERY
        return bool(self._recycle_rss) and due and slot.rss() > self._recycle_rss

    def pids(self) -> list[Any]:
        """Of the processes that are up."""
        return [slot.pid for slot in list(self.slots.values())]

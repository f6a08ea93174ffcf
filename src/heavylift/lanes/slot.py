"""One slot: an executor with one process, the pipe to it, and what the system knows about it.

`launch` and `clear` block and belong to the errand threads; everything else is called by the keeper, but for `submit`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from math import inf
from multiprocessing.connection import wait
from typing import cast

from heavylift.errorinfo import cut
from heavylift.errors import StopReason
from heavylift.lanes import child
from heavylift.lanes.call import BEGIN_WITHIN, Call
from heavylift.lanes.forkserver import LOST, ForkServer, Passed, SlotContext, SlotProcess
from heavylift.lanes.memory import resident, sessions
from heavylift.lanes.outgoing import Outgoing
from heavylift.lanes.wire import Frames, Garbled, Message, StopAsked
from heavylift.log import log

DUMP_LIMIT = 8 * 1024
"""Bytes kept of the dump of a native crash."""

READ_AT_ONCE = 256 * 1024
"""Bytes read from one slot before the others get their turn."""

DIES_WITHIN = 2.0
"""Seconds from SIGKILL to the end of a process. One that takes longer hangs in the system, and is written off."""


class Slot:
    """A process that runs one attempt at a time. Never repaired: one that has died is replaced.

    Attributes:
        index: its place in the lane.
        call: what it runs.
        jobs: how many it has run.
        up: it has said hello.
        dead: its process has ended, or is being ended.
        gone: the keeper has parted with it.
        cause: what it died of: `killed:SIGSEGV`, `exited:1`.
        detail: what more is known about that: the fault handler's dump.
        loaded: bytes that it holds for its handlers (see `setup`).
        outgoing: what is said to the process.
        batch: of starts; those that fail together count as one failure.
        hello_by, mute_until, dies_by: moments at which the keeper acts.
    """

    def __init__(self, index: int, executor: ProcessPoolExecutor, process: SlotProcess, pipe: socket.socket, dump: int):
        self.index = index
        self.pid: int = process.pid or 0
        self.pipe = pipe
        self.call: Call[Slot] | None = None
        self.jobs = self.batch = self.loaded = 0
        self.up = self.dead = self.gone = False
        self.cause = "killed:unknown"
        self.detail = ""
        self.born = self.rss_seen = time.monotonic()
        self.hello_by = self.born + BEGIN_WITHIN
        self.mute_until = self.dies_by = inf
        self.outgoing = Outgoing(pipe)
        self._executor = executor
        self._process = process
        self._dump = dump
        self._frames = Frames()
        self._ending: threading.Thread | None = None
        self._pidfd = -1
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._pidfd = os.pidfd_open(self.pid)

    @classmethod
    def launch(cls, index: int, server: ForkServer, settings: bytes) -> Slot:
        """Start a process. Its hello is still to come."""
        context = SlotContext(server)
        with contextlib.ExitStack() as undo:
            undo.callback(context.forget)
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            with theirs:  # or the end of the child would never be seen
                dump = _nameless_file()
                undo.callback(os.close, dump)
                given = cast(tuple[int, int, bytes], (Passed(theirs.fileno()), Passed(dump), settings))  # numbers there
                executor = ProcessPoolExecutor(1, mp_context=context, initializer=child.start, initargs=given)
                undo.callback(executor.shutdown, wait=False)
                executor.submit(child.ready)
                if context.spawned is None:
                    raise RuntimeError("the executor has started no process")
            ours.setblocking(False)
            slot = cls(index, executor, context.spawned, ours, dump)
            undo.pop_all()
            return slot

    # --- calls ------------------------------------------------------------------------------------------------

    def submit(self, call: Call[Slot], data: bytes, failed: Callable[[Call[Slot]], None]) -> None:
        """Hand over a call. `failed` is called, in any thread, if the executor could not run it."""

        def look(future: Future[None]) -> None:
            if future.exception() is not None:
                failed(call)

        self.call = call
        try:
            self._executor.submit(child.run, call.number, data).add_done_callback(look)
        except RuntimeError:  # broken or shut down: it died before it got this
            failed(call)
        if self.dead:  # it died in between; an executor may then lose a call without a word
            failed(call)

    def ask(self, call: Call[Slot], reason: StopReason) -> None:
        """Ask it to stop this call. A pipe that is full is no matter: the kill comes anyway."""
        self.outgoing.interject(StopAsked(call.number, reason))

    def read(self, limit: float = READ_AT_ONCE) -> tuple[list[Message], bool]:
        """What the process has said, as far as it is there, and whether it can say no more.

        What was whole before something else wrote to the pipe has been said; after that it can say no more.
        """
        messages: list[Message] = []
        size = 0
        while size < limit:
            try:
                data = self.pipe.recv(65536)
            except BlockingIOError:
                return messages, False
            except OSError:
                return messages, True
            if not data:
                return messages, True
            size += len(data)
            try:
                messages += self._frames.feed(data)  # keeps those that came before one that raises
            except Garbled as wrong:
                self.garbled(wrong)
                return messages, True
        return messages, False

    def garbled(self, wrong: Garbled) -> None:
        """It has said what nobody can read. It will be ended for that, and this is why."""
        self.detail = self.detail or f"its pipe to the worker was written to by something else: {wrong}"
        log.error("a slot's pipe is garbled", pid=self.pid, why=str(wrong))

    # --- the process ------------------------------------------------------------------------------------------

    @property
    def sentinel(self) -> int:
        """Readable when the process has ended."""
        return self._process.sentinel

    def rss(self) -> int:
        """Resident size in bytes; 0 if that cannot be said."""
        self.rss_seen = time.monotonic()
        return resident(self.pid)

    def alone(self) -> bool:
        """Nothing lives that was started in it, but for what has begun a session of its own; False if unknown."""
        try:
            return len(sessions([self.pid])[self.pid]) == 1
        except OSError:
            return False

    def kill(self) -> None:
        """End the process and all that it has started."""
        if wait([self.sentinel], 0):
            return  # its number may be another's by now
        self.dies_by = min(self.dies_by, time.monotonic() + DIES_WITHIN)
        with contextlib.suppress(OSError):
            if os.getpgid(self.pid) == self.pid:  # not yet so in its first moments
                os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)

    def end_group(self) -> None:
        """End what a process that has died has left running.

        As long as its group has members its number is given to nobody; if there is a process of that number, the group
        was empty.
        """
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        except OSError:
            return

    def autopsy(self) -> None:
        """Find out what the process that has just ended died of, before anything is cleared away."""
        self.dead = True
        self.cause = _cause(self._process.exitcode)
        with contextlib.suppress(OSError):
            if dump := os.pread(self._dump, 64 * 1024, 0):
                self.detail = cut(dump.decode("utf-8", "replace"), DUMP_LIMIT)

    @property
    def ended(self) -> bool:
        """The process is no more."""
        return bool(wait([self.sentinel], 0))

    def clear(self, patience: float = 2.0) -> bool:
        """End the process if it has not ended yet, then give back everything that belonged to it. Blocks.

        Returns:
            False if not even a kill has ended it: call again when it has.
        """
        if not self._shut_down(patience):
            return False
        self._process.close()
        self.end_group()
        self.pipe.close()
        os.close(self._dump)
        if self._pidfd >= 0:
            os.close(self._pidfd)
        return True

    def _shut_down(self, patience: float) -> bool:
        """End the executor with its process; False if not even a kill has ended that."""
        if self._ending is None:  # once only: a second shutdown would not wait any more
            ending = threading.Thread(target=self._executor.shutdown, name="heavylift-cpu-end", daemon=True)
            try:
                ending.start()
            except RuntimeError:  # the system gives no more threads: once the process has ended, it takes no time
                self.kill()
                if not wait([self.sentinel], DIES_WITHIN):
                    return False
                self._executor.shutdown()
                return True
            self._ending = ending
        self._ending.join(patience)
        if self._ending.is_alive():
            self.kill()
            self._ending.join(DIES_WITHIN)
            if self._ending.is_alive() and not self.ended:
                return False
            self._ending.join()
        return True


def _cause(code: int | None) -> str:
    if code is None or code == LOST:
        return "killed:unknown"
    if code >= 0:
        return f"exited:{code}"
    try:
        return f"killed:{signal.Signals(-code).name}"
    except ValueError:
        return f"killed:{-code}"


def _nameless_file() -> int:
    """A file without a name, gone with its last descriptor."""
    if sys.platform == "linux":
        return os.memfd_create("heavylift-dump")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())

"""The child's end of its pipe: messages out under a lock, stops and answers in by a thread that sees the parent go."""

from __future__ import annotations

import contextlib
import errno
import itertools
import multiprocessing
import os
import select
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from math import inf

from heavylift.asking import Answered
from heavylift.lanes.stopping import Stopping
from heavylift.lanes.wire import Asked, Frames, Message, StopAsked, Told, frame


class ChildPipe:
    """Sends with blocking writes: a child that says more than the worker reads has to wait for it.

    Threads: `send` and `pose` from any; the listener reads stops and answers, makes the calls asked for by `later`,
    and ends the process together with its group when the parent is gone.
    """

    def __init__(self, fd: int, stopping: Stopping) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(True)
        self._stopping = stopping
        self._writing = threading.Lock()
        self._frames = Frames()
        self._later: tuple[float, Callable[[], None]] | None = None
        self._numbers = itertools.count(1)
        self._open: dict[int, Answered] = {}  # questions of the call that runs, by their numbers
        self._woken, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._listen, name="heavylift-listener", daemon=True)

    def start(self) -> None:
        """Start to listen."""
        self._thread.start()

    def send(self, message: Message) -> None:
        """Write one message whole. No stop is raised in between."""
        data = frame(message)
        with self._stopping.held(), self._writing, contextlib.suppress(OSError):  # parent gone: the listener sees to it
            self._socket.sendall(data)

    def pose(self, call: int, question: bytes, patience: float, answered: Answered) -> None:
        """Send a question off. A full pipe holds this up, as it does `send`."""
        number = next(self._numbers)
        self._open[number] = answered
        self.send(Asked(call, number, question, patience))

    def forget(self) -> None:
        """The call has ended: its answers are not waited for any more."""
        self._open.clear()

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Make this call in so many seconds, from the listener's thread. Replaces one that is waiting."""
        self._later = (time.monotonic() + seconds, call)
        with contextlib.suppress(OSError):
            os.write(self._wake, b".")

    def _listen(self) -> None:
        try:
            self._until_parent_is_gone()
        except OSError:
            return  # the handler has closed our descriptors; the worker sees that, and ends us
        end_group()

    def _until_parent_is_gone(self) -> None:
        parent = multiprocessing.parent_process()
        poll = select.poll()
        for fd in (self._socket.fileno(), self._woken, *([parent.sentinel] if parent else [])):
            poll.register(fd, select.POLLIN)
        while True:
            events = poll.poll(self._wait_ms())
            if any(event & select.POLLNVAL for _, event in events):
                raise OSError(errno.EBADF, "closed under our feet")
            ready = {fd for fd, _ in events}
            if parent is not None and parent.sentinel in ready:
                return
            if self._woken in ready:
                os.read(self._woken, 4096)
            if self._socket.fileno() in ready and not self._read():
                return
            self._call_later()

    def _wait_ms(self) -> int | None:
        later = self._later
        wait = (later[0] if later else inf) - time.monotonic()
        return None if wait == inf else max(0, int(wait * 1000) + 1)

    def _call_later(self) -> None:
        later = self._later
        if later is not None and later[0] <= time.monotonic():
            self._later = None
            try:
                later[1]()
            except Exception:  # whoever asked for it is to hear of it; stops must be heard all the same
                traceback.print_exc()

    def _read(self) -> bool:
        """False: the parent has closed its end."""
        data = self._socket.recv(65536)
        for message in self._frames.feed(data):
            if isinstance(message, StopAsked):
                self._stopping.ask(message.call, message.reason)
            elif isinstance(message, Told) and (answered := self._open.pop(message.number, None)) is not None:
                answered(message.answer)
        return bool(data)


def end_group() -> None:
    """End this process and all that it has started. Nothing may outlive the worker."""
    if os.getpgrp() == os.getpid():
        with contextlib.suppress(OSError):
            os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)

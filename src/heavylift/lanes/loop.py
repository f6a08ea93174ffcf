"""A thread that waits for descriptors, for clocks, and for what others ask of it, and does one thing at a time."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from heavylift.log import log

Act = Callable[[], None]


class Loop:
    """Calls what it is given in its own thread, so that what only those calls touch needs no lock.

    Args:
        name: of the thread.
        wait: seconds it may sleep now.
        look: called after each sleep.
    """

    def __init__(self, name: str, wait: Callable[[], float], look: Act) -> None:
        self._wait = wait
        self._look = look
        self._over = False
        self._inbox: deque[Act] = deque()
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._awake)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def post(self, act: Act) -> None:
        """Have this done. From any thread."""
        self._inbox.append(act)
        with contextlib.suppress(OSError):
            self._wake.send(b".")

    def end(self, patience: float) -> None:
        """Do what was posted, then end the thread. Close must follow."""
        self.post(self._finish)
        if self._thread.is_alive():
            self._thread.join(patience)

    def close(self) -> None:
        """Give back the descriptors."""
        self._selector.close()
        self._woken.close()
        self._wake.close()

    def watch(self, file: Any, act: Act) -> None:
        """Call this when the file is readable. In the loop's thread."""
        self._selector.register(file, selectors.EVENT_READ, act)

    def await_room(self, file: Any, wanted: bool) -> None:
        """Call what watches the file when it takes bytes, too; or only when it is readable. In the loop's thread."""
        with contextlib.suppress(KeyError, ValueError):
            key = self._selector.get_key(file)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
            if key.events != events:
                self._selector.modify(file, events, key.data)

    def forget(self, file: Any) -> None:
        """Watch it no more; nothing if it is not watched. In the loop's thread."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(file)

    def _run(self) -> None:
        while not self._over:
            for key, _ in self._selector.select(self._wait()):
                self._guarded(key.data)
            while self._inbox:
                self._guarded(self._inbox.popleft())
            self._guarded(self._look)

    def _guarded(self, act: Act) -> None:
        try:
            act()
        except Exception:  # a defect of ours or of the sink's; the loop must go on all the same
            log.exception("a loop met an error", thread=self._thread.name)

    def _awake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)

    def _finish(self) -> None:
        self._over = True

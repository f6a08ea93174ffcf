"""What the worker says to a process, on its way: the pipe may be full, and the worker never waits for it to empty."""

from __future__ import annotations

import contextlib
import socket
from collections import deque

from heavylift.lanes.wire import Message, frame


class Outgoing:
    """The frames for one process, in order; what does not fit into its pipe is kept until it does.

    A frame that has been begun is always finished first, or the process would read the next one into it.
    """

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe = pipe
        self._frames: deque[memoryview] = deque()
        self._begun = False

    def __len__(self) -> int:
        return len(self._frames)

    def say(self, message: Message) -> None:
        """Send it after all that was said before, as far as the pipe takes it."""
        self._frames.append(memoryview(frame(message)))
        self.flush()

    def interject(self, message: Message) -> None:
        """Send it before all that has not been begun."""
        self._frames.insert(int(self._begun), memoryview(frame(message)))
        self.flush()

    def flush(self) -> None:
        """Send what fits. Nothing of it is kept if nobody reads any more."""
        try:
            while self._frames:
                rest = self._frames[0]
                sent = self._pipe.send(rest)
                self._begun = sent < len(rest)
                if self._begun:
                    self._frames[0] = rest[sent:]
                else:
                    self._frames.popleft()
        except BlockingIOError:
            return
        except OSError:
            self.clear()

    def clear(self) -> None:
        """Forget what has not been sent: the process is gone, or its pipe is."""
        with contextlib.suppress(IndexError):
            while True:
                self._frames.pop()

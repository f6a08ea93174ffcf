"""What a handler prints and logs in a child, brought to its job line by line.

A handler that prints a million lines must not keep the worker busy: so many lines a second go out as they come, of
the rest only the last ones do, when the second is over or the attempt ends.
"""

from __future__ import annotations

import io
import logging
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from heavylift.context import LOG_LINES, MAX_LINE, line

LINES_PER_SECOND = 200


class LineBudget:
    """Passes lines on, up to a number a second, and the last of what was too much."""

    def __init__(self, send: Callable[[str, str], None]) -> None:
        self._send = send
        self._tail: deque[tuple[str, str]] = deque(maxlen=LOG_LINES)
        self._left_out = 0
        self._spent = 0
        self._second = 0.0

    def add(self, level: str, text: str) -> None:
        """One line."""
        now = time.monotonic()
        if now - self._second >= 1.0:
            self.flush()
            self._second, self._spent = now, 0
        if self._spent < LINES_PER_SECOND:
            self._spent += 1
            self._send(level, text)
        else:
            self._left_out += 1
            self._tail.append((level, text))

    def flush(self) -> None:
        """Send the tail of what was too much."""
        missing, self._left_out = self._left_out - len(self._tail), 0
        if missing > 0:
            self._send("warning", f"({missing} lines left out)")
        while self._tail:
            self._send(*self._tail.popleft())


class PrintedLines(io.TextIOBase):
    """Stands in for `sys.stdout` or `sys.stderr`.

    Between attempts it lets everything through to where it went before.
    """

    def __init__(self, name: str, beneath: Any, say: Callable[[str, str], bool]) -> None:
        self._name = name
        self._beneath = beneath
        self._say = say
        self._rest: list[str] = []  # in the pieces that it was written in
        self._length = 0

    def write(self, text: str) -> int:
        """Whole lines go out; the rest waits for its end, or until it is as long as a line may be.

        A carriage return ends a line as well: a progress bar in a terminal writes nothing else.
        """
        if "\n" in text or "\r" in text:
            end, *lines, rest = text.replace("\r", "\n").split("\n")
            self._keep(end)
            self.finish()
            for printed in lines:
                self._send(printed)
            self._keep(rest)
        else:
            self._keep(text)
        return len(text)

    def _keep(self, piece: str) -> None:
        self._rest.append(piece)
        self._length += len(piece)
        if self._length >= MAX_LINE:
            self.finish()

    def _send(self, printed: str) -> None:
        if printed and not self._say(self._name, line(printed)):
            self._beneath.write(printed + "\n")

    def finish(self) -> None:
        """Send an unfinished line."""
        rest, self._rest, self._length = self._rest, [], 0
        self._send("".join(rest))

    def flush(self) -> None:
        """Lines go out as they are finished."""

    def fileno(self) -> int:
        """Of what is beneath: for subprocesses."""
        number: int = self._beneath.fileno()
        return number

    def writable(self) -> bool:
        """Yes."""
        return True

    @property
    def buffer(self) -> Any:
        """Of what is beneath: bytes are not lines, and belong to no job."""
        return self._beneath.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Always UTF-8."""
        return "utf-8"


class LoggedLines(logging.Handler):
    """Brings the records of `logging` to the job."""

    def __init__(self, say: Callable[[str, str], bool]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """One line for the message, and one for the exception if there is one."""
        try:
            level = line(record.levelname).lower()
            self._say(level, line(f"{record.name}: {record.getMessage()}"))
            if record.exc_info and record.exc_info[1] is not None:
                self._say(level, line(f"{record.exc_info[1]!r}"))
        except Exception:
            self.handleError(record)


class Capture:
    """Puts all of them in place.

    Args:
        say: takes a level and a line; False if no attempt is running.
    """

    def __init__(self, say: Callable[[str, str], bool]) -> None:
        self._streams = (PrintedLines("stdout", sys.stdout, say), PrintedLines("stderr", sys.stderr, say))
        sys.stdout, sys.stderr = self._streams
        root = logging.getLogger()
        root.addHandler(LoggedLines(say))
        if root.level in (logging.NOTSET, logging.WARNING):
            root.setLevel(logging.INFO)

    def finish(self) -> None:
        """The attempt has ended: send what is unfinished."""
        for stream in self._streams:
            stream.finish()

"""Something happens to a thread so far into a module, as it may anywhere: a stop strikes it, the collector runs."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class Strike:
    """Does `what`, once, in the first thread that is `watched` and comes so far in the module.

    Not where a `with` of a lock ends: there the interpreter gives nothing a chance before the lock is given back.

    Args:
        module: where.
        so_far: so many lines, calls and returns of it into the work of one thread.
        what: may raise.

    Attributes:
        done: it was.
    """

    def __init__(self, module: ModuleType, so_far: int, what: Callable[[], Any]) -> None:
        self.done = False
        self._file = module.__file__
        self._lines = inspect.getsource(module).splitlines()
        self._so_far = so_far
        self._what = what
        self._came: dict[int, int] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """What this thread does in here may be struck."""
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(None)

    def _trace(self, frame: Any, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename != self._file:
            return None
        if event == "exception" or "with self._" in self._lines[frame.f_lineno - 1]:
            return self._trace
        came = self._came[threading.get_ident()] = self._came.get(threading.get_ident(), 0) + 1
        if came == self._so_far and not self.done:
            self.done = True
            self._what()
        return self._trace

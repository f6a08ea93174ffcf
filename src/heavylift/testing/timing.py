"""Time-outs of attempts that run in the test's own process, kept as the io lane keeps them.

A watch in a thread of its own looks at the attempt. One that is late is asked to stop: an async handler is cancelled,
in a plain one `Stop` is raised at its next bytecode. What nothing in a process can do is end a call that does not come
back, like `time.sleep(3600)`: the test waits for it, and the attempt then counts as the worker would have counted it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any

from heavylift.attempt import Prepared, run, run_async
from heavylift.errorinfo import error_info
from heavylift.lanes.interrupting import Interruptible
from heavylift.lanes.lane import Sink
from heavylift.lanes.running import Run
from heavylift.lanes.watch import Watch
from heavylift.middleware import Middleware
from heavylift.outcome import Outcome, Raised
from heavylift.testing.running import Steps

DEBUGGERS = frozenset({"bdb", "pdb", "pydevd", "_pydevd_bundle", "debugpy"})
"""Packages whose code is on a thread's stack while somebody looks at it."""


class Timed:
    """Runs attempts one after the other, each no longer than its time-out.

    Args:
        sink: where they report to.
        max_result: largest encoded result in bytes.
        middleware: what each is called within.
    """

    def __init__(self, sink: Sink, max_result: int, middleware: Sequence[Middleware]) -> None:
        self._sink = sink
        self._max_result = max_result
        self._middleware = middleware
        self._place = Interruptible()
        self._now: _Timed | None = None
        self._watch = Watch(self._runs, self._act)

    def start(self) -> None:
        """Start the watch."""
        self._watch.start()

    def close(self) -> None:
        """End it."""
        self._watch.stop()

    def steps(self, prepared: Prepared) -> Steps[tuple[Outcome, tuple[str, ...]]]:
        """Run one attempt; its outcome and its last log lines."""
        made = _Timed(prepared, self._sink, self._watch.sooner)
        try:
            if prepared.handler.is_async:
                outcome = yield self._awaited(made)
            else:
                self._now = made
                outcome = self._place.outcome(made, self._plain)
        finally:
            self._now = None
        return (made.stop_outcome(forced=True) if made.late else outcome), made.lines()

    def _runs(self) -> list[Run]:
        now = self._now
        return [] if now is None else [now]

    def _plain(self, made: Run) -> Outcome:
        return run(made.prepared, made, self._max_result, self._middleware)

    async def _awaited(self, made: _Timed) -> Outcome:
        loop = asyncio.get_running_loop()
        over: asyncio.Future[Any] = loop.create_future()
        task: asyncio.Future[Any] = loop.create_task(run_async(made.prepared, made, self._max_result, self._middleware))
        made.cancelling = partial(_soon, loop, task.cancel)
        made.leaving = partial(_soon, loop, partial(_resolve, over))
        self._now = made  # from here on the watch may call them
        try:
            await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:  # whoever awaits the drain was cancelled
            task.cancel()
            raise
        if not task.done():
            return made.stop_outcome(forced=True)
        try:
            outcome: Outcome = task.result()
            return outcome
        except BaseException as raised:
            return made.stop_outcome() if made.reason else Raised(error_info(raised))

    def _act(self, run: Run, now: float) -> None:
        """Called by the watch, in its thread, when one of the attempt's deadlines is due."""
        made = self._now
        if made is not run or made is None:
            return
        if made.flush_at <= now:
            made.flush()
        looked_at = (made.time_out_at <= now or made.end_at <= now) and _in_debugger(made.thread)
        if made.time_out_at <= now:
            made.time_out_at = now + (made.prepared.start.timeout or inf) if looked_at else inf
            if not looked_at:
                self._stop(made, now)
        if made.end_at <= now:
            made.end_at = now + made.prepared.start.grace if looked_at else inf
            if not looked_at:
                made.late = made.settled = True
                made.leaving()

    def _stop(self, made: _Timed, now: float) -> None:
        made.reason = "timeout"
        made.end_at = now + made.prepared.start.grace
        if made.prepared.handler.is_async:
            made.cancelling()
        else:
            self._place.interrupt(made)
            made.wake()


class _Timed(Run):
    """An attempt of a test.

    Attributes:
        thread: the one it runs in.
        late: its grace is over as well, and it has not ended.
        cancelling, leaving: for an async one: ask its task to end; go on without it.
    """

    __slots__ = ("cancelling", "late", "leaving", "thread")

    def __init__(self, prepared: Prepared, sink: Sink, sooner: Callable[[float], None]) -> None:
        super().__init__(prepared, sink, sooner)
        self.thread = threading.get_ident()
        self.late = False
        self.cancelling: Callable[[], object] = _nothing
        self.leaving: Callable[[], object] = _nothing


def _nothing() -> None:
    """Of a plain handler there is no task."""


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the loop is closed: the attempt has ended
        loop.call_soon_threadsafe(call)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _in_debugger(thread: int) -> bool:
    """Somebody looks at what this thread does, at a breakpoint: that takes the time that it takes."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in DEBUGGERS:
            return True
        frame = frame.f_back
    return False

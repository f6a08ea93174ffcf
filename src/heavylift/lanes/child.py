"""The process of a slot: what runs in it, from its first line to its last.

`start` is the executor's initializer, `run` is the one function that is ever submitted, `ready` makes the executor
start the process. In: a number and bytes. Out, over the pipe: hello, then for each call begin, reports, end. Nothing
of the handler's, neither its functions nor its exceptions, is ever pickled.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import forkserver, util
from pathlib import Path
from typing import Any

import msgspec

from heavylift import attempt
from heavylift.asking import LATE, Answer, Answered, Awaited
from heavylift.attempt import Handlers, Prepared, Start, stopped
from heavylift.errorinfo import error_info
from heavylift.errors import Stop, StopReason
from heavylift.files import Roots
from heavylift.job import Progress
from heavylift.lanes.capture import Capture, LineBudget
from heavylift.lanes.childpipe import ChildPipe
from heavylift.lanes.memory import Backstop, resident, share
from heavylift.lanes.stopping import Stopping
from heavylift.lanes.wire import Begin, Hello, Logged, Reported, Saved, SettingUp, end
from heavylift.middleware import Middleware, load, overriding
from heavylift.outcome import Outcome, Raised
from heavylift.redaction import SILENT, Hush

PR_SET_PDEATHSIG = 1
OOM_SCORE = 500
"""Added to the child's: when memory runs out the system takes a handler and not the worker."""


class ChildSettings(msgspec.Struct, frozen=True):
    """What a child has to know.

    Attributes:
        root, modules, threads: where its handlers are, should the fork server not have them; see `preload`.
        nice: added to its niceness.
        max_result: bytes.
        allowed_roots: folders that its handlers may use files in; `root` alone if there are none.
        middleware: `module:Name` of each.
    """

    root: str
    modules: tuple[str, ...]
    threads: int
    nice: int
    max_result: int
    allowed_roots: tuple[str, ...] = ()
    middleware: tuple[str, ...] = ()


class Child:
    """One process: its handlers, its pipe, and the call it is at. Lives in the main thread."""

    def __init__(
        self,
        pipe: ChildPipe,
        stopping: Stopping,
        handlers: Handlers,
        max_result: int,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        self._pipe = pipe
        self._stopping = stopping
        self._handlers = handlers
        self._max_result = max_result
        self._backstop = Backstop()
        self._middleware = overriding(middleware, "call")
        self._reporter: PipeReporter | None = None
        self._capture = Capture(self.say)

    def say(self, level: str, text: str) -> bool:
        """A line that was printed or logged. False if it belongs to no attempt."""
        reporter = self._reporter
        if reporter is None:
            return False
        reporter.logged(level, text)
        return True

    def run(self, call: int, data: bytes) -> None:
        """One attempt. Does not raise."""
        start = msgspec.msgpack.decode(data, type=Start)
        self._reporter = reporter = PipeReporter(call, start, self._pipe, self._stopping)
        try:
            try:
                outcome = self._outcome(call, start, reporter)
            finally:
                self._stopping.disarm()
        except Stop:  # it landed beside the handler's own lines
            outcome = stopped(self._stopping.reason(call) or "cancelled", start.timeout)
        except BaseException as defect:
            outcome = Raised(error_info(defect))
        self._backstop.lift()  # a stop may have struck just as it was to be lifted
        self._capture.finish()
        self._reporter = None
        self._pipe.forget()
        reporter.finish()
        self._pipe.send(end(call, outcome))

    def _outcome(self, call: int, start: Start, reporter: PipeReporter) -> Outcome:
        prepared = attempt.prepare(start, self._handlers)
        if not isinstance(prepared, Prepared):
            return prepared
        reporter.hush = prepared.hush
        if (reason := self._stopping.arm(call)) is not None:
            return stopped(reason, start.timeout)
        confined = self._backstop.at(start.memory)
        return attempt.run(prepared, reporter, self._max_result, self._middleware, confined)


class PipeReporter:
    """Implements `context.Reporter`: everything goes to the worker."""

    def __init__(self, call: int, start: Start, pipe: ChildPipe, stopping: Stopping) -> None:
        self._call = call
        self._limited = start.memory is not None
        self._bare: int | None = None  # bytes before anything was loaded for the handler
        self._pipe = pipe
        self._stopping = stopping
        self._lines = LineBudget(lambda level, line: pipe.send(Logged(call, level, line)))
        self.hush: Hush = SILENT

    def setting_up(self, seconds: float) -> None:
        """From here on another clock counts."""
        if self._bare is None:
            self._bare = resident(os.getpid())
        self._pipe.send(SettingUp(self._call, seconds))

    def began(self) -> None:
        """From here on a death is a crash."""
        sizes = (resident(os.getpid()), share(os.getpid())) if self._limited else (0, 0)
        loaded = 0 if self._bare is None else max(0, resident(os.getpid()) - self._bare)
        self._pipe.send(Begin(self._call, *sizes, loaded))

    def progressed(self, progress: Progress) -> None:
        """Send it."""
        self._pipe.send(Reported(self._call, attempt.hushed(progress, self.hush)))

    def checkpointed(self, state: bytes) -> None:
        """Send it."""
        self._pipe.send(Saved(self._call, state))

    def logged(self, level: str, line: str) -> None:
        """Send it, within the budget."""
        self._lines.add(level, self.hush(line))

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """The listener makes the call."""
        self._pipe.later(seconds, call)

    def pose(self, question: bytes, patience: float, answered: Answered) -> None:
        """Send it."""
        self._pipe.pose(self._call, question, patience, answered)

    def ask(self, question: bytes, patience: float) -> Answer:
        """Send it and wait. The signal of a stop ends the wait of the main thread by itself."""
        awaited = Awaited()
        self.pose(question, patience, awaited.give)
        return awaited.wait(patience + LATE)

    def stopping(self) -> StopReason | None:
        """Why the call was asked to stop."""
        return self._stopping.reason(self._call)

    def finish(self) -> None:
        """Send the last lines."""
        self._lines.flush()


_child: Child | None = None  # one process, one child: the executor calls functions and passes no state


def start(pipe_fd: int, dump_fd: int, settings: bytes) -> None:
    """The executor's initializer. Says hello, or why it cannot."""
    global _child
    said = msgspec.msgpack.decode(settings, type=ChildSettings)
    _become_a_group()
    _isolate(said.nice)
    faulthandler.enable(file=dump_fd, all_threads=True)
    Roots(Path(said.root), tuple(map(Path, said.allowed_roots))).install()
    stopping = Stopping()
    pipe = ChildPipe(pipe_fd, stopping)
    try:
        handlers, preloaded, names, error = _load(said)
        if handlers is not None:
            middleware = load(said.middleware, Path(said.root))
            for one in overriding(middleware, "flush"):
                util.Finalize(None, one.flush, exitpriority=0)  # when the slot is renewed or closed
            _child = Child(pipe, stopping, handlers, said.max_result, middleware)
    except BaseException:
        preloaded, names, error = False, (), traceback.format_exc()
    pipe.start()
    pipe.send(Hello(os.getpid(), preloaded, names, error))


def ready() -> None:
    """The first call: the executor starts its process for it."""


def run(call: int, data: bytes) -> None:
    """Every other call."""
    if _child is not None:
        _child.run(call, data)


def _load(said: ChildSettings) -> tuple[Handlers | None, bool, tuple[str, ...], str]:
    """The handlers, whether the fork server had them, their names, and what went wrong."""
    from heavylift.lanes import preload

    orders = preload.Orders(said.root, said.modules, middleware=said.middleware, threads=said.threads)
    loaded = preload.loaded
    preloaded = loaded is not None and (loaded.orders.root, loaded.orders.modules) == (said.root, said.modules)
    if loaded is None or not preloaded:
        loaded = preload.load(orders)
    registry = loaded.registry
    names = tuple(handler.name for handler in registry.handlers if handler.lane == "cpu") if registry else ()
    return registry, preloaded, names, loaded.error


def _become_a_group() -> None:
    """A session of its own: what the handler starts is killed with it, and the terminal's signals stay away."""
    with contextlib.suppress(OSError):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _isolate(nice: int) -> None:
    """Go after the worker in everything: in processor time, in memory, and in death."""
    server: Any = getattr(forkserver, "_forkserver", None)
    if (alive := getattr(server, "_forkserver_alive_fd", None)) is not None:
        # The server lives as long as anybody holds this. If its children did, it would outlive the worker and they
        # with it.
        os.close(alive)
        server._forkserver_alive_fd = None
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        with contextlib.suppress(OSError):
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write(str(OOM_SCORE))
    if nice:
        with contextlib.suppress(OSError):
            os.nice(nice)

"""The io lane: plain handlers in threads, async handlers on one event loop.

One number of places for both. CPU work does not belong here: a handler that keeps the interpreter for itself holds up
its neighbours, and in the end the heartbeat.

Threads: the loop runs async handlers; the watch looks after timeouts and stops; one thread for each plain handler that
runs at the same time. Whoever takes a run out of `_runs` calls the sink for it, so that happens once.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Literal

from heavylift import attempt
from heavylift.attempt import Handlers, Prepared, Start
from heavylift.errorinfo import error_info
from heavylift.errors import StopReason
from heavylift.lanes.call import BEGIN_WITHIN
from heavylift.lanes.lane import Sink
from heavylift.lanes.running import Run
from heavylift.lanes.threads import Threads
from heavylift.lanes.watch import Watch
from heavylift.log import log
from heavylift.middleware import Middleware, overriding
from heavylift.outcome import Interrupted, Outcome, Raised
from heavylift.settings import Settings

AGAIN = 0.1
"""Seconds until the system is asked again for a thread that it did not give."""


class IoLane:
    """Implements `lanes.lane.Lane` for handlers that mostly wait."""

    def __init__(
        self,
        handlers: Handlers,
        settings: Settings,
        sink: Sink,
        middleware: Sequence[Middleware] = (),
        on_crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`on_crash` is told if the clock dies of a defect: without it nothing is stopped any more."""
        self._handlers = handlers
        self._middleware = overriding(middleware, "call")
        self._sink = sink
        self._places = settings.places
        self._max_result = settings.max_result
        self._runs: dict[tuple[str, str], Run] = {}
        self._stuck: dict[Run, None] = {}
        self._closing = False
        self._gate = threading.Lock()  # between `submit` and `close`
        self._loop_over = False
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self._run_loop, name="heavylift-io-loop", daemon=True)
        self._threads = Threads(self._places, self._execute, self._finish, self._look_soon)
        self._watch = Watch(lambda: list(self._runs.values()), self._act, on_crash, self._look)

    @property
    def name(self) -> Literal["io"]:
        """`io`."""
        return "io"

    def start(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Start the loop and the watch, at once; threads come when they are needed."""
        self._loop_thread.start()
        self._watch.start()

    @property
    def size(self) -> int:
        """Places that are not stuck."""
        return self._places - len(self._stuck)

    def resize(self, size: int) -> None:
        """Have so many places; threads that are not needed end by themselves."""
        self._places = size
        self._threads.allow(size)
        self._sink.freed()

    def free(self) -> int:
        """Places free now."""
        if self._closing or self._threads.problem:
            return 0
        return max(0, self._places - len(self._runs) - len(self._stuck))

    def submit(self, starts: Sequence[Start]) -> None:
        """Run these. One hand-over to the loop and one to the threads, however many there are."""
        plain: list[Run] = []
        on_loop: list[Run] = []
        refused: list[tuple[Start, Outcome]] = []
        with self._gate:
            free = self.free()
            for start in starts:
                prepared = attempt.prepare(start, self._handlers) if free else Interrupted("no_place")
                if not isinstance(prepared, Prepared):
                    refused.append((start, prepared))
                    continue
                free -= 1
                run = Run(prepared, self._sink, self._watch.sooner)
                self._runs[run.key] = run
                (on_loop if prepared.handler.is_async else plain).append(run)
            if on_loop:
                self._loop.call_soon_threadsafe(self._begin, on_loop)
            if plain:
                self._threads.submit(plain)
        for start, outcome in refused:
            self._sink.ended(start.id, start.token, outcome, ())

    def holds(self, id: str, token: str) -> bool:
        """It is among those that run or wait for a thread."""
        return (id, token) in self._runs

    def stop_attempt(self, id: str, token: str, reason: StopReason) -> None:
        """Ask this attempt to end; its grace runs from here."""
        run = self._runs.get((id, token))
        if run is not None:
            self._stop(run, reason)

    def close(self, deadline_s: float) -> None:
        """Stop what runs, wait, settle what is left as interrupted. Does not wait for stuck threads."""
        with self._gate:
            if self._closing:
                return
            self._closing = True
        for run in list(self._runs.values()):
            self._stop(run, "shutdown")
        deadline = time.monotonic() + deadline_s
        while self._runs and time.monotonic() < deadline:
            time.sleep(0.005)
        for run in list(self._runs.values()):
            self._end(run)
        self._watch.stop()
        self._threads.close()
        self._close_loop()

    def snapshot(self) -> dict[str, Any]:
        """Facts for the status."""
        problem = self._threads.problem
        return {
            "places": self._places,
            "free": self.free(),
            "busy": len(self._runs),
            "stuck": len(self._stuck),
            "threads": len(self._threads),
            "ready": self._loop_thread.is_alive() and self._watch.running and not self._closing and not problem,
            "problem": problem,
        }

    # --- the end of a run ---------------------------------------------------------------------------------

    def _finish(self, run: Run, outcome: Outcome) -> None:
        """It has ended: give its place back and tell the sink, once."""
        if self._runs.pop(run.key, None) is not None:
            run.settled = True
            self._tell_end(run, outcome)
        elif run in self._stuck:
            del self._stuck[run]
            log.info("a stuck attempt has ended after all", **run.log_fields())
            self._sink.freed()

    def _give_up(self, run: Run) -> None:
        """It has not ended though it was asked to: settle it without it. Its place stays taken."""
        self._stuck[run] = None
        if self._runs.pop(run.key, None) is None:
            del self._stuck[run]  # it ended just now
            return
        run.settled = True
        fields = run.log_fields()
        log.warning("an attempt does not end; its place stays taken until it does", **fields, why=run.reason)
        self._tell_end(run, run.stop_outcome(forced=True))

    def _tell_end(self, run: Run, outcome: Outcome) -> None:
        try:
            self._sink.ended(*run.key, outcome, run.lines())
        except Exception:  # a defect of the sink must not cost us the thread
            log.exception("the end of an attempt could not be told", job=run.key[0])

    # --- stopping -------------------------------------------------------------------------------------------

    def _act(self, run: Run, now: float) -> None:
        """Called by the watch when one of the run's deadlines is due."""
        if run.flush_at <= now:
            run.flush()
        if run.time_out_at <= now:
            run.time_out_at = inf
            self._stop(run, "timeout")
        if run.end_at <= now:
            run.end_at = inf
            self._end(run)
        run.plan()

    def _end(self, run: Run) -> None:
        """Its grace is over."""
        if self._threads.withdraw(run):
            self._finish(run, run.stop_outcome())
        else:
            self._give_up(run)

    # --- threads that the system does not give ----------------------------------------------------------------

    def _look_soon(self) -> None:
        self._watch.sooner(time.monotonic() + AGAIN)

    def _look(self, now: float) -> float:
        """Try again for what has no thread; called by the watch. Returns when to look again."""
        if not self._threads.problem:
            return inf
        self._threads.wake()
        for run in self._threads.withdraw_before(now - BEGIN_WITHIN):
            self._finish(run, run.stop_outcome() if run.reason else Interrupted("no_place"))
        if self._threads.problem:
            return now + AGAIN
        self._sink.freed()
        return inf

    def _stop(self, run: Run, reason: StopReason) -> None:
        if not run.stop(reason):
            return
        if run.prepared.handler.is_async:
            self._loop.call_soon_threadsafe(self._cancel, run)
        else:
            self._threads.interrupt(run)
            run.wake()

    # --- plain handlers, in the threads -----------------------------------------------------------------------

    def _execute(self, run: Run) -> Outcome:
        if run.reason is not None:
            return run.stop_outcome()
        return attempt.run(run.prepared, run, self._max_result, self._middleware)

    # --- async handlers, in the loop's thread -----------------------------------------------------------------

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._loop_over:
            try:
                self._loop.run_forever()
            except BaseException:  # a SystemExit in a task of the handler's own ends `run_forever`
                log.exception("a handler interrupted the event loop; it goes on")
        try:
            self._loop.run_until_complete(self._leave_nothing())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _leave_nothing(self) -> None:
        """Cancel the tasks that handlers left behind, and those that are stuck."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=0.5)
        await self._loop.shutdown_asyncgens()

    def _begin(self, runs: Sequence[Run]) -> None:
        create = self._loop.create_task
        for run in runs:
            run.task = create(self._drive(run))

    async def _drive(self, run: Run) -> None:
        run.begun = True
        try:
            if run.reason is not None:
                outcome = run.stop_outcome()
            else:
                outcome = await attempt.run_async(run.prepared, run, self._max_result, self._middleware)
        except BaseException as raised:
            outcome = run.stop_outcome() if run.reason else Raised(error_info(raised))
        self._finish(run, outcome)

    def _cancel(self, run: Run) -> None:
        # A task cancelled before its first step never runs at all; one that has not begun will see the reason.
        if run.begun and run.task is not None:
            run.task.cancel()

    def _close_loop(self) -> None:
        self._loop_over = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop_thread.join(2.0)
        if self._loop_thread.is_alive():
            log.warning("a handler blocks the event loop; its thread is left behind")

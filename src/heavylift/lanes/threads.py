"""Threads for plain handlers: as many as are needed, at most one for each place.

A hand-over wakes at most one sleeping thread. A thread that takes work and leaves some wakes the next before it begins.
So a crowd of handlers that block gets a thread each within microseconds, while a crowd of tiny ones
is run by the first thread alone, before the next has even got the interpreter: no switch between threads for each.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from heavylift.lanes.interrupting import Interruptible
from heavylift.lanes.running import Run
from heavylift.log import log
from heavylift.outcome import Outcome

IDLE = 30.0
"""Seconds after which a thread without work ends."""


class Threads:
    """The threads of an io lane.

    Args:
        limit: most threads there may be.
        execute: runs a handler to an outcome; a `Stop` may come out of it.
        finish: what to do with the outcome.
        short: called when the system gives no thread; `wake` is to be called again soon.
    """

    def __init__(
        self,
        limit: int,
        execute: Callable[[Run], Outcome],
        finish: Callable[[Run, Outcome], None],
        short: Callable[[], None],
    ) -> None:
        self._limit = limit
        self._execute = execute
        self._finish = finish
        self._short = short
        self._problem = ""
        self._pending: deque[Run] = deque()
        self._guard = threading.Lock()  # the four below
        self._threads: set[_Thread] = set()
        self._idle: list[_Thread] = []
        self._waking = False
        self._closing = False

    def __len__(self) -> int:
        return len(self._threads)

    def allow(self, limit: int) -> None:
        """Have at most so many threads from now on; those there are, are not ended for it."""
        self._limit = limit

    def submit(self, runs: Iterable[Run]) -> None:
        """Run these as soon as may be."""
        self._pending.extend(runs)
        self.wake()

    def wake(self) -> None:
        """See to it that one more thread looks for work, if none is on its way already."""
        with self._guard:
            if self._waking or self._closing:
                return
            if self._idle:
                self._waking = True
                self._idle.pop().gate.release()
            elif len(self._threads) < self._limit:
                self._waking = True
                self._spawn()

    def _spawn(self) -> None:
        thread = _Thread(self)
        try:
            thread.start()
        except RuntimeError as refused:  # the system gives no more threads
            self._waking = False
            if not self._problem:
                log.error("no thread for a handler, trying again", threads=len(self._threads), why=str(refused))
            self._problem = f"the system gives no thread: {refused}"
            self._short()
        else:
            self._problem = ""
            self._threads.add(thread)

    @property
    def problem(self) -> str:
        """Why there is no thread for what is pending; empty if there is one, or nothing is."""
        return self._problem if self._pending else ""

    def withdraw(self, run: Run) -> bool:
        """Take back what no thread has taken up yet; False if one has."""
        try:
            self._pending.remove(run)
        except ValueError:
            return False
        return True

    def withdraw_before(self, moment: float) -> list[Run]:
        """Take back all that was submitted before then (monotonic) and no thread has taken up."""
        return [run for run in list(self._pending) if run.made_at < moment and self.withdraw(run)]

    def interrupt(self, run: Run) -> None:
        """Raise `Stop` in the thread that runs this, at its next bytecode. Once; not if it has ended meanwhile."""
        if isinstance(run.place, Interruptible):
            run.place.interrupt(run)

    def close(self) -> None:
        """End the threads. Those that are stuck in a handler are left alone; they end when it does."""
        with self._guard:
            self._closing = True
            threads = list(self._threads)
            for thread in self._idle:
                thread.gate.release()
            self._idle.clear()
        for thread in threads:
            while thread.is_alive() and thread.place.run_now is None:
                thread.join(0.05)

    # --- called by the threads --------------------------------------------------------------------------------

    def take(self, thread: _Thread) -> Run | None:
        """The next run; sleeps until there is one. None: the thread should end."""
        while True:
            try:
                run = self._pending.popleft()
            except IndexError:
                if not self._sleep(thread):
                    return None
                continue
            if not self._pending:
                self._problem = ""
            elif not self._waking:
                self.wake()
            return run

    def _sleep(self, thread: _Thread) -> bool:
        with self._guard:
            if self._pending:
                return True
            if self._closing:
                self._threads.discard(thread)
                return False
            self._idle.append(thread)
        if not thread.gate.acquire(timeout=IDLE):
            with self._guard:
                if thread in self._idle:
                    self._idle.remove(thread)
                    self._threads.discard(thread)
                    return False
            thread.gate.acquire()
        self.awake()
        return True

    def awake(self) -> None:
        """The thread that was woken runs; the next may be."""
        self._waking = False


class _Thread(threading.Thread):
    """One thread."""

    def __init__(self, pool: Threads) -> None:
        super().__init__(name="heavylift-io", daemon=True)
        self.gate = threading.Semaphore(0)
        self.place = Interruptible()
        self._pool = pool

    def run(self) -> None:
        """Take and run until there is nothing more to do."""
        self._pool.awake()
        while (run := self._pool.take(self)) is not None:
            outcome = self.place.outcome(run, self._pool._execute)
            self._pool._finish(run, outcome)
            del run, outcome

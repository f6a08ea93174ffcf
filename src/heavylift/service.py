"""The one contract for everything that has a thread: start once, stop any number of times, say why it died.

A service is a loop in a thread of its own. `start` returns when the thread runs; `stop` asks it to end and
waits; both may be called from any thread. A loop that raises is a defect: the exception is kept, reported to
`on_crash`, and the worker shuts down rather than limp on without it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from heavylift.log import log


class Service:
    """Base of the loops. A subclass gives `run`, which returns soon after `stopping` is set.

    Attributes:
        name: of the thread, in logs and stack dumps.
        stopping: set once the service has been asked to stop.
        crashed: what `run` raised, if it did.
    """

    def __init__(self, name: str, on_crash: Callable[[BaseException], None] | None = None) -> None:
        self.name = name
        self.stopping = threading.Event()
        self.crashed: BaseException | None = None
        self._on_crash = on_crash
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()

    def run(self) -> None:
        """The loop. Runs in the service's own thread."""
        raise NotImplementedError

    def wake(self) -> None:
        """Make a waiting loop look at `stopping` again. Loops that wait on something else override it."""

    def start(self) -> None:
        """Start the thread. A second call does nothing."""
        with self._guard:
            if self._thread is None and not self.stopping.is_set():
                self._thread = threading.Thread(target=self._guarded, name=f"heavylift-{self.name}", daemon=True)
                self._thread.start()

    def stop(self, timeout: float | None = 5.0) -> bool:
        """Ask the loop to end and wait up to `timeout` seconds. True if it has ended."""
        self.stopping.set()
        self.wake()
        with self._guard:  # a thread is there once it has started, not before
            thread = self._thread
        if thread is None or thread is threading.current_thread():
            return thread is None
        thread.join(timeout)
        return not thread.is_alive()

    @property
    def running(self) -> bool:
        """True while the thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def _guarded(self) -> None:
        try:
            self.run()
        except BaseException as crash:
            self.crashed = crash
            try:
                log.exception("service crashed", service=self.name)
            finally:
                if self._on_crash is not None:
                    self._on_crash(crash)

"""A thread for what takes a while: starting processes and seeing them off, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from heavylift.log import log


class Errands:
    """Runs what it is given, in order, in a thread of its own."""

    def __init__(self, name: str) -> None:
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name=f"heavylift-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def order(self, errand: Callable[[], None]) -> None:
        """Run this when what was ordered before is done."""
        self._orders.put(errand)

    def close(self, timeout: float) -> bool:
        """Do what is left, then end. True if that was done in time."""
        self._orders.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while (errand := self._orders.get()) is not None:
            try:
                errand()
            except Exception:
                log.exception("an errand failed")
            del errand

"""The hand-over: tells jobs in other queues how the ones they waited for have ended.

The dispatcher says when a settlement of its own has filled an outbox, the janitor when a sweep found that one is full
or that blocked jobs should be looked after. Any worker does it for any queue; what one leaves undone, another finds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from heavylift.errors import Unavailable
from heavylift.service import Service
from heavylift.store.handover import Trip, hand_over, look_after
from heavylift.store.jobs import Jobs
from heavylift.worker.contact import Contact


class HandOver(Service):
    """A loop with a connection of its own, so that a page of children holds up neither claims nor sweeps."""

    def __init__(self, jobs: Jobs, contact: Contact, on_crash: Callable[[BaseException], None] | None = None) -> None:
        super().__init__("handover", on_crash)
        self._jobs = jobs
        self._contact = contact
        self._guard = threading.Lock()
        self._some = threading.Event()
        self._outboxes: set[str] = set()
        self._tended: set[str] = set()
        self._busy = False

    def filled(self, queue: str) -> None:
        """The queue's outbox has something."""
        with self._guard:
            self._outboxes.add(queue)
        self._some.set()

    def look_after(self, queue: str) -> None:
        """See to the queue's outbox and to its blocked jobs."""
        with self._guard:
            self._tended.add(queue)
        self._some.set()

    def idle(self) -> bool:
        """True if all that was asked for is done."""
        with self._guard:
            return not (self._busy or self._outboxes or self._tended)

    def wake(self) -> None:
        """Make the loop look at `stopping`."""
        self._some.set()

    def run(self) -> None:
        """Do what is asked for, until stopped; what is left then is found by others."""
        try:
            while not self.stopping.is_set():
                self._some.wait()
                self._some.clear()
                self.round()
        finally:
            self._contact.close()

    def round(self) -> None:
        """Do what is asked for now. The loop calls it; so does who has no loop."""
        with self._guard:
            outboxes, self._outboxes = self._outboxes, set()
            tended, self._tended = self._tended, set()
            self._busy = True
        try:
            self._travel(hand_over(self._jobs, sorted(outboxes)))
            for queue in sorted(tended):
                self._travel(look_after(self._jobs, queue))
        except Unavailable:
            with self._guard:
                self._outboxes |= outboxes
                self._tended |= tended
            self.stopping.wait(self._contact.pause())
            self._some.set()
        finally:
            self._busy = False

    def _travel(self, trip: Trip[Any]) -> None:
        try:
            calls = next(trip)
            while not self.stopping.is_set():
                calls = trip.send(self._contact.round_trip(calls))
        except StopIteration:
            return
        finally:
            trip.close()

"""A process that fires schedules and is killed at the worst moment: `firing.py URL QUEUE before|after`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from heavylift.registry import Registry
from heavylift.request import Requests
from heavylift.store.call import Call
from heavylift.store.connection import Connection, Target
from heavylift.store.jobs import Jobs
from heavylift.worker.contact import Contact
from heavylift.worker.scheduler import Scheduler


class Deadly(Contact):
    """Its process dies with the call that writes a tick: before it is sent, or once Redis has answered."""

    def __init__(self, url: str, when: str) -> None:
        super().__init__("scheduler", lambda role: Connection(Target.from_url(url), name="scheduler"))
        self._when = when

    def round_trip(self, calls: Sequence[Call[Any]], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        writes = any(call.script is not None and call.script.verb == "enqueue" for call in calls)
        if writes and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        replies = super().round_trip(calls, meanwhile)
        if writes:
            os.kill(os.getpid(), signal.SIGKILL)
        return replies


if __name__ == "__main__":
    url, queue, when = sys.argv[1:]
    scheduler = Scheduler(Jobs(), Deadly(url, when), Registry(), queues=[queue], requests=Requests(1 << 18), poll=0.2)
    scheduler.run()

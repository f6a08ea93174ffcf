"""What a worker says once, when it starts: that its queues are there, and which limits its handlers declare.

Said once and not again and again: while a new release takes over from an old one, the last worker to start decides, and
the limits do not go to and fro between the two. What was set by hand stays until the code says something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heavylift.errors import Busy, StoreError
from heavylift.log import log
from heavylift.registry import Registry
from heavylift.store.call import Call
from heavylift.store.jobs import Jobs
from heavylift.worker.contact import Contact


class Announcing:
    """Calls still to be made.

    Args:
        jobs: the store's verbs.
        queues: the queues that the worker serves.
        registry: its handlers.
    """

    def __init__(self, jobs: Jobs, queues: Sequence[str], registry: Registry) -> None:
        self._calls: list[Call[Any]] = [jobs.register_queue(queue) for queue in queues]
        self._calls += [jobs.declare(queue, limit) for queue in queues for limit in registry.limits[queue]]

    def over(self, contact: Contact) -> bool:
        """Say it. False if there is more to be said, once a slot of a Cluster has moved.

        Raises:
            Unavailable: no contact; nothing said is harmed by being said again.
        """
        replies = contact.round_trip(self._calls)
        for reply in replies:
            if isinstance(reply, StoreError) and not isinstance(reply, Busy):
                log.warning("redis refused what the handlers declare", error=str(reply))
        self._calls = [call for call, reply in zip(self._calls, replies, strict=True) if isinstance(reply, Busy)]
        return not self._calls

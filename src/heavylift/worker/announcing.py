"""What a worker says when it starts: that its queues are there, and which limits its handlers declare.

Said once and not again and again: while a new release takes over from an old one, the last worker to start decides, and
the limits do not go to and fro between the two. What was set by hand stays until the code says something else.

Once, that is, in each epoch of a queue. A Redis that was emptied, or came back with older data, has lost limits and
schedules too, and says nothing of it: jobs would go on without limits, and nothing would tick, until a worker starts
the next time. So the first worker of a queue leaves a mark there, the epoch; every sweep reads it, and takes it away
where Redis went back; and where it is another one or none, all is said again. By each worker: where releases are mixed,
which of them decides is then open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from heavylift.errors import Busy, StoreError
from heavylift.job import new_id
from heavylift.log import log
from heavylift.registry import Registry
from heavylift.store.call import Call
from heavylift.store.jobs import Jobs
from heavylift.worker.contact import Contact


class Announcing:
    """What is to be said of each queue, and in which epoch it was.

    Args:
        jobs: the store's verbs.
        queues: the queues that the worker serves.
        registry: its handlers.
        again: called with a queue that was forgotten, once its limits are there again.

    Attributes:
        forgotten: how often Redis had forgotten a queue.
    """

    def __init__(
        self, jobs: Jobs, queues: Sequence[str], registry: Registry, again: Callable[[str], None] = lambda queue: None
    ) -> None:
        self.forgotten = 0
        self._jobs = jobs
        self._registry = registry
        self._again = again
        self._queues = frozenset(queues)
        self._unsaid = list(queues)
        self._epochs: dict[str, str] = {}
        self._refused: dict[str, str] = {}

    def over(self, contact: Contact) -> bool:
        """Say it. False if there is more to be said, once a slot of a Cluster has moved.

        What is refused for another reason is said again after the next sweep.

        Raises:
            Unavailable: no contact; nothing said is harmed by being said again.
        """
        calls = {queue: self._calls(queue) for queue in self._unsaid}
        replies = iter(contact.round_trip([call for some in calls.values() for call in some]))
        self._unsaid = [queue for queue, some in calls.items() if not self._said(queue, [next(replies) for _ in some])]
        return not self._unsaid

    def swept(self, queue: str, epoch: str, contact: Contact) -> None:
        """A sweep has found the queue in this epoch: if it was said in another, say it again.

        Raises:
            Unavailable: no contact; the next sweep finds the same.
        """
        known = self._epochs.get(queue)
        if queue not in self._queues or (epoch and epoch == known):
            return
        self._unsaid = [queue]
        if self.over(contact) and known is not None and self._epochs[queue] != known:
            self.forgotten += 1
            log.error("redis had forgotten the queue; what its handlers declare is said again", queue=queue)
            self._again(queue)

    def _calls(self, queue: str) -> list[Call[Any]]:
        """The epoch first: if all is forgotten in the midst of it, so is the epoch."""
        jobs = self._jobs
        limits = [jobs.declare(queue, limit) for limit in self._registry.limits[queue]]
        return [jobs.epoch(queue, new_id()), jobs.register_queue(queue), *limits]

    def _said(self, queue: str, replies: Sequence[Any]) -> bool:
        """False if it has to be said again."""
        if any(isinstance(reply, Busy) for reply in replies):
            return False
        refused = next((str(reply) for reply in replies if isinstance(reply, StoreError)), "")
        if refused and refused != self._refused.get(queue):
            log.warning("redis refused what the handlers declare, trying again", queue=queue, error=refused)
        self._refused[queue] = refused
        if not refused:
            self._epochs[queue] = replies[0]
        return True

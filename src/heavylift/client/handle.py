"""A job as its producer holds it: where it is, and everything that can be asked of it.

`Job` for threads, `AsyncJob` for event loops; both only name the plans of `operations`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Generic, TypeVar

from heavylift.client.async_session import AsyncSessions
from heavylift.client.operations import HowCancelled, Operations
from heavylift.client.session import Sessions
from heavylift.event import Event
from heavylift.job import JobRecord, Progress, State

R = TypeVar("R")


class Handle(Generic[R]):
    """What both kinds share.

    Attributes:
        id: the job's id.
        queue: the queue it is in.
        duplicate: it was there before: a job of this id, or one like it (`unique`). `enqueue` has left it as it was,
            but for the arguments and the time of a debounced one.
    """

    __slots__ = ("_kind", "_plans", "_shell", "duplicate", "id", "queue")

    def __init__(
        self, shell: Any, plans: Operations, queue: str, id: str, duplicate: bool = False, kind: Any = Any
    ) -> None:
        self.queue = queue
        self.id = id
        self.duplicate = duplicate
        self._shell: Any = shell
        self._plans = plans
        self._kind = kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and (self.queue, self.id) == (other.queue, other.id)

    def __hash__(self) -> int:
        return hash((self.queue, self.id))

    def __repr__(self) -> str:
        return f"<job {self.id} in queue {self.queue}{', a duplicate' if self.duplicate else ''}>"


class Job(Handle[R]):
    """An enqueued job. Every method asks Redis, and raises `JobNotFound` if the job is not there (any more).

    They also raise `Unavailable` if Redis cannot be reached for as long as the client's patience lasts.
    """

    __slots__ = ()
    _shell: Sessions

    def result(self, timeout: float | None = None) -> R:
        """Wait until the job has ended; what its handler returned.

        Args:
            timeout: seconds; for ever if not given. 0 does not wait.

        Raises:
            JobFailed: it is in the dead letters; says why, with the last attempt's traceback.
            JobCancelled: it was cancelled.
            ResultTimeout: it has not ended yet. It goes on.
        """
        answer: R = self._shell.run(self._plans.result(self.queue, self.id, self._kind, timeout))
        return answer

    def state(self) -> State:
        """Where the job is."""
        return self._shell.run(self._plans.state(self.queue, self.id))

    def record(self) -> JobRecord:
        """All that is known of the job: arguments, times, counters, attempts, result."""
        return self._shell.run(self._plans.record(self.queue, self.id))

    def progress(self) -> Progress | None:
        """How far the job has said it is; None if it has said nothing."""
        return self._shell.run(self._plans.progress(self.queue, self.id))

    def watch(self, timeout: float | None = None) -> Iterator[Event]:
        """What happens to the job, beginning with where it is now, until it has ended (or `timeout` seconds)."""
        return self._shell.tell(self._plans.watch([(self.queue, self.id)], timeout))

    def cancel(self) -> HowCancelled:
        """Cancel the job: `cancelled` at once, or `asked` to stop if it runs; `ended` if it was too late."""
        return self._shell.run(self._plans.cancel(self.queue, self.id))

    def promote(self) -> bool:
        """Run it now though it is delayed. False if it is not delayed."""
        return self._shell.run(self._plans.promote(self.queue, self.id))

    def replay(self) -> bool:
        """Put it back in line with fresh counters. False if it is not in the dead letters.

        Raises:
            UniqueHeld: it is to be unique, and another job like it is there by now.
        """
        return self._shell.run(self._plans.replay(self.queue, self.id))

    def remove(self) -> bool:
        """Delete the job and all that is kept of it. False if it runs: cancel it first."""
        return self._shell.run(self._plans.remove(self.queue, self.id))


class AsyncJob(Handle[R]):
    """As `Job`, for an event loop."""

    __slots__ = ()
    _shell: AsyncSessions

    async def result(self, timeout: float | None = None) -> R:
        """As `Job.result`."""
        answer: R = await self._shell.run(self._plans.result(self.queue, self.id, self._kind, timeout))
        return answer

    async def state(self) -> State:
        """As `Job.state`."""
        return await self._shell.run(self._plans.state(self.queue, self.id))

    async def record(self) -> JobRecord:
        """As `Job.record`."""
        return await self._shell.run(self._plans.record(self.queue, self.id))

    async def progress(self) -> Progress | None:
        """As `Job.progress`."""
        return await self._shell.run(self._plans.progress(self.queue, self.id))

    def watch(self, timeout: float | None = None) -> AsyncIterator[Event]:
        """As `Job.watch`."""
        return self._shell.tell(self._plans.watch([(self.queue, self.id)], timeout))

    async def cancel(self) -> HowCancelled:
        """As `Job.cancel`."""
        return await self._shell.run(self._plans.cancel(self.queue, self.id))

    async def promote(self) -> bool:
        """As `Job.promote`."""
        return await self._shell.run(self._plans.promote(self.queue, self.id))

    async def replay(self) -> bool:
        """As `Job.replay`."""
        return await self._shell.run(self._plans.replay(self.queue, self.id))

    async def remove(self) -> bool:
        """As `Job.remove`."""
        return await self._shell.run(self._plans.remove(self.queue, self.id))

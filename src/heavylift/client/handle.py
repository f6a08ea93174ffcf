"""A job as its producer holds it: where it is, and everything that can be asked of it.

`Job` for threads, `AsyncJob` for event loops; both only name the plans of `operations`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from heavylift.client import explaining, moving
from heavylift.client.async_session import AsyncSessions
from heavylift.client.editing import NewArgs
from heavylift.client.operations import HowCancelled, Operations
from heavylift.client.session import Sessions
from heavylift.event import Event
from heavylift.job import JobRecord, Progress, State
from heavylift.options import JobRef
from heavylift.store.jobs import Reprioritized, Rescheduled
from heavylift.why import Why

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
        answer: R = self._shell.run(explaining.result(self._plans, self.queue, self.id, self._kind, timeout))
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

    def waits_for(self, most: int = 20) -> list[JobRef]:
        """The jobs that it still waits for, `most` of them at most; none if it is not blocked."""
        return self._shell.run(self._plans.waits_for(self.queue, self.id, most))

    def why(self) -> Why:
        """Why it does not run, or that it does: all reasons, what must be lifted first at the front; see `Why`."""
        return self._shell.run(explaining.why(self._plans, self.queue, self.id))

    def cancel(self) -> HowCancelled:
        """Cancel the job: `cancelled` at once, or `asked` to stop if it runs; `ended` if it was too late."""
        return self._shell.run(self._plans.cancel(self.queue, self.id))

    def promote(self) -> bool:
        """Run it now though it is delayed. False if it is not delayed."""
        return self._shell.run(moving.promote(self._plans, self.queue, self.id))

    def reschedule(self, *, delay: float | timedelta | None = None, at: datetime | None = None) -> Rescheduled:
        """Run it at another time; it must be waiting or delayed. A time that has come puts it in line at once.

        Args:
            delay: seconds or timedelta from now.
            at: the time, with a time zone; instead of `delay`.

        Returns:
            the state it was in and the one it is in; `done` is False for a job that runs, is blocked or has ended,
            which stays as it is.
        """
        return self._shell.run(moving.reschedule(self._plans, self.queue, self.id, delay, at))

    def reprioritize(self, priority: int) -> Reprioritized:
        """Give it another priority; one in line keeps the time it has waited.

        Returns:
            the priority it had and the one it has; `done` is False for a job that runs or has ended, which stays as
            it is.
        """
        return self._shell.run(moving.reprioritize(self._plans, self.queue, self.id, priority))

    def replay(self, args: NewArgs | None = None, *, change: Mapping[str, Any] | None = None) -> bool:
        """Put it back in line with fresh counters. False if it is not in the dead letters.

        Args:
            args: other arguments, all of them: `resize.job("b.jpg", 800)`, checked as for `enqueue`, or a mapping,
                which is checked when the job runs. The first ones stay readable as `JobRecord.original_args`.
            change: instead, those that change, by name; the others stay as they are, secret ones too. Checked when
                the job runs.

        Raises:
            InvalidArgument: both were given.
            InvalidJob: the arguments are those of another handler.
            UniqueHeld: it is to be unique, and another job like it is there by now.
        """
        return self._shell.run(moving.again(self._plans, self.queue, self.id, args, change, any_end=False))

    def retry(self, args: NewArgs | None = None, *, change: Mapping[str, Any] | None = None) -> bool:
        """As `replay`, for a job that was cancelled or has completed as well; its result is forgotten.

        False if it has not ended; also if jobs that wait for it have yet to be told of its end, or if it was cancelled
        because its parents completed.
        """
        return self._shell.run(moving.again(self._plans, self.queue, self.id, args, change, any_end=True))

    def remove(self) -> bool:
        """Delete the job and all that is kept of it. False if it runs: cancel it first."""
        return self._shell.run(self._plans.remove(self.queue, self.id))


class AsyncJob(Handle[R]):
    """As `Job`, for an event loop."""

    __slots__ = ()
    _shell: AsyncSessions

    async def result(self, timeout: float | None = None) -> R:
        """As `Job.result`."""
        answer: R = await self._shell.run(explaining.result(self._plans, self.queue, self.id, self._kind, timeout))
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

    async def waits_for(self, most: int = 20) -> list[JobRef]:
        """As `Job.waits_for`."""
        return await self._shell.run(self._plans.waits_for(self.queue, self.id, most))

    async def why(self) -> Why:
        """As `Job.why`."""
        return await self._shell.run(explaining.why(self._plans, self.queue, self.id))

    async def cancel(self) -> HowCancelled:
        """As `Job.cancel`."""
        return await self._shell.run(self._plans.cancel(self.queue, self.id))

    async def promote(self) -> bool:
        """As `Job.promote`."""
        return await self._shell.run(moving.promote(self._plans, self.queue, self.id))

    async def reschedule(self, *, delay: float | timedelta | None = None, at: datetime | None = None) -> Rescheduled:
        """As `Job.reschedule`."""
        return await self._shell.run(moving.reschedule(self._plans, self.queue, self.id, delay, at))

    async def reprioritize(self, priority: int) -> Reprioritized:
        """As `Job.reprioritize`."""
        return await self._shell.run(moving.reprioritize(self._plans, self.queue, self.id, priority))

    async def replay(self, args: NewArgs | None = None, *, change: Mapping[str, Any] | None = None) -> bool:
        """As `Job.replay`."""
        return await self._shell.run(moving.again(self._plans, self.queue, self.id, args, change, any_end=False))

    async def retry(self, args: NewArgs | None = None, *, change: Mapping[str, Any] | None = None) -> bool:
        """As `Job.retry`."""
        return await self._shell.run(moving.again(self._plans, self.queue, self.id, args, change, any_end=True))

    async def remove(self) -> bool:
        """As `Job.remove`."""
        return await self._shell.run(self._plans.remove(self.queue, self.id))

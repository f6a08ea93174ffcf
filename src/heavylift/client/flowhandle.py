"""A flow as its producer holds it. `Flow` for threads, `AsyncFlow` for event loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heavylift.client.async_session import AsyncSessions
from heavylift.client.flows import Flows
from heavylift.client.handle import AsyncJob, Job
from heavylift.client.operations import check_id
from heavylift.client.session import Sessions
from heavylift.job import State
from heavylift.store.flowing import FlowJob


class FlowHandle:
    """What both kinds share.

    Attributes:
        id: the flow's id.
    """

    __slots__ = ("_plans", "_shell", "id")

    def __init__(self, shell: Any, plans: Flows, id: str) -> None:
        self.id = check_id(id, "flow")
        self._shell: Any = shell
        self._plans = plans

    def __repr__(self) -> str:
        return f"<flow {self.id}>"


class Flow(FlowHandle):
    """A flow that is under way. Every method asks Redis, and raises `JobNotFound` when none of its jobs is kept.

    Attributes:
        jobs: those that `enqueue_flow` has put in, in the order of the flow; empty for a flow looked up by its id.
    """

    __slots__ = ("jobs",)
    _shell: Sessions

    def __init__(self, shell: Any, plans: Flows, id: str, jobs: Sequence[Job[Any]] = ()) -> None:
        super().__init__(shell, plans, id)
        self.jobs = list(jobs)

    def states(self) -> list[FlowJob]:
        """Where each job of the flow is, by their ids."""
        return self._shell.run(self._plans.jobs(self.id))

    def counts(self) -> dict[State, int]:
        """How many of its jobs are in each state; states without any are left out."""
        return self._shell.run(self._plans.counts(self.id))

    def cancel(self) -> int:
        """Cancel all that has not ended; how many jobs it were. Those that run are asked to stop."""
        return self._shell.run(self._plans.cancel(self.id))

    def retry(self) -> int:
        """Give all that failed or was cancelled another life; how many jobs it were. What has completed stays so."""
        return self._shell.run(self._plans.retry(self.id))

    def wait(self, timeout: float | None = None) -> dict[State, int]:
        """Wait until every job has ended; how many in each way.

        Raises:
            ResultTimeout: they had not after `timeout` seconds.
        """
        return self._shell.run(self._plans.wait(self.id, timeout))

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end; what the job returned that nothing waits for, or a list if there are several.

        Where only an `on_failure` waits, which had nothing to do, that goes for the jobs before it.

        Raises:
            JobFailed, JobCancelled: the first job that did not complete, whatever became of others because of it.
            ResultTimeout: the flow had not ended after `timeout` seconds.
        """
        return self._shell.run(self._plans.result(self.id, timeout))


class AsyncFlow(FlowHandle):
    """As `Flow`, for an event loop."""

    __slots__ = ("jobs",)
    _shell: AsyncSessions

    def __init__(self, shell: Any, plans: Flows, id: str, jobs: Sequence[AsyncJob[Any]] = ()) -> None:
        super().__init__(shell, plans, id)
        self.jobs = list(jobs)

    async def states(self) -> list[FlowJob]:
        """As `Flow.states`."""
        return await self._shell.run(self._plans.jobs(self.id))

    async def counts(self) -> dict[State, int]:
        """As `Flow.counts`."""
        return await self._shell.run(self._plans.counts(self.id))

    async def cancel(self) -> int:
        """As `Flow.cancel`."""
        return await self._shell.run(self._plans.cancel(self.id))

    async def retry(self) -> int:
        """As `Flow.retry`."""
        return await self._shell.run(self._plans.retry(self.id))

    async def wait(self, timeout: float | None = None) -> dict[State, int]:
        """As `Flow.wait`."""
        return await self._shell.run(self._plans.wait(self.id, timeout))

    async def result(self, timeout: float | None = None) -> Any:
        """As `Flow.result`."""
        return await self._shell.run(self._plans.result(self.id, timeout))

"""The door for producers on an event loop: `client.Client` with `await`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, TypeVar, Unpack

from heavylift.client import retaining
from heavylift.client.async_session import AsyncSessions
from heavylift.client.base import PATIENCE, Base
from heavylift.client.flowhandle import AsyncFlow
from heavylift.client.handle import AsyncJob
from heavylift.client.operations import HowCancelled
from heavylift.client.overview import WorkerStatus
from heavylift.client.producing import Placed
from heavylift.client.repairing import FailedGroup, GroupBy, OnPage, Replayed
from heavylift.client.which import Which, WhichFailed
from heavylift.errors import NotAllEnqueued, NotDurable
from heavylift.event import Event
from heavylift.flow import FlowSpec
from heavylift.job import JobRecord, JobSpec
from heavylift.limits import Order, QueueLimits, Rate, Unlimited
from heavylift.middleware import Middleware
from heavylift.request import EnqueueOptions
from heavylift.retention import AsSet, Retention
from heavylift.schedule import CatchUp, Schedule, ScheduleRecord, Times
from heavylift.settings import Settings
from heavylift.store.jobs import EffectRecord
from heavylift.why import Why

R = TypeVar("R")


class AsyncClient(Base):
    """As `Client`, for an event loop: the same methods, to be awaited. Coroutines share round trips by themselves."""

    def __init__(
        self,
        url: str | None = None,
        *,
        settings: Settings | None = None,
        patience: float = PATIENCE,
        middleware: Sequence[Middleware] | None = None,
    ) -> None:
        super().__init__(url, settings=settings, patience=patience, middleware=middleware)
        self.shell = AsyncSessions(self.place)

    async def enqueue(self, job: JobSpec[R], **options: Unpack[EnqueueOptions]) -> AsyncJob[R]:
        """As `Client.enqueue`."""
        try:
            return self._job(await self.shell.run(self.putting.enqueue(job, options)), job)
        except NotDurable as unsure:
            unsure.jobs = [self._job(unsure.jobs[0], job)]
            raise

    async def enqueue_many(self, jobs: Iterable[JobSpec[R]], **options: Unpack[EnqueueOptions]) -> list[AsyncJob[R]]:
        """As `Client.enqueue_many`."""
        specs = list(jobs)
        try:
            placed = await self.shell.run(self.putting.enqueue_many(specs, options))
        except (NotAllEnqueued, NotDurable) as some:
            self._name_jobs(some, specs)
            raise
        return [self._job(one, spec) for one, spec in zip(placed, specs, strict=True)]

    async def enqueue_flow(self, flow: FlowSpec, /, **options: Unpack[EnqueueOptions]) -> AsyncFlow:
        """As `Client.enqueue_flow`."""
        try:
            id, placed = await self.shell.run(self.putting.enqueue_flow(flow, options))
        except (NotAllEnqueued, NotDurable) as some:
            self._name_jobs(some, [node.spec for node in flow.nodes])
            raise
        jobs = [self._job(one, node.spec) for one, node in zip(placed, flow.nodes, strict=True)]
        return AsyncFlow(self.shell, self.flows, id, jobs)

    def flow(self, id: str) -> AsyncFlow:
        """As `Client.flow`."""
        return AsyncFlow(self.shell, self.flows, id)

    async def job(self, id: str, queue: str | None = None) -> AsyncJob[Any]:
        """As `Client.job`."""
        return AsyncJob(self.shell, self.plans, await self.shell.run(self.plans.find(id, queue)), id)

    async def why(self, id: str, queue: str | None = None) -> Why:
        """As `Client.why`."""
        return await (await self.job(id, queue)).why()

    async def cancel(self, id: str, queue: str | None = None) -> HowCancelled:
        """As `Client.cancel`."""
        return await (await self.job(id, queue)).cancel()

    def watch(
        self, *jobs: AsyncJob[Any], queue: str | None = None, timeout: float | None = None
    ) -> AsyncIterator[Event]:
        """As `Client.watch`."""
        if jobs:
            return self.shell.tell(self.plans.watch([(job.queue, job.id) for job in jobs], timeout))
        return self.shell.tell(self.plans.watch_queues(queue, timeout))

    async def queues(self) -> list[str]:
        """As `Client.queues`."""
        return await self.shell.run(self.plans.queues())

    async def pause(self, queue: str) -> None:
        """As `Client.pause`."""
        await self.shell.run(self.plans.pause(queue))

    async def resume(self, queue: str) -> bool:
        """As `Client.resume`."""
        return await self.shell.run(self.plans.resume(queue))

    async def scale(self, worker: str, *, slots: int | None = None, places: int | None = None) -> WorkerStatus:
        """As `Client.scale`."""
        return await self.shell.run(self.steering.scale(worker, slots, places))

    async def pause_worker(self, worker: str) -> bool:
        """As `Client.pause_worker`."""
        return await self.shell.run(self.steering.pause(worker))

    async def resume_worker(self, worker: str) -> bool:
        """As `Client.resume_worker`."""
        return await self.shell.run(self.steering.resume(worker))

    async def limit(
        self,
        queue: str,
        *,
        group: str | None = None,
        per_key: bool = False,
        concurrency: int | Unlimited | None = None,
        rate: Rate | str | None = None,
        burst: int | None = None,
    ) -> None:
        """As `Client.limit`."""
        await self.shell.run(self.limiting.limit(queue, group, per_key, concurrency, rate, burst))

    async def limits(self, queue: str) -> QueueLimits:
        """As `Client.limits`."""
        return await self.shell.run(self.limiting.limits(queue))

    async def order(self, queue: str, order: Order) -> bool:
        """As `Client.order`."""
        return await self.shell.run(self.limiting.order(queue, order))

    async def step(self, queue: str, seconds: float | Literal["strict"]) -> None:
        """As `Client.step`."""
        await self.shell.run(self.limiting.step(queue, seconds))

    async def workers(self) -> list[dict[str, Any]]:
        """As `Client.workers`."""
        return await self.shell.run(self.overview.workers())

    async def retain(
        self,
        queue: str,
        *,
        completed: float | timedelta | AsSet | None = None,
        failed: float | timedelta | AsSet | None = None,
        completed_count: int | AsSet | None = None,
        failed_count: int | AsSet | None = None,
    ) -> None:
        """As `Client.retain`."""
        said: dict[str, float | timedelta | AsSet | None] = {"completed": completed, "failed": failed}
        said |= {"completed_count": completed_count, "failed_count": failed_count}
        await self.shell.run(retaining.retain(self.plans, queue, said))

    async def retention(self, queue: str) -> Retention:
        """As `Client.retention`."""
        return await self.shell.run(retaining.retention(self.plans, queue))

    async def failed(
        self, queue: str | None = None, *, offset: int = 0, limit: int = 100, **which: Unpack[WhichFailed]
    ) -> list[JobRecord]:
        """As `Client.failed`."""
        return await self.shell.run(self.repairing.failed(Which.of(queue, which), offset, limit))

    async def failed_groups(
        self,
        by: GroupBy = "fingerprint",
        queue: str | None = None,
        *,
        on_page: OnPage | None = None,
        **which: Unpack[WhichFailed],
    ) -> list[FailedGroup]:
        """As `Client.failed_groups`."""
        return await self.shell.run(self.repairing.groups(Which.of(queue, which), by, on_page))

    async def replay(
        self, *ids: str, queue: str | None = None, on_page: OnPage | None = None, **which: Unpack[WhichFailed]
    ) -> Replayed:
        """As `Client.replay`."""
        return await self.shell.run(self.repairing.replay(ids, Which.of(queue, which), on_page))

    async def purge_failed(
        self,
        queue: str | None = None,
        *,
        dry_run: bool = False,
        on_page: OnPage | None = None,
        **which: Unpack[WhichFailed],
    ) -> int:
        """As `Client.purge_failed`."""
        return await self.shell.run(self.repairing.purge(Which.of(queue, which), dry_run, on_page))

    # --- schedules --------------------------------------------------------------------------------------

    async def schedule(
        self,
        name: str,
        job: JobSpec[Any],
        times: Times,
        *,
        catch_up: CatchUp = "once",
        overlap: bool = True,
        start: datetime | None = None,
        end: datetime | None = None,
        **options: Unpack[EnqueueOptions],
    ) -> ScheduleRecord:
        """As `Client.schedule`."""
        rules = Schedule(times=times, catch_up=catch_up, overlap=overlap)
        return await self.shell.run(self.scheduling.schedule(name, job, rules, start, end, options))

    async def schedules(self, queue: str | None = None) -> list[ScheduleRecord]:
        """As `Client.schedules`."""
        return await self.shell.run(self.scheduling.schedules(queue))

    async def pause_schedule(self, name: str, queue: str | None = None) -> bool:
        """As `Client.pause_schedule`."""
        return await self.shell.run(self.scheduling.pause(name, queue))

    async def resume_schedule(self, name: str, queue: str | None = None) -> bool:
        """As `Client.resume_schedule`."""
        return await self.shell.run(self.scheduling.resume(name, queue))

    async def run_schedule(self, name: str, queue: str | None = None) -> AsyncJob[Any]:
        """As `Client.run_schedule`."""
        placed = await self.shell.run(self.scheduling.run(name, queue))
        return AsyncJob(self.shell, self.plans, placed.queue, placed.id, placed.duplicate)

    async def unschedule(self, name: str, queue: str | None = None) -> bool:
        """As `Client.unschedule`."""
        return await self.shell.run(self.scheduling.unschedule(name, queue))

    async def effect(self, key: str) -> EffectRecord | None:
        """As `Client.effect`."""
        return await self.shell.run(self.effects.look(key))

    async def forget_effect(self, key: str) -> bool:
        """As `Client.forget_effect`."""
        return await self.shell.run(self.effects.forget(key))

    async def effect_done(self, key: str, result: Any = None) -> None:
        """As `Client.effect_done`."""
        await self.shell.run(self.effects.done(key, result))

    async def close(self) -> None:
        """As `Client.close`."""
        await self.shell.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def _name_jobs(self, some: NotAllEnqueued | NotDurable, specs: Sequence[JobSpec[Any]]) -> None:
        some.jobs = [one and self._job(one, spec) for one, spec in zip(some.jobs, specs, strict=True)]

    def _job(self, placed: Placed, spec: JobSpec[R]) -> AsyncJob[R]:
        return AsyncJob(self.shell, self.plans, placed.queue, placed.id, placed.duplicate, spec.returns)

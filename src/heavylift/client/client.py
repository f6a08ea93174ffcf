"""The door for producers. `Client` is for threads; `async_client` has the one for event loops.

Neither has logic of its own: each method names a plan and has its shell carry it out. What both share is in `base`,
what the plans do in `producing`, `operations`, `limiting`, `scheduling`, `repairing` and `overview`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, TypeVar, Unpack

from heavylift.client import retaining
from heavylift.client.base import PATIENCE, Base
from heavylift.client.flowhandle import Flow
from heavylift.client.handle import Job
from heavylift.client.operations import HowCancelled
from heavylift.client.overview import WorkerStatus
from heavylift.client.producing import Placed
from heavylift.client.repairing import FailedGroup, GroupBy, OnPage, Replayed
from heavylift.client.session import Sessions
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


class Client(Base):
    """Puts jobs in, waits for them and looks after them. For any number of threads, also across a fork.

    It connects when first used; threads that use it at the same time share round trips by themselves. Any
    method that asks Redis tries again for `patience` seconds before it raises `Unavailable`. A repeated call changes
    nothing more than one would.

    Args:
        url: `redis://`, `rediss://` or `unix://`. Else the settings' (`HEAVYLIFT_REDIS_URL`, `REDIS_URL`,
            `heavylift.toml`), else the project's own server, started if need be.
        settings: all settings at once; else they are loaded from where settings come from.
        patience: seconds.
        middleware: what is told of jobs that are enqueued, the outermost first; else what the settings name.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        settings: Settings | None = None,
        patience: float = PATIENCE,
        middleware: Sequence[Middleware] | None = None,
    ) -> None:
        super().__init__(url, settings=settings, patience=patience, middleware=middleware)
        self.shell = Sessions(self.place)

    # --- putting jobs in --------------------------------------------------------------------------------

    def enqueue(self, job: JobSpec[R], **options: Unpack[EnqueueOptions]) -> Job[R]:
        """Put a job in: `client.enqueue(resize.job("a.jpg", 800), delay=30, priority=1)`.

        Raises:
            InvalidArgument: an option will not do (`InvalidJob`, `PayloadTooLarge`: the arguments). Nothing was sent.
            ServerFull: Redis is at its memory limit; nothing was enqueued.
            ServerUnsupported: it cannot tell that the job is kept as asked for (`durable`); nothing was enqueued.
            NotDurable: the job is enqueued, but is not known to be kept as asked for.
            Unavailable: Redis cannot be reached. Whether the job is in is not known; with an `id` of your own,
                enqueueing it again does no harm.
        """
        try:
            return self._job(self.shell.run(self.putting.enqueue(job, options)), job)
        except NotDurable as unsure:
            unsure.jobs = [self._job(unsure.jobs[0], job)]
            raise

    def enqueue_many(self, jobs: Iterable[JobSpec[R]], **options: Unpack[EnqueueOptions]) -> list[Job[R]]:
        """Put many jobs in, in few round trips. The options go for all of them. All are checked before any is sent.

        Raises:
            InvalidArgument: one of the jobs will not do. Nothing was sent.
            NotAllEnqueued: some are in, some are not; says which.
            ServerFull, Unavailable: as `enqueue`, and none is known to be in.
        """
        specs = list(jobs)
        try:
            placed = self.shell.run(self.putting.enqueue_many(specs, options))
        except (NotAllEnqueued, NotDurable) as some:
            self._name_jobs(some, specs)
            raise
        return [self._job(one, spec) for one, spec in zip(placed, specs, strict=True)]

    def enqueue_flow(self, flow: FlowSpec, /, **options: Unpack[EnqueueOptions]) -> Flow:
        """Put a flow in: `client.enqueue_flow(chain(fetch.job(url), shrink.job(800)))`.

        Args:
            flow: from `chain`, `group` or `batch`.
            options: for each of its jobs, as for `enqueue`; but `id` is the flow's, from which those of its jobs are
                made. What is there already is left as it is, so it does no harm to enqueue a flow again.

        Raises:
            InvalidArgument: an option will not do, or the arguments of a job. Nothing was sent.
            NotAllEnqueued: some are in and some are not; enqueue it again under the same id.
        """
        try:
            id, placed = self.shell.run(self.putting.enqueue_flow(flow, options))
        except (NotAllEnqueued, NotDurable) as some:
            self._name_jobs(some, [node.spec for node in flow.nodes])
            raise
        jobs = [self._job(one, node.spec) for one, node in zip(placed, flow.nodes, strict=True)]
        return Flow(self.shell, self.flows, id, jobs)

    def flow(self, id: str) -> Flow:
        """The flow of an id: `Job.record().flow` says which one a job is in. Redis is not asked, here."""
        return Flow(self.shell, self.flows, id)

    # --- jobs -------------------------------------------------------------------------------------------

    def job(self, id: str, queue: str | None = None) -> Job[Any]:
        """The job of an id, looked for in all queues. With its `queue` given Redis is not asked, here.

        Raises:
            JobNotFound: no queue has it.
        """
        return Job(self.shell, self.plans, self.shell.run(self.plans.find(id, queue)), id)

    def why(self, id: str, queue: str | None = None) -> Why:
        """As `Job.why`, also for a job whose producer has noted its parents and nothing more, if its `queue` is given.

        Raises:
            JobNotFound: no queue has it.
        """
        return self.job(id, queue).why()

    def cancel(self, id: str, queue: str | None = None) -> HowCancelled:
        """As `Job.cancel`."""
        return self.job(id, queue).cancel()

    def watch(self, *jobs: Job[Any], queue: str | None = None, timeout: float | None = None) -> Iterator[Event]:
        """What happens to some jobs until all have ended; without jobs: in a queue, or in all, from now on.

        Each job's tale begins with where it is now and never lacks its end, whatever gets lost on the way. Of a queue,
        where jobs are heard of and not named, that goes for those that are still kept when it is heard again: one that
        was first seen, ended and removed in between is never told.

        Args:
            jobs: from `enqueue` or `job`.
            queue: its name.
            timeout: seconds after which the watch ends.
        """
        if jobs:
            return self.shell.tell(self.plans.watch([(job.queue, job.id) for job in jobs], timeout))
        return self.shell.tell(self.plans.watch_queues(queue, timeout))

    # --- queues and workers -----------------------------------------------------------------------------

    def queues(self) -> list[str]:
        """Names of all queues, sorted."""
        return self.shell.run(self.plans.queues())

    def pause(self, queue: str) -> None:
        """Have no more jobs of a queue started. What runs goes on."""
        self.shell.run(self.plans.pause(queue))

    def resume(self, queue: str) -> bool:
        """Have them started again. False if the queue was not paused."""
        return self.shell.run(self.plans.resume(queue))

    def scale(self, worker: str, *, slots: int | None = None, places: int | None = None) -> WorkerStatus:
        """Have a running worker do more or less at once, until it ends: `client.scale(worker.id, slots=4)`.

        Jobs that run go on: a slot that is too many ends when its job has.

        Args:
            worker: its id, a beginning that no other has, or its process id.
            slots: processes of its cpu lane; 0 lets that lane rest.
            places: attempts that its io lane runs at once.

        Returns:
            The worker, as it is now.

        Raises:
            WorkerNotFound: no such worker is alive.
            InvalidArgument: a number will not do, it has no such lane, or several workers fit.
            WorkerSilent: it does not answer.
        """
        return self.shell.run(self.steering.scale(worker, slots, places))

    def pause_worker(self, worker: str) -> bool:
        """Have a worker claim nothing more; what it runs goes on. False if it was paused.

        Raises:
            WorkerNotFound, InvalidArgument, WorkerSilent: as `scale`.
        """
        return self.shell.run(self.steering.pause(worker))

    def resume_worker(self, worker: str) -> bool:
        """Have it claim again. False if it was not paused.

        Raises:
            WorkerNotFound, InvalidArgument, WorkerSilent: as `scale`.
        """
        return self.shell.run(self.steering.resume(worker))

    def limit(
        self,
        queue: str,
        *,
        group: str | None = None,
        per_key: bool = False,
        concurrency: int | Unlimited | None = None,
        rate: Rate | str | None = None,
        burst: int | None = None,
    ) -> None:
        """Set how many jobs may run at once, and how many may start in a time, over all workers.

        Takes effect at once. What handlers declare is overruled until their declaration changes.

        Args:
            queue: its name.
            group: limit this group of the queue instead: a handler's name, or that of a `group=`.
            per_key: limit each key of the group instead.
            concurrency: so many; for a queue or a group also 0. `"unlimited"` lifts it; None leaves it as it is.
            rate: `"100/min"`, `"10/s"`, a `Rate`. `"unlimited"` lifts it; None leaves it as it is.
            burst: so many of them may start at once after a pause.

        Raises:
            InvalidArgument: one of them will not do.
        """
        self.shell.run(self.limiting.limit(queue, group, per_key, concurrency, rate, burst))

    def limits(self, queue: str) -> QueueLimits:
        """What is limited in a queue, its order and its step."""
        return self.shell.run(self.limiting.limits(queue))

    def order(self, queue: str, order: Order) -> bool:
        """Have keys take turns (`fair`), or the best rank of all go first (`priority`). False if it was so.

        Raises:
            InvalidArgument: it is neither.
        """
        return self.shell.run(self.limiting.order(queue, order))

    def step(self, queue: str, seconds: float | Literal["strict"]) -> None:
        """Set how much waiting one unit of priority is worth: 60 seconds unless set. `"strict"`: more than any.

        Holds for jobs that get ready from then on.

        Raises:
            InvalidArgument: it is no such time.
        """
        self.shell.run(self.limiting.step(queue, seconds))

    def workers(self) -> list[dict[str, Any]]:
        """What each living worker says about itself, with `seen_at` (ms since 1970); `Inspector` has it typed."""
        return self.shell.run(self.overview.workers())

    def retain(
        self,
        queue: str,
        *,
        completed: float | timedelta | AsSet | None = None,
        failed: float | timedelta | AsSet | None = None,
        completed_count: int | AsSet | None = None,
        failed_count: int | AsSet | None = None,
    ) -> None:
        """Set how long, and how many, ended jobs of a queue are kept, over what the workers' settings say.

        Counts hold at once; times for jobs that end from the next sweep on. What a job says of itself (`keep`) goes
        before times, not before counts. None leaves a rule as it is, `"default"` gives it back to the settings.

        Args:
            queue: its name.
            completed: seconds or timedelta that completed and cancelled jobs are kept.
            failed: seconds or timedelta that dead letters are kept.
            completed_count, failed_count: so many at most.

        Raises:
            InvalidArgument: a number is out of range, or nothing was said.
        """
        said: dict[str, float | timedelta | AsSet | None] = {"completed": completed, "failed": failed}
        said |= {"completed_count": completed_count, "failed_count": failed_count}
        self.shell.run(retaining.retain(self.plans, queue, said))

    def retention(self, queue: str) -> Retention:
        """What was set for a queue by `retain`."""
        return self.shell.run(retaining.retention(self.plans, queue))

    # --- dead letters -----------------------------------------------------------------------------------

    def failed(
        self, queue: str | None = None, *, offset: int = 0, limit: int = 100, **which: Unpack[WhichFailed]
    ) -> list[JobRecord]:
        """Jobs in the dead letters, the latest first: `limit` of them (at most 1000) after the first `offset`.

        Args:
            queue: its name; all queues if not given.
            offset, limit: which part.
            which: `reason`, `handler`, `cause`, `fingerprint`, `tag`, `text`, `since`, `until`; see `WhichFailed`.
        """
        return self.shell.run(self.repairing.failed(Which.of(queue, which), offset, limit))

    def failed_groups(
        self,
        by: GroupBy = "fingerprint",
        queue: str | None = None,
        *,
        on_page: OnPage | None = None,
        **which: Unpack[WhichFailed],
    ) -> list[FailedGroup]:
        """Dead letters by what they have in common, the largest group first, each with an example.

        Args:
            by: `fingerprint` (equal for equal faults), `reason`, `cause`, `handler` or `queue`.
            queue: its name; all queues if not given.
            on_page: told after each page how many were looked at, and how many there are.
            which: as for `failed`.
        """
        return self.shell.run(self.repairing.groups(Which.of(queue, which), by, on_page))

    def replay(
        self, *ids: str, queue: str | None = None, on_page: OnPage | None = None, **which: Unpack[WhichFailed]
    ) -> Replayed:
        """Put dead letters back in line with fresh counters: those named, or all that are meant, batch by batch.

        One that fails again meanwhile is not replayed again. If it is broken off, what was replayed is replayed, and
        calling it again does the rest.

        Args:
            ids: of the jobs.
            queue: its name; all queues if not given.
            on_page: told after each page how many dead letters were looked at, and how many there are.
            which: as for `failed`.

        Returns:
            how many it were. One that is not in the dead letters is left as it is; and one that is to be unique while
            another job like it is there, whose id is in `held` of the answer.

        Raises:
            JobNotFound: one of the ids is in no queue.
            InvalidArgument: neither ids were given nor anything that chooses.
        """
        return self.shell.run(self.repairing.replay(ids, Which.of(queue, which), on_page))

    def purge_failed(
        self,
        queue: str | None = None,
        *,
        dry_run: bool = False,
        on_page: OnPage | None = None,
        **which: Unpack[WhichFailed],
    ) -> int:
        """Delete the dead letters that are meant, and all that is kept of them.

        Args:
            queue: its name; all queues if not given.
            dry_run: delete nothing, only count.
            on_page: as for `replay`.
            which: as for `failed`.

        Returns:
            how many it were, or would be.

        Raises:
            InvalidArgument: nothing was given that chooses.
        """
        return self.shell.run(self.repairing.purge(Which.of(queue, which), dry_run, on_page))

    # --- schedules --------------------------------------------------------------------------------------

    def schedule(
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
        """Have a job made again and again: `client.schedule("nightly", report.job(), Cron("0 3 * * *"))`.

        Any worker that serves the job's queue makes the jobs; there is one for each tick, of the id `<name>@<tick in
        ms>`. A schedule of that name in the queue is changed: it stays paused if it was, and one that code declares
        stays as it is set here until its declaration changes.

        Args:
            name: 1 to 100 letters, digits and `_ . -`.
            job: as for `enqueue`.
            times: a `Cron`, an `Every`, or text: `"0 3 * * *"`, `"@daily"`, `"every 5 minutes"`.
            catch_up, overlap: see `Schedule`.
            start, end: no tick is earlier, or later; with a time zone.
            options: of its jobs, as for `enqueue`; but not `id`, `delay`, `at`, `after`, `flow` and `durable`.

        Raises:
            InvalidArgument: one of them will not do; nothing was changed.
        """
        rules = Schedule(times=times, catch_up=catch_up, overlap=overlap)
        return self.shell.run(self.scheduling.schedule(name, job, rules, start, end, options))

    def schedules(self, queue: str | None = None) -> list[ScheduleRecord]:
        """All schedules of a queue, or of all, by queue and name; of one that cannot be read, `unreadable` says why."""
        return self.shell.run(self.scheduling.schedules(queue))

    def pause_schedule(self, name: str, queue: str | None = None) -> bool:
        """Have a schedule make no more jobs. False if it was paused.

        Raises:
            ScheduleNotFound: there is none.
            InvalidArgument: several queues have one of this name; say which.
        """
        return self.shell.run(self.scheduling.pause(name, queue))

    def resume_schedule(self, name: str, queue: str | None = None) -> bool:
        """Have it go on with its next tick; those that passed are not made up for. False if it was not paused.

        Raises:
            ScheduleNotFound, InvalidArgument: as `pause_schedule`.
            ScheduleChanging: others change it all the time.
        """
        return self.shell.run(self.scheduling.resume(name, queue))

    def run_schedule(self, name: str, queue: str | None = None) -> Job[Any]:
        """Put a job of it in now, beside its ticks, paused or not.

        Raises:
            ScheduleNotFound, InvalidArgument: as `pause_schedule`.
        """
        placed = self.shell.run(self.scheduling.run(name, queue))
        return Job(self.shell, self.plans, placed.queue, placed.id, placed.duplicate)

    def unschedule(self, name: str, queue: str | None = None) -> bool:
        """Delete a schedule; jobs it has made stay. False if there is none.

        One that a handler declares is written again when the next worker starts: take it out of the code, or pause it.

        Raises:
            InvalidArgument: several queues have one of this name; say which.
        """
        return self.shell.run(self.scheduling.unschedule(name, queue))

    # --- effects ----------------------------------------------------------------------------------------

    def effect(self, key: str) -> EffectRecord | None:
        """What is stored of an effect of `ctx.once`; None if nothing is.

        One that is not `done` is under way or in doubt.
        """
        return self.shell.run(self.effects.look(key))

    def forget_effect(self, key: str) -> bool:
        """Say that an effect has not happened: the next run does it. False if nothing was stored of it."""
        return self.shell.run(self.effects.forget(key))

    def effect_done(self, key: str, result: Any = None) -> None:
        """Say that an effect has happened, and what came of it: later runs are given that.

        Raises:
            InvalidResult: the result is no JSON, or above 64 KiB.
        """
        self.shell.run(self.effects.done(key, result))

    # --- life -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections, and leave the project's own server. May be called again; a later use connects anew."""
        self.shell.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _name_jobs(self, some: NotAllEnqueued | NotDurable, specs: Sequence[JobSpec[Any]]) -> None:
        some.jobs = [one and self._job(one, spec) for one, spec in zip(some.jobs, specs, strict=True)]

    def _job(self, placed: Placed, spec: JobSpec[R]) -> Job[R]:
        return Job(self.shell, self.plans, placed.queue, placed.id, placed.duplicate, spec.returns)

"""`Harness`: what a test of an application that enqueues needs. pytest gives it as the fixture `jobs`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from types import TracebackType
from typing import Any, TypeVar

from heavylift.client import AsyncClient, Client
from heavylift.handler import Handler
from heavylift.job import JobRecord, JobSpec
from heavylift.middleware import Middleware, load
from heavylift.registry import Registry
from heavylift.settings import Settings
from heavylift.states import OPEN, State
from heavylift.store.connection import Connection
from heavylift.store.jobs import Jobs
from heavylift.store.reading import read_record
from heavylift.store.target import Target
from heavylift.testing.clock import MovingClock
from heavylift.testing.draining import Drain, Drained
from heavylift.testing.found import Found, Wanted, listing
from heavylift.testing.running import Ran, await_to_end, run_job, run_job_async, run_to_end
from heavylift.worker.worker import Worker

R = TypeVar("R")
AnyClient = TypeVar("AnyClient", Client, AsyncClient)


MOST = 10_000
"""Attempts of one drain, unless it is said otherwise."""


class Harness:
    """Looks at what was enqueued, runs it in the test's own process, and lets time pass.

    Args:
        settings: where Redis is. What is below their `prefix` is deleted by `close`.
        handlers: the handlers there are; asked when first needed.
        middleware: objects instead of those that the settings name; given to clients, workers and `drain`. Processes of
            the cpu lane have those of the settings.

    Attributes:
        settings: as given.
        clock: the time that everything of this harness goes by.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Callable[[], Iterable[Handler[..., Any]]] = tuple,
        middleware: Sequence[Middleware] | None = None,
    ) -> None:
        self.settings = settings
        self._middleware = middleware
        self.clock = MovingClock()
        self._find = handlers
        self._used: list[Handler[..., Any]] = []
        self._jobs = Jobs(settings.prefix, self.clock)
        self._connection = Connection(Target.from_settings(settings), name="testing")
        self._open = contextlib.ExitStack()

    # --- clients ----------------------------------------------------------------------------------------

    @cached_property
    def client(self) -> Client:
        """A client that goes by the harness' clock. Closed with it."""
        return self._open.enter_context(self._timed(Client(settings=self.settings, middleware=self._middleware)))

    @cached_property
    def async_client(self) -> AsyncClient:
        """The same for event loops. Close it on its loop: `async with jobs.async_client as client`."""
        return self._timed(AsyncClient(settings=self.settings, middleware=self._middleware))

    @contextlib.contextmanager
    def attached(self, client: AnyClient) -> Iterator[AnyClient]:
        """A client of the application's, made before the test, talks to the test's server until the block ends.

        An `AsyncClient` must be closed on its loop before that.
        """
        before = dict(vars(client))
        client.__init__(settings=self.settings, middleware=client.middleware)  # type: ignore[misc]
        self._timed(client)
        try:
            yield client
        finally:
            if isinstance(client, Client):
                client.close()
            vars(client).clear()
            vars(client).update(before)

    def _timed(self, client: AnyClient) -> AnyClient:
        client.plans.jobs.scripts = self.clock
        return client

    # --- handlers ---------------------------------------------------------------------------------------

    def use(self, *handlers: Handler[..., Any]) -> None:
        """Know these handlers as well; one of a known name takes its place."""
        self._used += handlers
        self.__dict__.pop("registry", None)

    @cached_property
    def registry(self) -> Registry:
        """The handlers that jobs are run with.

        Raises:
            HandlerError: two handlers are at odds about a queue.
        """
        return Registry({handler.name: handler for handler in (*self._find(), *self._used)}.values())

    @property
    def middleware(self) -> Sequence[Middleware]:
        """What is around each attempt: as given, else as the settings name it.

        Raises:
            InvalidArgument: one of those cannot be loaded.
        """
        return load(self.settings.middleware, self.settings.root) if self._middleware is None else self._middleware

    # --- running ----------------------------------------------------------------------------------------

    def drain(
        self, *, with_delayed: bool | float | timedelta = False, strict: bool = False, most: int = MOST
    ) -> Drained:
        """Run everything that is due, one attempt after the other, also what handlers enqueue meanwhile.

        Plain and async handlers of both lanes run in the test's own process, so breakpoints work; time spent there
        does not count. Everything is as in a worker: claims, time-outs, retries, dead letters, results. But a call
        that does not come back (`time.sleep(3600)`) cannot be ended from within: the drain waits for it, and counts
        it as timed out then.

        Args:
            with_delayed: let time pass as well, to each next job or retry that is due, has its turn by a rate, or whose
                queue has rested: without end (True), or for so many seconds or a `timedelta` at most.
            strict: raise as soon as all is done if any attempt did not complete.
            most: attempts after which this gives up.

        Returns:
            how many attempts ended in which way.

        Raises:
            AssertionError: with `strict`, an attempt did not complete, shown with its traceback; or there were more
                than `most` attempts.
            RuntimeError: an event loop runs in this thread; await `drain_async`.
        """
        __tracebackhide__ = True
        return _checked(run_to_end(self._drain().steps(with_delayed, most)), strict)

    async def drain_async(
        self, *, with_delayed: bool | float | timedelta = False, strict: bool = False, most: int = MOST
    ) -> Drained:
        """As `drain`, with async handlers awaited on the running loop."""
        __tracebackhide__ = True
        return _checked(await await_to_end(self._drain().steps(with_delayed, most)), strict)

    def _drain(self) -> Drain:
        return Drain(self.settings, self.registry, self._jobs, self.clock, self._connect, self.middleware)

    def _connect(self, role: str) -> Connection:
        return Connection(Target.from_settings(self.settings), name=f"heavylift:{role}")

    def run_job(self, spec: JobSpec[R], *, attempt: int = 1, checkpoint: Any = None) -> Ran[R]:
        """Run one attempt of a request here and now, without Redis; see `run_job`."""
        return run_job(spec, self.registry.handlers, attempt=attempt, checkpoint=checkpoint, **self._run_options())

    async def run_job_async(self, spec: JobSpec[R], *, attempt: int = 1, checkpoint: Any = None) -> Ran[R]:
        """As `run_job`, with an async handler awaited on the running loop."""
        return await run_job_async(
            spec, self.registry.handlers, attempt=attempt, checkpoint=checkpoint, **self._run_options()
        )

    def _run_options(self) -> dict[str, Any]:
        """As a worker of these settings would run it."""
        sizes = {name: getattr(self.settings, name) for name in ("max_payload", "max_result")}
        return {"middleware": self.middleware, **sizes}

    def advance(self, by: float | timedelta) -> None:
        """Let so many seconds, or a `timedelta`, pass: what is due by then is run by the next `drain`."""
        self.clock.advance(by)

    @contextlib.contextmanager
    def worker(self, **settings: Any) -> Iterator[Worker]:
        """A real worker in this process, with real lanes: threads, processes, time limits, locks.

        Args:
            settings: over those of the harness: `slots=1`, `places=10` ...
        """
        chosen = replace(self.settings, **{"slots": 1, "deadline": 5.0, **settings})
        modules = sorted({h.function.__module__ for h in self.registry.handlers if h.lane == "cpu"})
        worker = Worker(chosen, self.registry, modules=modules, middleware=self._middleware)
        worker.jobs.scripts = self.clock
        worker.start()
        try:
            yield worker
        finally:
            worker.stop()

    # --- looking ----------------------------------------------------------------------------------------

    def enqueued(self) -> list[JobRecord]:
        """All jobs that have not ended, in the order they were enqueued."""
        return [one.record for one in self._found(OPEN)]

    def ended(self) -> list[JobRecord]:
        """All jobs that have ended: completed, failed, cancelled; in the order they were enqueued."""
        return [one.record for one in self._found([state for state in State if state.ended])]

    def assert_enqueued(
        self,
        what: Handler[..., Any] | JobSpec[Any] | str | None = None,
        args: Mapping[str, Any] | None = None,
        *,
        queue: str | None = None,
        count: int | None = None,
        delay: float | timedelta | None = None,
        priority: int | None = None,
        tags: Sequence[str] = (),
    ) -> list[JobRecord]:
        """Such a job waits to be run.

        Args:
            what: a handler, its name, or a request with all its arguments.
            args: these arguments, among others; secrets as they are.
            queue: where it waits.
            count: exactly so many do; at least one if not given.
            delay: seconds or `timedelta` it was put off by, to two seconds.
            priority: its priority.
            tags: these tags, among others.

        Returns:
            the jobs that fit.

        Raises:
            AssertionError: there is none, or not `count`; lists what is enqueued.
            InvalidArgument: the handler has no argument of a name in `args`.
        """
        __tracebackhide__ = True
        wanted = Wanted.of(what, args, queue, delay, priority, tags)
        there = self._found(OPEN)
        found = [job for job in there if wanted.fits(job)]
        if len(found) != count if count is not None else not found:
            many = "no" if not found else str(len(found))
            but = "" if count is None else f", not {count},"
            raise AssertionError(f"{many} job{but} like {wanted.shown(there)} is enqueued; {listing(there)}")
        return [one.record for one in found]

    def refute_enqueued(
        self,
        what: Handler[..., Any] | JobSpec[Any] | str | None = None,
        args: Mapping[str, Any] | None = None,
        *,
        queue: str | None = None,
        delay: float | timedelta | None = None,
        priority: int | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        """No such job waits to be run; says as `assert_enqueued`.

        Raises:
            AssertionError: there is one; lists what is enqueued.
            InvalidArgument: the handler has no argument of a name in `args`.
        """
        __tracebackhide__ = True
        wanted = Wanted.of(what, args, queue, delay, priority, tags)
        found = [job for job in self._found(OPEN) if wanted.fits(job)]
        if found:
            raise AssertionError(f"{len(found)} job(s) like {wanted.shown(found)}: {listing(found)}")

    def _found(self, states: Sequence[State]) -> list[Found]:
        ask = self._connection.ask
        found: dict[str, Found] = {}
        for queue in ask(self._jobs.queues()):
            name = self._jobs.keys(queue).job("")
            for key in self._names(name):
                id = key.removeprefix(name)
                stored = ask(self._jobs.raw(queue, id))
                record = read_record(id, queue, stored)
                if record and record.state in states:
                    found[f"{queue} {id}"] = Found.of(record, stored.get(b"spec"))
        return sorted(found.values(), key=lambda one: (one.record.enqueued_at, one.record.id))

    def _names(self, prefix: str) -> Iterator[str]:
        """All keys that begin so; some may come twice."""
        cursor = "0"
        while True:
            cursor, names = self._connection.command("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", 500)
            yield from (name.decode() for name in names)
            if int(cursor) == 0:
                return

    # --- life -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the clients and delete everything below the prefix."""
        self._open.close()
        self._wipe()
        self._connection.close()

    def _wipe(self) -> None:
        for name in self._names(f"{self.settings.prefix}:"):
            self._connection.command("UNLINK", name)

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _checked(drained: Drained, strict: bool) -> Drained:
    __tracebackhide__ = True
    wrong = [one for one in drained.attempts if one.became is not State.COMPLETED] if strict else []
    if wrong:
        told = [f"{one.handler} {one.job}: {_told(one.record)}" for one in wrong]
        raise AssertionError(f"{len(wrong)} attempt(s) did not complete:\n" + "\n".join(told))
    return drained


def _told(record: Any) -> str:
    if record is None:
        return "no record was kept"
    return f"{record.cause}: {record.error}: {record.message}\n{record.traceback}".rstrip()

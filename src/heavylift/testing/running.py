"""One handler run as a job would run it, without Redis: its arguments and its result go through JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from heavylift.asking import Answered
from heavylift.attempt import Prepared, Start, prepare, run, run_async
from heavylift.codec import decode_result, seal
from heavylift.handler import Handler
from heavylift.job import Counters, JobSpec, Progress
from heavylift.lanes.running import Run
from heavylift.middleware import Middleware, overriding
from heavylift.once import Memory
from heavylift.outcome import Completed, Outcome, cause_of, error_of
from heavylift.registry import Registry

R = TypeVar("R")

LIMIT = 256 * 1024
"""Largest arguments and results in bytes, as the settings have it by default."""


@dataclass(frozen=True)
class Ran(Generic[R]):
    """What came of one attempt.

    Attributes:
        outcome: what the attempt came to: `Completed`, `Raised`, `RetryAsked`, `Rejected`, `Invalid` ...
        progress: what it said of how far it was, at most about ten times a second, the last always.
        checkpoint: the state it saved last; None if none.
        log: its lines, `level: text`.
    """

    outcome: Outcome
    progress: tuple[Progress, ...] = ()
    checkpoint: Any = None
    log: tuple[str, ...] = ()
    returns: Any = field(default=Any, repr=False, compare=False)

    @property
    def cause(self) -> str:
        """The outcome in a word: `completed`, `error`, `retry`, `rejected`, `invalid` ..."""
        return cause_of(self.outcome)

    @property
    def result(self) -> R:
        """What the handler returned, as `Job.result` would give it.

        Raises:
            AssertionError: it did not complete; with the handler's traceback.
        """
        __tracebackhide__ = True
        if isinstance(self.outcome, Completed):
            result: R = decode_result(self.outcome.result, self.returns)
            return result
        error = error_of(self.outcome)
        said = f"{error.type}: {error.message}\n{error.traceback}" if error else ""
        raise AssertionError(f"the job did not complete ({self.cause}): {said}".rstrip())


def run_job(
    spec: JobSpec[R],
    handlers: Iterable[Handler[..., Any]],
    *,
    attempt: int = 1,
    checkpoint: Any = None,
    middleware: Sequence[Middleware] = (),
    max_payload: int = LIMIT,
    max_result: int = LIMIT,
) -> Ran[R]:
    """Run one attempt here and now. A failure is an outcome, not an exception. No time limit is kept.

    Args:
        spec: `handler.job(...)`.
        handlers: those it may be for.
        attempt: which start this is, from 1.
        checkpoint: the state an earlier attempt saved.
        middleware: what the handler is called within; of its hooks only `call` is called.
        max_payload: largest arguments in bytes; 256 KiB if not given.
        max_result: the same for what the handler returns.

    Raises:
        PayloadTooLarge: its arguments are above `max_payload`.
        RuntimeError: an event loop runs in this thread; await `run_job_async` there.
    """
    return run_to_end(_run(spec, handlers, attempt, checkpoint, middleware, max_payload, max_result))


async def run_job_async(
    spec: JobSpec[R],
    handlers: Iterable[Handler[..., Any]],
    *,
    attempt: int = 1,
    checkpoint: Any = None,
    middleware: Sequence[Middleware] = (),
    max_payload: int = LIMIT,
    max_result: int = LIMIT,
) -> Ran[R]:
    """As `run_job`, with an async handler awaited on the running loop."""
    return await await_to_end(_run(spec, handlers, attempt, checkpoint, middleware, max_payload, max_result))


# --- steps: what is to be awaited is given out, so that it can be awaited in either kind of test ----------------


T = TypeVar("T")

Steps = Generator[Any, Outcome, T]
"""Gives out coroutines; each wants its outcome sent back."""


def run_to_end(steps: Steps[T]) -> T:
    """Take all steps, in a thread without a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        steps.close()
        raise RuntimeError("an event loop runs in this thread: await the call of this name that ends in _async")
    with asyncio.Runner() as runner:
        try:
            step = next(steps)
            while True:
                step = steps.send(runner.run(step))
        except StopIteration as end:
            value: T = end.value
            return value


async def await_to_end(steps: Steps[T]) -> T:
    """Take all steps on the running loop."""
    try:
        step = next(steps)
        while True:
            step = steps.send(await step)
    except StopIteration as end:
        value: T = end.value
        return value


def attempt_steps(made: Run, limit: int, middleware: Sequence[Middleware]) -> Steps[Outcome]:
    """Run what was prepared."""
    if made.prepared.handler.is_async:
        return (yield run_async(made.prepared, made, limit, middleware))
    return run(made.prepared, made, limit, middleware)


def never(at: float) -> None:
    """No watch looks at deadlines: one attempt that is run by hand has no time-out."""


@dataclass
class _Heard:
    """A sink that keeps what it hears. It knows of effects of `ctx.once`; for other questions use `drain`."""

    effects: Memory = field(default_factory=Memory)
    progress: list[Progress] = field(default_factory=list)
    checkpoint: bytes | None = None

    def began(self, id: str, token: str) -> None:
        pass

    def progressed(self, id: str, token: str, progress: Progress) -> None:
        self.progress.append(progress)

    def checkpointed(self, id: str, token: str, state: bytes) -> None:
        self.checkpoint = state

    def asked(self, id: str, token: str, question: bytes, patience: float, answered: Answered) -> None:
        self.effects.pose(question, patience, answered)

    def ended(self, id: str, token: str, outcome: Outcome, log: tuple[str, ...]) -> None:
        pass

    def freed(self) -> None:
        pass


def _run(
    spec: JobSpec[R],
    handlers: Iterable[Handler[..., Any]],
    attempt: int,
    checkpoint: Any,
    middleware: Sequence[Middleware],
    max_payload: int,
    max_result: int,
) -> Steps[Ran[R]]:
    sealed = seal(spec, spec.options, limit=max_payload)
    state = None if checkpoint is None else msgspec.json.encode(checkpoint)
    start = Start("job", spec.queue, "token", sealed, Counters(starts=attempt), checkpoint=state)
    prepared = prepare(start, Registry(handlers))
    if not isinstance(prepared, Prepared):
        return Ran(prepared, returns=spec.returns)
    heard = _Heard()
    made = Run(prepared, heard, never)
    outcome = yield from attempt_steps(made, max_result, overriding(middleware, "call"))
    saved = None if heard.checkpoint is None else msgspec.json.decode(heard.checkpoint)
    return Ran(outcome, tuple(heard.progress), saved, made.lines(), spec.returns)

"""What handlers may do, good and bad. Declared for the lanes in `heavy` (cpu) and `light` (io)."""

from __future__ import annotations

import asyncio
import time
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from heavylift.asking import Question, ask, ask_async
from heavylift.context import Context
from heavylift.errors import Reject, Retry, Stop


class Odd(Exception):
    """Cannot be unpickled: its constructor wants more than its `args` hold."""

    def __init__(self, code: int, *, text: str) -> None:
        super().__init__(text)
        self.code = code


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Fatal(ValueError):
    pass


class Float(float):
    """As `numpy.float64` is one."""


class Text(str):
    """As `numpy.str_` is one."""


class Whole(IntEnum):
    THREE = 3
    TEN = 10


class Moment:
    """Is no number, and goes over no pipe."""


def _changed_retry() -> Retry:
    """As no `Retry` can be made."""
    retry = Retry(after=2.5)
    retry.after = Moment()  # type: ignore[assignment]
    return retry


RAISED = {
    "ValueError": lambda: ValueError("bad value"),
    "Fatal": lambda: Fatal("worse"),
    "Odd": lambda: Odd(7, text="odd one"),
    "Mute": Mute,
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": lambda: StopIteration(1),
    "BaseException": lambda: BaseException("base"),
    "Retry": lambda: Retry(after=2.5, message="later"),
    "Reject": lambda: Reject("never"),
    "Retry of its own kind": lambda: Retry(after=Float(2.5), message=Text("later")),
    "Reject of its own kind": lambda: Reject(Text("never")),
    "type of its own kind": lambda: type(Text("Odd"), (Exception,), {"__module__": Text("m\ud800")})(Text("x")),
    "changed Retry": _changed_retry,
    "Stop": lambda: Stop("cancelled"),
}

RETURNED = {
    "none": lambda: None,
    "data": lambda: {"a": [1, 2.5, "x"]},
    "function": lambda: lambda: 1,
    "object": object,
    "large": lambda: "x" * 2000,
    "kinds of its own": lambda: [Float(2.5), Text("x"), Whole.THREE, {Text("a"): Float(1)}],
}


def echo(ctx: Context, value: Any = None) -> Any:
    """What was given, and what the context knows."""
    job = ctx.job
    return {"value": value, "job": job.id, "queue": job.queue, "handler": job.handler, "attempt": ctx.attempt}


def throw(what: str) -> None:
    """Raise it."""
    raise RAISED[what]()


def give(what: str) -> Any:
    """Return it."""
    return RETURNED[what]()


def wait(ctx: Context, mark: str = "") -> str:
    """Run until stopped; say that it cleaned up."""
    try:
        ctx.progress(message="waiting")
        while True:
            time.sleep(0.005)
    finally:
        if mark:
            Path(mark).write_text(f"cleaned up, cancelled={ctx.cancelled}")


def deaf(until: str) -> str:
    """Do not end when told to; only when a file is there."""
    while True:
        try:
            while not Path(until).exists():
                time.sleep(0.005)
            return "in the end"
        except BaseException:
            continue


def swallow(ctx: Context) -> str:
    """Take the stop and return all the same."""
    try:
        ctx.progress(message="waiting")
        while True:
            time.sleep(0.005)
    except Stop:
        return "finished anyway"


def tally(ctx: Context, until: str) -> None:
    """Count the stops, until there was one and a file is there; say how many it were, and for which reason."""
    stops = 0
    while True:
        try:
            ctx.progress(message="waiting")
            while not (stops and Path(until).exists()):
                time.sleep(0.002)
            break
        except Stop:
            stops += 1
    raise Reject(f"{stops} stops: {ctx._reporter.stopping()}")


def storm(ctx: Context, count: int) -> None:
    """Report far too much."""
    for done in range(count):
        ctx.progress(done, count)
    ctx.progress(count, count, "all of it")


REPORTED: dict[str, tuple[Any, ...]] = {
    "float": (Float(3), Float(10)),
    "enumeration": (Whole.THREE, Whole.TEN),
    "fraction": (Fraction(3), Fraction(10)),
    "truth": (True, True),
    "too large": (2**65, 2**66),
    "no text": (0.5, None, b"half"),
}


def report(ctx: Context, what: str) -> None:
    """One report that leaves at once, one that is held back, and the same to be read by the next attempt."""
    *said, message = *REPORTED[what], Text("as said")
    ctx.progress(*said[:2], *(said[2:] or [message]))
    ctx.progress(*said[:2], *(said[2:] or [message]))
    ctx.log.info(Text("as said"), by=Text("me"))
    ctx.checkpoint([*said[:1], message])


def two_reports(ctx: Context, until: str) -> None:
    """Two reports at once, then silence."""
    ctx.progress(0.1)
    ctx.progress(0.2)
    while not Path(until).exists():
        time.sleep(0.005)


def save(ctx: Context) -> Any:
    """Save a state; return the one before."""
    before = ctx.last_checkpoint
    ctx.checkpoint({"page": 7})
    return [before, ctx.last_checkpoint]


def chat(ctx: Context, count: int) -> None:
    """Write log lines."""
    for number in range(count):
        ctx.log.info("line", number=number)


class Repeat(Question[str], frozen=True):
    """Answered, in the tests, with its own text."""

    text: str
    answers: ClassVar[Any] = str


def inquire(ctx: Context, size: int = 1, count: int = 1, patience: float = 10.0) -> list[str]:
    """Ask; return the answers' ends, or the error's kind."""
    ctx.progress(message="about to ask")
    try:
        return [ask(ctx._reporter, Repeat("x" * size + str(n)), patience)[size:] for n in range(count)]
    except Exception as wrong:
        return [type(wrong).__name__, str(wrong)]


def insist(ctx: Context) -> str:
    """Stopped while asking, ask something else."""
    try:
        return ask(ctx._reporter, Repeat("first"))
    except Stop:
        return ask(ctx._reporter, Repeat("second"))


async def ainquire(ctx: Context, size: int = 1, count: int = 1, patience: float = 10.0) -> list[str]:
    ctx.progress(message="about to ask")
    try:
        return [(await ask_async(ctx._reporter, Repeat("x" * size + str(n)), patience))[size:] for n in range(count)]
    except Exception as wrong:
        return [type(wrong).__name__, str(wrong)]


async def ainsist(ctx: Context) -> str:
    try:
        return await ask_async(ctx._reporter, Repeat("first"))
    except asyncio.CancelledError:
        return await ask_async(ctx._reporter, Repeat("second"))


async def aask_in_the_loop(ctx: Context) -> str:
    return ask(ctx._reporter, Repeat("x"))


async def aecho(ctx: Context, value: Any = None) -> Any:
    return echo(ctx, value)


async def athrow(what: str) -> None:
    raise RAISED[what]()


async def agive(what: str) -> Any:
    return RETURNED[what]()


async def await_(ctx: Context, mark: str = "") -> str:
    try:
        ctx.progress(message="waiting")
        await asyncio.sleep(3600)
    finally:
        if mark:
            Path(mark).write_text(f"cleaned up, cancelled={ctx.cancelled}")
    return ""


async def adeaf(until: str) -> str:
    while not Path(until).exists():
        try:
            await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            continue
    return "in the end"


async def aswallow(ctx: Context) -> str:
    try:
        ctx.progress(message="waiting")
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        pass
    return "finished anyway"


async def atally(ctx: Context, until: str) -> None:
    stops = 0
    ctx.progress(message="waiting")
    while not (stops and Path(until).exists()):
        try:
            await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            stops += 1
    raise Reject(f"{stops} stops: {ctx._reporter.stopping()}")


async def astorm(ctx: Context, count: int) -> None:
    storm(ctx, count)


async def atwo_reports(ctx: Context, until: str) -> None:
    ctx.progress(0.1)
    ctx.progress(0.2)
    while not Path(until).exists():
        await asyncio.sleep(0.005)


async def areport(ctx: Context, what: str) -> None:
    report(ctx, what)


async def asave(ctx: Context) -> Any:
    return save(ctx)


async def achat(ctx: Context, count: int) -> None:
    chat(ctx, count)


PLAIN = (echo, throw, give, wait, deaf, swallow, tally, storm, report, two_reports, save, chat, inquire, insist)
ASYNC = (aecho, athrow, agive, await_, adeaf, aswallow, atally, astorm, areport, atwo_reports, asave, achat, ainquire,
         ainsist, aask_in_the_loop)  # fmt: skip

"""The handlers under fault. Each writes what it does to a ledger outside Redis, which the oracle reads."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heavylift import Backoff, Context, Stop, handler
from tests.faults.ledger import note


@handler(queue="light", retries=2)
async def quick(ctx: Context, ledger: str) -> int:
    note(ledger, ctx, "start")
    await asyncio.sleep(0)
    note(ledger, ctx, "finish")
    return 1


@handler(queue="light", retries=2)
def quick_in_a_thread(ctx: Context, ledger: str) -> int:
    note(ledger, ctx, "start")
    note(ledger, ctx, "finish")
    return 1


@handler(queue="light", timeout=60)
async def until_told(ctx: Context, ledger: str, gate: str) -> str:
    """Runs until the file `gate` exists."""
    note(ledger, ctx, "start")
    while not Path(gate).exists():
        await asyncio.sleep(0.01)
    note(ledger, ctx, "finish")
    return "told"


@handler(queue="light", timeout=60, on_lost_contact="finish")
async def until_told_alone(ctx: Context, ledger: str, gate: str) -> str:
    """As `until_told`, and goes on without contact to Redis."""
    note(ledger, ctx, "start")
    while not Path(gate).exists():
        await asyncio.sleep(0.01)
    note(ledger, ctx, "finish")
    return "told"


@handler(queue="light", timeout=60, on_lost_contact="finish")
async def until_its_turn(ctx: Context, ledger: str, gate: str) -> int:
    """As `until_told_alone`; each attempt has a file of its own besides, `gate.1` and so on. Which attempt it was."""
    note(ledger, ctx, "start")
    while not (Path(gate).exists() or Path(f"{gate}.{ctx.attempt}").exists()):
        await asyncio.sleep(0.01)
    note(ledger, ctx, "finish")
    return ctx.attempt


@handler(lane="cpu", queue="heavy")
def reports(ctx: Context, ledger: str, seconds: float) -> int:
    """Reports progress without a pause; how often."""
    note(ledger, ctx, "start")
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        count += 1
        ctx.progress(count, 10_000_000)
    note(ledger, ctx, "finish")
    return count


@handler(lane="cpu", queue="heavy", timeout=60, grace=0.5)
def work_until_told(ctx: Context, ledger: str, gate: str) -> str:
    """Keeps a processor busy until the file `gate` exists."""
    note(ledger, ctx, "start")
    while not Path(gate).exists():
        time.sleep(0.005)
    note(ledger, ctx, "finish")
    return "told"


@handler(lane="cpu", queue="heavy", timeout=60, grace=5)
def work_whatever(ctx: Context, ledger: str, gate: str) -> str:
    """As `work_until_told`, and does not heed a stop."""
    note(ledger, ctx, "start")
    while not Path(gate).exists():
        try:
            time.sleep(0.005)
        except BaseException:
            continue
    note(ledger, ctx, "finish")
    return "told"


@handler(queue="light", timeout=60, grace=5)
async def wait_whatever(ctx: Context, ledger: str, gate: str) -> str:
    """As `until_told`, and does not heed a stop."""
    note(ledger, ctx, "start")
    while not Path(gate).exists():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue
    note(ledger, ctx, "finish")
    return "told"


@handler(lane="cpu", queue="heavy")
def crunch(ctx: Context, ledger: str, seconds: float = 0.0) -> float:
    """Spins for some seconds."""
    note(ledger, ctx, "start")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    note(ledger, ctx, "finish")
    return seconds


@handler(lane="cpu", queue="heavy")
def kills_itself(ctx: Context, ledger: str) -> None:
    note(ledger, ctx, "start")
    os.kill(os.getpid(), signal.SIGKILL)


@handler(lane="cpu", queue="heavy", retries=0)
def leaves(ctx: Context, ledger: str, how: str) -> Any:
    """Leaves in every way a handler should not."""
    note(ledger, ctx, "start")
    if how == "os._exit":
        os._exit(0)
    if how == "sys.exit":
        sys.exit(3)
    if how == "keyboard":
        raise KeyboardInterrupt
    if how == "generator exit":
        raise GeneratorExit
    if how == "odd exception":
        raise OddError(1, 2, 3)
    if how == "ring of exceptions":
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        raise first
    return lambda: None  # not to be stored as JSON, nor to be pickled


class OddError(Exception):
    """Cannot be rebuilt from its `args`, as many real exception classes cannot."""

    def __init__(self, a: int, b: int, c: int) -> None:
        super().__init__(f"odd {a}{b}{c}")
        self.unpicklable = lambda: None


@handler(lane="cpu", queue="heavy", timeout=0.5, grace=0.3, retries=0)
def never_returns(ctx: Context, ledger: str) -> None:
    """Cannot be asked: it ignores the stop as a handler with a broad except does."""
    note(ledger, ctx, "start")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue


STORM = Backoff(initial=4.0, jitter=0.5)


@handler(queue="light", retries=1, backoff=STORM)
async def fails(ctx: Context, ledger: str) -> None:
    note(ledger, ctx, "start")
    raise ConnectionError("nothing downstream answers")


@handler(queue="light", timeout=0.5, retries=0)
async def idles(ctx: Context, ledger: str) -> None:
    """Waits for nothing, until it is stopped."""
    note(ledger, ctx, "start")
    await asyncio.Event().wait()


@handler(queue="light", retries=3, backoff=[0.05])
async def fails_twice(ctx: Context, ledger: str) -> int:
    note(ledger, ctx, "start")
    if ctx.attempt < 3:
        raise RuntimeError(f"attempt {ctx.attempt} fails")
    note(ledger, ctx, "finish")
    return ctx.attempt


@contextmanager
def noting_a_stop(ledger: str, ctx: Context) -> Iterator[None]:
    try:
        yield
    except (Stop, asyncio.CancelledError):
        note(ledger, ctx, "stopped")
        raise


def await_file(ctx: Context, path: str) -> None:
    """In its first attempt."""
    while ctx.attempt == 1 and path and not Path(path).exists():
        time.sleep(0.005)


def charge(ctx: Context, ledger: str, gate: str, key: str) -> str:
    """The effect: a line in the ledger. Then it waits in the middle of it, in its first attempt."""
    note(ledger, ctx, f"effect-{key}")
    await_file(ctx, gate)
    return f"receipt of {key}"


@handler(lane="cpu", queue="heavy", timeout=60, grace=0.5, backoff=[0.05])
def charges(
    ctx: Context,
    ledger: str,
    key: str,
    gate: str = "",
    repeat: bool = False,
    then_die: bool = False,
    keep: float = 3600.0,
    before: str = "",
    after: str = "",
) -> Any:
    note(ledger, ctx, "start")
    await_file(ctx, before)
    note(ledger, ctx, "asks")
    with noting_a_stop(ledger, ctx), ctx.once(key, str, in_doubt="repeat" if repeat else "fail", keep=keep) as step:
        if step.first:
            step.result = charge(ctx, ledger, gate, step.key)
    note(ledger, ctx, "recorded")
    await_file(ctx, after)
    if then_die and ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    note(ledger, ctx, "finish")
    return step.result


@handler(queue="light", timeout=60, grace=0.5, backoff=[0.05])
def charges_lightly(
    ctx: Context, ledger: str, key: str, gate: str = "", keep: float = 3600.0, before: str = "", after: str = ""
) -> str:
    note(ledger, ctx, "start")
    await_file(ctx, before)
    with noting_a_stop(ledger, ctx), ctx.once(key, str, keep=keep) as step:
        if step.first:
            step.result = charge(ctx, ledger, gate, step.key)
    note(ledger, ctx, "recorded")
    await_file(ctx, after)
    note(ledger, ctx, "finish")
    return step.result


async def await_file_async(ctx: Context, path: str) -> None:
    """In its first attempt."""
    while ctx.attempt == 1 and path and not Path(path).exists():
        await asyncio.sleep(0.005)


@handler(queue="light", timeout=60, backoff=[0.05])
async def charges_async(ctx: Context, ledger: str, key: str, gate: str = "", before: str = "", after: str = "") -> str:
    note(ledger, ctx, "start")
    await await_file_async(ctx, before)
    with noting_a_stop(ledger, ctx):
        async with ctx.once(key, str) as step:
            if step.first:
                note(ledger, ctx, f"effect-{key}")
                await await_file_async(ctx, gate)
                step.result = f"receipt of {key}"
    note(ledger, ctx, "recorded")
    await await_file_async(ctx, after)
    note(ledger, ctx, "finish")
    return step.result


def reach(ctx: Context, ledger: str) -> int:
    """Go on from the checkpoint to the next step, and save it; which step that is."""
    step: int = (ctx.last_checkpoint or 0) + 1
    note(ledger, ctx, f"step-{step}")
    ctx.checkpoint(step)
    return step


@handler(lane="cpu", queue="heavy", timeout=60, grace=0.5)
def steps(ctx: Context, ledger: str, gate: str) -> int:
    note(ledger, ctx, "start")
    reach(ctx, ledger)
    while ctx.attempt == 1 and not Path(gate).exists():
        time.sleep(0.005)
    last = reach(ctx, ledger)
    note(ledger, ctx, "finish")
    return last


@handler(queue="light", timeout=60, grace=0.5)
def steps_lightly(ctx: Context, ledger: str, gate: str) -> int:
    note(ledger, ctx, "start")
    reach(ctx, ledger)
    while ctx.attempt == 1 and not Path(gate).exists():
        time.sleep(0.005)
    last = reach(ctx, ledger)
    note(ledger, ctx, "finish")
    return last


@handler(queue="light", timeout=60, grace=0.5)
async def steps_async(ctx: Context, ledger: str, gate: str) -> int:
    note(ledger, ctx, "start")
    reach(ctx, ledger)
    while ctx.attempt == 1 and not Path(gate).exists():
        await asyncio.sleep(0.005)
    last = reach(ctx, ledger)
    note(ledger, ctx, "finish")
    return last


MARCH = 80
"""Steps of a march; each takes 50 ms."""


def march_on(ctx: Context, ledger: str) -> int:
    note(ledger, ctx, "start")
    last = 0
    while last < MARCH:
        time.sleep(0.05)
        last = reach(ctx, ledger)
    note(ledger, ctx, "finish")
    return last


@handler(lane="cpu", queue="heavy", timeout=60, retries=0)
def marches(ctx: Context, ledger: str) -> int:
    return march_on(ctx, ledger)


@handler(queue="light", timeout=60, retries=0)
def marches_lightly(ctx: Context, ledger: str) -> int:
    return march_on(ctx, ledger)


@handler(lane="cpu", queue="heavy", timeout=60)
def saves_and_dies(ctx: Context, ledger: str) -> int:
    """Leaves right after its first checkpoint."""
    step = reach(ctx, ledger)
    if ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return step


@handler(queue="light", retries=2)
async def carries(ctx: Context, ledger: str, load: str) -> str:
    """Gives back a large payload."""
    note(ledger, ctx, "start")
    note(ledger, ctx, "finish")
    return load


@handler(queue="light", retries=2, key=lambda host: host, concurrency=1, rate="20/s", group_concurrency=2)
async def visits(ctx: Context, ledger: str, host: str) -> str:
    """Limited by key and by group."""
    note(ledger, ctx, "start")
    await asyncio.sleep(0.005)
    note(ledger, ctx, "finish")
    return host


@handler(lane="cpu", queue="heavy", retries=0, memory="64MB")
def takes_too_much(ctx: Context, ledger: str) -> int:
    """Takes more memory than it may."""
    note(ledger, ctx, "start")
    return len(bytearray(1 << 30))

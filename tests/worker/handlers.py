"""Handlers the worker's tests run."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import defaultdict

from heavylift import Client, Context, HeavyliftError, Reject, Retry, handler
from heavylift.files import source

gates: dict[str, threading.Event] = defaultdict(threading.Event)
"""Opened by a test to let a handler go on; only for handlers in the test's own process."""

running: list[str] = []
"""Job ids in the order their handlers began, here in this process."""


@handler(queue="light")
async def echo(value: int) -> int:
    return value


@handler(queue="light")
async def wait_for(ctx: Context, gate: str) -> str:
    running.append(ctx.job.id)
    while not gates[gate].is_set():
        await asyncio.sleep(0.002)
    return gate


@handler(queue="slow")
async def wait_slowly(ctx: Context, gate: str) -> str:
    running.append(ctx.job.id)
    while not gates[gate].is_set():
        await asyncio.sleep(0.002)
    return gate


@handler(queue="light", on_lost_contact="finish")
async def wait_for_anyway(ctx: Context, gate: str) -> str:
    running.append(ctx.job.id)
    while not gates[gate].is_set():
        await asyncio.sleep(0.002)
    return gate


@handler(queue="light")
def block_for(ctx: Context, gate: str) -> str:
    running.append(ctx.job.id)
    while not gates[gate].wait(0.002):
        pass
    return gate


@handler(queue="light")
async def reports(ctx: Context, steps: int) -> int:
    for step in range(steps):
        ctx.progress(step + 1, steps, f"step {step + 1}")
    return steps


@handler(queue="light")
def saves_for_ever(ctx: Context) -> None:
    running.append(ctx.job.id)
    while True:
        ctx.checkpoint(1)


@handler(queue="light", retries=0)
async def says(ctx: Context, how: str) -> None:
    odd = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    if how == "reject":
        raise Reject(odd)
    if how == "retry":
        raise Retry(message=odd)
    if how == "log":
        ctx.log.info(odd)
    if how == "progress":
        ctx.progress(message=odd)


@handler(queue="light", retries=1, backoff=[0.01])
def changes_its_retry(ctx: Context) -> None:
    """Raises what no settlement can be made of."""
    if ctx.last_checkpoint == "saved":
        return
    ctx.checkpoint("saved")
    retry = Retry(after=1)
    retry.after = object()  # type: ignore[assignment]
    raise retry


@handler(queue="light", retries=2, backoff=[0.01])
async def fails(message: str) -> None:
    raise ValueError(message)


@handler(lane="cpu", queue="heavy")
def spin(seconds: float) -> float:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return seconds


@handler(lane="cpu", queue="heavy", grace=0.3)
def nap(ctx: Context) -> None:
    ctx.progress(message="here")
    while True:
        time.sleep(0.01)


def leak(ctx: Context, password: str, card: dict[str, str]) -> None:
    """Says its secrets wherever it can."""
    ctx.log.info("got", password=password, number=card["number"])
    print(f"printed {password}")
    ctx.progress(0.5, message=f"with {password}")
    if password.startswith("keep"):
        raise Reject(f"cannot use {password!r}")
    raise ValueError(f"{password} and {card}")


leak_here = handler(queue="light", name="leak_here", secret=("password", "card.number"))(leak)
leak_there = handler(queue="heavy", lane="cpu", name="leak_there", secret=("password", "card.number"))(leak)


@handler(queue="light")
def leaky(password: str) -> None:
    raise ValueError(f"no secret of its own: {password}")


@handler(queue="light")
def add_up(ctx: Context) -> list[int]:
    return [one.result for one in ctx.parents]


@handler(queue="light")
async def add_up_later(ctx: Context) -> list[int]:
    return [one.result for one in await ctx.parents]


@handler(lane="cpu", queue="heavy")
def add_up_heavily(ctx: Context) -> list[str | None]:
    return [one.result if one.completed else one.state for one in ctx.parents]


@handler(queue="light", retries=0)
def fall() -> None:
    raise ValueError("fallen")


@handler(queue="light")
def say_much(size: int) -> str:
    return "x" * size


@handler(queue="light")
def count_said(ctx: Context) -> list[int]:
    return [len(one.result) for one in ctx.parents]


@handler(queue="light")
def read_all(ctx: Context, url: str) -> list[int]:
    """How long each parent's result is, in its turn; how often it had to be read from the parent, at last."""
    found, left_out = [], 0
    with Client(url) as client:
        for one in ctx.parents:
            try:
                found.append(len(one.result))
            except HeavyliftError as wrong:
                said = f"read it with client.job({one.id!r}, {one.queue!r}).result(timeout=0)" in str(wrong)
                found.append(len(client.job(one.id, one.queue).result(timeout=0)))
                left_out += said
    return [*found, left_out]


def asks_for_rest(ctx: Context, seconds: float) -> str:
    """Told "too many requests" at its first start."""
    if ctx.last_checkpoint is None:
        ctx.checkpoint("told")
        raise Retry(after=seconds, queue_wide=True)
    return "done"


asks_for_rest_here = handler(queue="light", name="asks_for_rest_here", retries=0)(asks_for_rest)
asks_for_rest_there = handler(queue="heavy", lane="cpu", name="asks_for_rest_there", retries=0)(asks_for_rest)


@handler(queue="light")
def when(ctx: Context) -> float:
    return ctx.job.enqueued_at


def _where() -> list[str]:
    from tests.worker.around import here

    return [here.get()]


@handler(queue="light")
def where_plain() -> list[str]:
    return _where()


@handler(queue="light")
async def where_async() -> list[str]:
    await asyncio.sleep(0)
    return _where()


@handler(queue="heavy", lane="cpu")
def where_heavy() -> list[str]:
    return _where()


@handler(queue="heavy", lane="cpu", retries=1, backoff=[0.01])
def die_once(ctx: Context) -> str:
    if ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@handler(queue="light")
def passes_on() -> str:
    with Client() as client:
        return client.enqueue(where_plain.job()).id


@handler(queue="heavy", lane="cpu")
def carried_baggage() -> str | None:
    from opentelemetry import baggage

    found = baggage.get_baggage("tenant")
    return None if found is None else str(found)


@handler(queue="light")
def says_plainly(ctx: Context) -> None:
    ctx.log.info("hello", n=1)


@handler(queue="light")
async def says_on_the_loop(ctx: Context) -> None:
    ctx.log.info("hello", n=1)


@handler(queue="heavy", lane="cpu")
def says_heavily(ctx: Context) -> None:
    ctx.log.info("hello", n=1)


def reads(path: str) -> str:
    with source(path) as file:
        return file.read().decode()


reads_here = handler(queue="light", name="reads_here")(reads)
reads_there = handler(queue="heavy", lane="cpu", name="reads_there")(reads)

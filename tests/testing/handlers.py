"""Handlers of the kinds an application has."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AbstractContextManager, nullcontext, suppress

from heavylift import Client, Context, Middleware, Reject, Retry, Secret, handler

ran: list[str] = []


class Calls(Middleware):
    """Notes which handlers are called within it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def call(self, ctx: Context) -> AbstractContextManager[object]:
        self.calls.append(ctx.job.handler)
        return nullcontext()


seen = Calls()


@handler(queue="mail", retries=2, backoff=[60.0, 120.0])
def send(ctx: Context, to: str, fail_until: int = 0) -> str:
    ran.append(to)
    ctx.log.info("sending", to=to)
    if ctx.attempt < fail_until:
        raise OSError(f"no line to {to}")
    ctx.progress(1.0)
    return f"sent to {to}"


@handler(queue="mail")
async def welcome(user: int) -> int:
    with Client() as client:
        client.enqueue(send.job(f"user{user}"))
    return user


@handler(queue="mail")
async def plain_async(user: int) -> int:
    return user


@handler(queue="mail")
def refuse() -> None:
    raise Reject("never")


@handler(queue="slow", timeout=0.5, retries=1, backoff=[60.0])
def spin(ctx: Context, attempts: int) -> int:
    """Ends by itself only from that attempt on."""
    while ctx.attempt < attempts:
        time.sleep(0.001)
    return ctx.attempt


@handler(queue="slow", timeout=0.5, retries=1, backoff=[60.0])
async def wait(ctx: Context, attempts: int) -> int:
    while ctx.attempt < attempts:
        await asyncio.sleep(60)
    return ctx.attempt


@handler(queue="slow", timeout=0.05, retries=0)
def tidy_up() -> str:
    """Makes something of being stopped."""
    try:
        while True:
            time.sleep(0.001)
    except BaseException:
        return "tidied"


@handler(queue="slow-heavy", lane="cpu", timeout=0.05, grace=0.05, retries=0)
def asleep(seconds: float) -> str:
    """Nothing reaches it before it is back."""
    time.sleep(seconds)
    return "slept"


@handler(queue="slow", timeout=0.05, grace=0.05, retries=0)
async def deaf(seconds: float) -> str:
    """Goes on though it was cancelled."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(seconds)
    return "heard nothing"


@handler(queue="heavy", lane="cpu")
def which_process() -> int:
    return os.getpid()


@handler(queue="mail", retries=1, backoff=[1.0])
def resume(ctx: Context, rows: int) -> list[int]:
    start = ctx.last_checkpoint or 0
    ctx.checkpoint(rows // 2)
    if not start:
        raise OSError("half way")
    return [start, rows]


@handler(queue="mail", key=lambda user: user, concurrency=1, rate="1/day")
def remind(user: str) -> None:
    ran.append(user)


@handler(queue="mail", secret=["card.number"])
def pay(password: Secret[str], card: dict[str, str]) -> None: ...


@handler(queue="busy", retries=0)
def throttled(n: int, tell: bool = False) -> None:
    """The other side says "too many requests" to the first of those that tell."""
    if tell and "told" not in ran:
        ran.append("told")
        raise Retry(after=30, queue_wide=True)
    ran.append(str(n))

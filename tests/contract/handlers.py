"""Handlers of the contract: one for each way an attempt can go."""

from __future__ import annotations

import asyncio
import os

from heavylift import Context, Reject, Retry, handler

order: list[str] = []

at_work: list[str] = []
"""Hosts that are fetched from now, by workers of this process."""

peak: list[tuple[str, ...]] = []
"""The same after each start."""


@handler(queue="light")
async def echo(text: str) -> str:
    order.append(text)
    return text


@handler(queue="light", retries=2, backoff=[0.01])
def flaky(ctx: Context, good_at: int) -> int:
    if ctx.attempt < good_at:
        raise OSError(f"attempt {ctx.attempt}")
    return ctx.attempt


@handler(queue="light", retries=1)
def asks_again(ctx: Context) -> int:
    if ctx.attempt == 1:
        raise Retry(after=0.01)
    return ctx.attempt


@handler(queue="light")
def refuses() -> None:
    raise Reject("never")


@handler(queue="light")
async def gathers(ctx: Context) -> list[str]:
    return [parent.result if parent.completed else parent.state for parent in await ctx.parents]


@handler(queue="light")
async def pays(ctx: Context, order: str) -> bool:
    """Whether it was this run that paid."""
    async with ctx.once(f"pay:{order}", str) as step:
        if step.first:
            step.result = "receipt"
    return step.first


@handler(queue="light")
async def waits(ctx: Context) -> None:
    ctx.progress(0.5, message="waiting")
    await asyncio.sleep(60)


@handler(queue="light", retries=1, backoff=[0.01])
def goes_on(ctx: Context) -> list[int]:
    start = ctx.last_checkpoint or 0
    ctx.checkpoint(start + 5)
    if not start:
        raise OSError("half way")
    return [start]


@handler(queue="limited", key=lambda host: host, concurrency=1, group_concurrency=3, rate="200/s", burst=50)
async def fetch(host: str, seconds: float = 0.0) -> str:
    at_work.append(host)
    peak.append(tuple(sorted(at_work)))
    await asyncio.sleep(seconds)
    at_work.remove(host)
    order.append(host)
    return host


@handler(queue="limited")
async def backs_off(ctx: Context) -> int:
    if ctx.last_checkpoint is None:
        ctx.checkpoint(1)
        raise Retry(after=0.2, queue_wide=True)
    return ctx.attempt


@handler(queue="heavy", lane="cpu")
def process(ctx: Context) -> int:
    ctx.progress(1, 2)
    return os.getpid()


@handler(queue="heavy", lane="cpu")
def dies(ctx: Context) -> int:
    if ctx.attempt == 1:
        os._exit(3)
    return ctx.attempt

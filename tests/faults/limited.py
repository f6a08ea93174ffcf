"""Handlers with limits at queue, group and key. A job's id is `<group>.<key>.<n>`: where it stands."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from heavylift import Context, handler
from tests.faults.ledger import note


@handler(queue="visits", key=lambda host: host, concurrency=2, group_concurrency=7)
async def visit(ctx: Context, ledger: str, host: str, gate: str = "") -> None:
    note(ledger, ctx, "start")
    while gate and not Path(gate).exists():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)
    note(ledger, ctx, "finish")


@handler(queue="visits", concurrency=4)
def call(ctx: Context, ledger: str, gate: str = "") -> None:
    note(ledger, ctx, "start")
    while gate and not Path(gate).exists():
        time.sleep(0.01)
    time.sleep(0.01)
    note(ledger, ctx, "finish")


@handler(lane="cpu", queue="bakery", key=lambda oven: oven, concurrency=1, group_concurrency=2, timeout=60)
def bake(ctx: Context, ledger: str, oven: str, gate: str = "") -> None:
    note(ledger, ctx, "start")
    while gate and not Path(gate).exists() and ctx.attempt == 1:
        time.sleep(0.005)
    note(ledger, ctx, "finish")


@handler(queue="letters", rate="100/s", burst=10)
async def post(ctx: Context, ledger: str) -> None:
    note(ledger, ctx, "start")

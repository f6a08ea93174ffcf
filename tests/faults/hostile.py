"""Handlers that hostile payloads come to, and one that leaks what it can."""

from __future__ import annotations

import sys
from typing import Any

import structlog

from heavylift import Context, Secret, handler

Came = tuple[Any, list[str]]
"""What came of a payload: itself, and all modules that the process has once it has it."""


@handler(lane="cpu", queue="heavy")
def loaded(ctx: Context, payload: Any) -> Came:
    return payload, sorted(sys.modules)


@handler(queue="light")
async def loaded_lightly(ctx: Context, payload: Any) -> Came:
    return payload, sorted(sys.modules)


@handler(lane="cpu", queue="heavy")
def measures(payload: str) -> int:
    """How long a payload is."""
    return len(payload)


@handler(lane="cpu", queue="heavy", backoff=[0.05])
def returns(size: int) -> str:
    """A result of so many bytes."""
    return "x" * size


@handler(lane="cpu", queue="heavy", retries=0)
def leaks(ctx: Context, token: Secret[str]) -> None:
    print("printed", token)
    structlog.get_logger("heavylift").warning("logged", token=token)
    ctx.progress(1, 2, f"told {token}")
    raise ValueError(f"raised {token}")

"""Handlers that hostile payloads come to, and one that leaks what it can."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import structlog

from heavylift import Context, Secret, handler


@handler(lane="cpu", queue="heavy")
def loaded(ctx: Context, payload: Any) -> list[str]:
    """All modules that the process has, once it has the payload."""
    return sorted(sys.modules)


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


@handler(lane="cpu", queue="heavy", timeout=60, grace=0.5)
def starts_another(book: str) -> None:
    """Leaves a process behind: its own ends only when it is killed."""
    started = subprocess.Popen(["sleep", "1000"])
    Path(book).write_text(str(started.pid))
    while True:
        try:
            time.sleep(60)
        except BaseException:  # cannot be asked, so it is killed
            continue

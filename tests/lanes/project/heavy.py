"""The behaviours, declared for the cpu lane; and those that only a process can be asked to survive."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import behaviours

from heavylift.context import Context
from heavylift.handler import handler

for _fn in behaviours.PLAIN:
    globals()[_fn.__name__] = handler(lane="cpu", give_up_on=behaviours.Fatal)(_fn)


@handler(lane="cpu")
def facts() -> dict[str, Any]:
    """What it is like in here."""
    main = sys.modules["__main__"]
    return {
        "pid": os.getpid(),
        "group": os.getpgrp(),
        "nice": os.nice(0),
        "redis": any(name == "redis" or name.startswith("redis.") for name in sys.modules),
        "main": getattr(main, "__file__", None),
        "blas": os.environ.get("OMP_NUM_THREADS"),
        "interrupt": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        "terminate": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "threads": len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 0,
    }


@handler(lane="cpu")
def leave(code: int) -> None:
    """End the process, without a word."""
    os._exit(code)


@handler(lane="cpu")
def die(number: int) -> None:
    """Send oneself a signal."""
    os.kill(os.getpid(), number)
    time.sleep(60)


@handler(lane="cpu")
def null() -> None:
    """Read the address 0."""
    ctypes.string_at(0)


@handler(lane="cpu")
def stubborn(mark: str) -> None:
    """An endless loop that hears neither TERM nor anything else."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(mark).write_text(str(os.getpid()))
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue


@handler(lane="cpu")
def family(mark: str) -> None:
    """Start a process and wait for it."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(mark).write_text(str(child.pid))
    child.wait()


@handler(lane="cpu")
def closes_everything() -> None:
    """Close every descriptor, as careless code does before it becomes a daemon."""
    os.closerange(3, 256)
    time.sleep(60)


@handler(lane="cpu")
def says(count: int) -> None:
    """Print and log in every way there is."""
    print("printed")
    print("in two", end=" ")
    print("pieces")
    sys.stderr.write("on stderr\nunfinished")
    logging.getLogger("mine").warning("logged %d", 5)
    for number in range(count):
        print("row", number)


@handler(lane="cpu")
def last_words(ctx: Context) -> None:
    """Save a state and die in the same breath."""
    ctx.checkpoint("the last state")
    ctx.progress(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


@handler(lane="cpu")
def large(size: int) -> str:
    """A result of this size."""
    return "x" * size


@handler(lane="cpu")
def count(limit: int) -> int:
    """Pure Python for a while."""
    total = 0
    for number in range(limit):
        total += number
    return total


@handler(lane="cpu")
def grow(size: int) -> int:
    """Keep memory."""
    globals().setdefault("_kept", []).append(b"x" * size)
    return os.getpid()


@handler(lane="cpu")
def saves(ctx: Context, count: int) -> None:
    """Save a state again and again."""
    for number in range(count):
        ctx.checkpoint({"number": number, "padding": "x" * 80})


@handler(lane="cpu")
def holds(mark: str) -> None:
    """Start a process, then sit in a C call that keeps the interpreter: no Python code runs in here any more."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(mark).write_text(str(child.pid))
    ctypes.PyDLL(None).sleep(600)

"""The behaviours, declared for the cpu lane; and those that only a process can be asked to survive."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import behaviours
import msgspec

from heavylift.context import Context
from heavylift.handler import handler
from heavylift.setup import Setup

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
def garbles(data: str, mark: str) -> None:
    """Write these bytes (hex) into the pipe to the worker, among the frames; {call} is the call's number."""
    child = sys.modules["heavylift.lanes.child"]._child
    number = msgspec.msgpack.encode(child._reporter._call).hex()
    child._pipe._socket.sendall(bytes.fromhex(data.replace("{call}", number)))
    Path(mark).touch()
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
def fail_later(ctx: Context) -> None:
    """Ask for a call that raises, and wait until it has."""
    called = threading.Event()

    def fail() -> None:
        called.set()
        raise ValueError("too late")

    ctx._reporter.later(0.01, fail)
    called.wait()
    ctx._reporter.later(0.01, (heard := threading.Event()).set)
    heard.wait(5)


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
def takes(size: int, mark: str = "") -> int:
    """Take memory, bit by bit, each bit small enough to be had; then wait."""
    taken = [b"x" * (1 << 20) for _ in range(size >> 20)]
    if mark:
        Path(mark).write_text(str(len(taken)))
    time.sleep(60 if mark else 0)
    return len(taken)


@handler(lane="cpu")
def reserves(size: int) -> int:
    """Ask for memory in one piece, and touch none of it."""
    return len(bytes(size))


@handler(lane="cpu")
def breeds(size: int, mark: str) -> None:
    """Start a shell that starts a process that takes memory, bit by bit; wait for it."""
    code = f"import time; taken = [b'x' * (1 << 20) for _ in range({size >> 20})]; time.sleep(600)"
    child = subprocess.Popen(["/bin/sh", "-c", f'{sys.executable} -c "{code}" & echo $! > {mark}; wait'])
    child.wait()


@handler(lane="cpu")
def forks(count: int) -> str:
    """Fork processes that share all that this one has taken."""
    taken = [b"x" * (1 << 20) for _ in range(40)]
    pids = [os.fork() for _ in range(count) if os.getpid() == os.getsid(0)]
    if 0 in pids:
        time.sleep(0.5)
        os._exit(0)
    for pid in pids:
        os.waitpid(pid, 0)
    return f"{len(taken)} MiB"


@handler(lane="cpu")
def grows_when_stopped(ctx: Context) -> None:
    """Answer a stop by taking memory."""
    ctx.progress(0.1)
    try:
        time.sleep(60)
    except BaseException:
        taken = []
        while True:
            taken.append(b"x" * (1 << 20))
            time.sleep(0.0005)


@handler(lane="cpu")
def data_limit() -> list[int]:
    """What a process here may ask for."""
    return list(resource.getrlimit(resource.RLIMIT_DATA))


def _lose_patience() -> None:
    time.sleep(60)


def _break() -> None:
    raise FileNotFoundError("model.bin")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _count() -> list[int]:
    time.sleep(1.2)
    _kept.append(b"")
    return [os.getpid(), len(_kept)]


_kept: list[bytes] = []
counted = Setup(_count)
large_model = Setup(lambda: b"x" * (80 << 20))


@handler(lane="cpu", setup=counted)
def uses() -> list[int]:
    """What was set up."""
    return counted.value


@handler(lane="cpu", setup=[counted, large_model])
def uses_both() -> list[int]:
    """What was set up, beside something large."""
    return [*counted.value, len(large_model.value) >> 20]


@handler(lane="cpu", setup=Setup(_lose_patience, timeout=0.3))
def setup_too_slow() -> None:
    """Never called."""


@handler(lane="cpu", setup=Setup(_lose_patience))
def setup_waits() -> None:
    """Never called."""


@handler(lane="cpu", setup=Setup(_break))
def setup_broken() -> None:
    """Never called."""


@handler(lane="cpu", setup=Setup(_die))
def setup_dies() -> None:
    """Never called."""


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

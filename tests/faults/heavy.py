"""Handlers that go wrong in ways of their own: they garble, leak, starve, breed. Each writes to the ledger."""

from __future__ import annotations

import ctypes
import fcntl
import logging
import mmap
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import psutil

from heavylift import Context, handler
from tests.faults.ledger import note

MIB = 1 << 20


@handler(lane="cpu", queue="heavy", backoff=[0.05])
def dies_in_mid_result(ctx: Context, ledger: str, size: int) -> str:
    """Its first attempt is killed once the system has taken in a part of its large result."""
    note(ledger, ctx, "start")
    if ctx.attempt > 1:
        note(ledger, ctx, "finish")
        return "small"
    threading.Thread(target=_die_when_full, args=(_pipe(),), daemon=True).start()
    return "x" * size


def _pipe() -> int:
    """The descriptor of this process's pipe to its worker."""
    number: int = sys.modules["heavylift.lanes.child"]._child._pipe._socket.fileno()  # type: ignore[attr-defined]
    return number


def _die_when_full(pipe: int) -> None:
    """A pipe with more than 64 KiB in it has a part of the result: all else that is said is smaller."""
    while True:
        (unread,) = struct.unpack("i", fcntl.ioctl(pipe, termios.TIOCOUTQ, b"\0" * 4))
        if unread > 64 * 1024:
            os.kill(os.getpid(), signal.SIGKILL)


@handler(queue="light", timeout=60, grace=0.5)
def starves(ctx: Context, ledger: str, seconds: int) -> str:
    """In its first attempt it keeps the interpreter for itself: no other thread of the worker runs."""
    note(ledger, ctx, "start")
    if ctx.attempt == 1:
        ctypes.PyDLL(None).sleep(seconds)
    note(ledger, ctx, "finish")
    return "awake"


@handler(lane="cpu", queue="heavy", retries=0)
def crashes(ctx: Context, ledger: str, how: str, folder: str) -> None:
    """Dies as native code does."""
    note(ledger, ctx, "start")
    if how == "SIGABRT":
        os.abort()
    if how == "SIGSEGV":
        ctypes.string_at(0)
    if how == "SIGBUS":  # a page of a file that was cut off
        with open(Path(folder) / "short", "w+b") as file:
            file.truncate(2 * mmap.PAGESIZE)
            mapped = mmap.mmap(file.fileno(), 2 * mmap.PAGESIZE)
            file.truncate(0)
            mapped[mmap.PAGESIZE] = 1


@handler(lane="cpu", queue="heavy", retries=0, memory="64MB")
def takes_bit_by_bit(ctx: Context, ledger: str, size: int) -> int:
    """Takes memory in pieces, each small enough to be had."""
    note(ledger, ctx, "start")
    return len(_take(size))


@handler(lane="cpu", queue="heavy", backoff=[0.05])
def takes_all(ctx: Context, ledger: str, size: int) -> int:
    """The same without a limit; in its second attempt it takes nothing."""
    note(ledger, ctx, "start")
    taken = _take(size if ctx.attempt == 1 else 0)
    note(ledger, ctx, "finish")
    return len(taken)


def _take(size: int) -> list[bytes]:
    return [b"x" * MIB for _ in range(size // MIB)]


_leaked: list[bytes] = []


@handler(lane="cpu", queue="heavy")
def leaks(ctx: Context, ledger: str, size: int, seconds: float) -> int:
    """Keeps so many bytes for good, and takes its time. What its process has now."""
    note(ledger, ctx, "start")
    _leaked.append(b"x" * size)
    time.sleep(seconds)
    rss: int = psutil.Process().memory_info().rss
    note(ledger, ctx, "finish")
    return rss


_shared = threading.Lock()


@handler(queue="light", timeout=600)
def talks(ctx: Context, ledger: str, gate: str) -> int:
    """Logs, and takes a lock that it shares with others, until the file `gate` exists; how often."""
    note(ledger, ctx, "start")
    log, count = logging.getLogger("tests.talks"), 0
    while not Path(gate).exists():
        with _shared:
            count += 1
            log.warning("held the lock %d times", count)
        ctx.log.debug("and again", count=count)
        time.sleep(0.005)
    note(ledger, ctx, "finish")
    return count


@handler(lane="cpu", queue="heavy")
def short(ctx: Context, ledger: str) -> int:
    """Which process ran it."""
    note(ledger, ctx, "start")
    note(ledger, ctx, "finish")
    return os.getpid()


# --- processes of its own --------------------------------------------------------------------------------------


@handler(lane="cpu", queue="heavy", timeout=60, grace=0.5, retries=0)
def breeds(ctx: Context, ledger: str, folder: str, heeds: bool) -> None:
    """Starts a process, and one that starts another and goes; then it waits, and ends when asked only if it `heeds`.

    It ends none of them.
    """
    note(ledger, ctx, "start")
    subprocess.Popen(["/bin/sh", "-c", f"echo $$ > {folder}/child; exec sleep 1000"])
    subprocess.Popen(["/bin/sh", "-c", f"sleep 1000 & echo $! > {folder}/orphan"]).wait()
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            if heeds:
                raise


@handler(lane="cpu", queue="heavy", timeout=60, grace=5, retries=0)
def waits_for_its_own(ctx: Context, ledger: str, folder: str) -> None:
    """Runs a program to its end, as most do; the call ends the program when the handler is asked to stop.

    Not while it starts it: the program gets its word, and says that it is there, when that is over.
    """
    note(ledger, ctx, "start")
    subprocess.run(["/bin/sh", "-c", f"read go; echo $$ > {folder}/child; exec sleep 1000"], input=b"go\n", check=True)


@handler(lane="cpu", queue="heavy")
def leaves_one(ctx: Context, ledger: str, folder: str) -> int:
    """Returns while a process that it has started runs on. Which process it was itself."""
    note(ledger, ctx, "start")
    subprocess.Popen(["/bin/sh", "-c", f"echo $$ > {folder}/child; exec sleep 1000"])
    note(ledger, ctx, "finish")
    return os.getpid()


def written_down(file: Path) -> int:
    """The number of a process that has written it down; 0 if it has not yet."""
    return int(text) if file.exists() and (text := file.read_text().strip()) else 0

"""Imported by the fork server before it forks its first child: loads the handlers, so that a child has them at once.

It is the one module that acts when it is imported and reads the environment then: the fork server imports names, and
calls nothing. It must not raise: the server would ignore an ImportError without a word and die of anything else. What
went wrong is kept in `loaded`, and each child tells it in its hello.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import msgspec

from heavylift.lanes import child as child  # so that children have it
from heavylift.lanes.forkserver import PRELOAD
from heavylift.middleware import find
from heavylift.registry import Registry

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""What numeric libraries read when they are loaded. Without it they start a thread for each processor, in each slot."""


class Orders(msgspec.Struct, frozen=True):
    """What to load, and with what.

    Attributes:
        sockets: the folder of the worker's sockets, to be removed should it die without doing so.
        threads: of numeric libraries; 0 leaves that to them.
    """

    root: str
    modules: tuple[str, ...] = ()
    sockets: str = ""
    middleware: tuple[str, ...] = ()
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded, or why it was not."""

    orders: Orders
    registry: Registry | None
    error: str = ""


def load(orders: Orders) -> Loaded:
    """Import the handlers' modules. Never raises."""
    for name in THREADS:
        if orders.threads:
            os.environ.setdefault(name, str(orders.threads))  # who has set it himself has meant it
    try:
        registry = Registry.load(Path(orders.root), orders.modules)
        for name in orders.middleware:
            find(name, Path(orders.root))  # each child makes its own, but need not import it
        return Loaded(orders, registry)
    except BaseException:
        return Loaded(orders, None, traceback.format_exc())


def warm() -> None:
    """Load what Pillow and reportlab would load in each child, if the handlers use them."""
    if image := sys.modules.get("PIL.Image"):
        image.init()
    if metrics := sys.modules.get("reportlab.pdfbase.pdfmetrics"):
        metrics.getFont("Helvetica")
        metrics.getFont("Helvetica-Bold")


def end_children(server: int) -> None:
    """The server's last act, when the worker is gone: end its children and all that they have started.

    They see the worker go by themselves, but one that is stuck in a C call would see it late, and the server's own end
    would kill it without its family.
    """
    if os.getpid() != server:
        return
    import psutil

    for process in psutil.Process().children():
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


GONE_WITHIN = 0.2
"""Seconds between the end of a worker's pipe and its own, if it dies; so much longer does a lane take to close."""


def tidy(server: int, worker: int, sockets: str) -> None:
    """Remove what a worker that was killed could not: the folder that this server listened in."""
    if not sockets or os.getpid() != server:
        return
    deadline = time.monotonic() + GONE_WITHIN
    while os.getppid() == worker and time.monotonic() < deadline:
        time.sleep(0.005)  # a dying process closes its pipes before it is gone
    if os.getppid() != worker:
        shutil.rmtree(sockets, ignore_errors=True)


loaded: Loaded | None = None

if _orders := os.environ.pop(PRELOAD, None):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group: only the worker answers it
    _said = msgspec.json.decode(_orders, type=Orders)
    atexit.register(tidy, os.getpid(), os.getppid(), _said.sockets)
    atexit.register(end_children, os.getpid())
    loaded = load(_said)
    try:
        warm()
    except BaseException:
        traceback.print_exc()
    gc.collect()
    gc.freeze()  # what is loaded by now is never looked at by a child's collector, so its pages stay shared

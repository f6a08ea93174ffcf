"""A photograph to resize, through the queue and through a bare pool that runs the same handler function."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heavylift import Context, JobSpec

PHOTOGRAPH = Path(__file__).resolve().parent.parent / "samples" / "mountains.jpg"
"""12 megapixels."""

QUEUE = "images"
SOURCE = "photograph.jpg"


def lay_out(folder: Path) -> None:
    """Put the photograph into a folder that is to be a project's root."""
    shutil.copy(PHOTOGRAPH, folder / SOURCE)
    (folder / "out").mkdir()


def arguments(count: int) -> list[dict[str, Any]]:
    """What to say to `resize`, `count` times, each with a target of its own."""
    return [{"source": SOURCE, "width": 800, "target": f"out/{n}.jpg"} for n in range(count)]


def specs(count: int) -> list[JobSpec[Any]]:
    """The same as requests."""
    return [JobSpec("resize", args, queue=QUEUE) for args in arguments(count)]


@contextmanager
def bare_pool(processes: int, folder: Path, nice: int) -> Iterator[ProcessPoolExecutor]:
    """A warm pool whose processes are as nice as the slots."""
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(processes, context, initializer=_prepare, initargs=(str(folder), nice)) as pool:
        run_bare(pool, 2 * processes)
        yield pool


def run_bare(pool: ProcessPoolExecutor, count: int) -> None:
    """Resize `count` times and wait for all."""
    for done in [pool.submit(_resize, args) for args in arguments(count)]:
        done.result()


def _prepare(folder: str, nice: int) -> None:
    os.environ["HEAVYLIFT_ROOT"] = folder
    os.nice(nice)
    _resize(arguments(1)[0])


def _resize(args: dict[str, Any]) -> Any:
    from handlers.images import resize

    return resize.fn(Context(), **args)

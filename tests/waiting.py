"""Tests wait for a named condition; a failure says which, and what was seen last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psutil

T = TypeVar("T")


def wait_until(description: str, predicate: Callable[[], T], timeout: float = 20.0) -> T:
    """The first truthy value of `predicate`.

    Raises:
        AssertionError: nothing truthy within `timeout` seconds; names the condition and the last value seen.
    """
    deadline = time.monotonic() + timeout
    pause = 0.002
    while True:
        seen = predicate()
        if seen:
            return seen
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout:g} s for: {description}; last seen: {seen!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def running(pid: int) -> bool:
    """True while the process does something; a zombie that nobody has reaped yet does not run."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False

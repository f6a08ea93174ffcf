"""Tests for applications that enqueue: run what was enqueued, and say what should have been. See `Harness`.

Installed with `heavylift[testing]`, pytest finds the fixtures of `heavylift.pytest_plugin` by itself. Nothing here
imports pytest, so that a `Harness` serves any other runner of tests as well.
"""

from heavylift.testing.clock import MovingClock as MovingClock
from heavylift.testing.draining import Attempted as Attempted
from heavylift.testing.draining import Drained as Drained
from heavylift.testing.harness import Harness as Harness
from heavylift.testing.running import Ran as Ran
from heavylift.testing.running import run_job as run_job
from heavylift.testing.running import run_job_async as run_job_async
from heavylift.testing.server import ThrowAwayServer as ThrowAwayServer

__all__ = [
    "Attempted",
    "Drained",
    "Harness",
    "MovingClock",
    "Ran",
    "ThrowAwayServer",
    "run_job",
    "run_job_async",
]

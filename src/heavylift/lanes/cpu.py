"""The cpu lane: slots, each an executor with one process, kept up by a keeper.

One process for each executor: the death, kill or timeout of one then touches one job and never its neighbour. A slot
has at most one call: what an executor holds in advance could not be taken back, and its clocks would be wrong.

Threads: the keeper; one that starts processes and one that sees them off; and two of each executor. See `keeper`.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import util
from typing import Any, Literal

import msgspec

from heavylift.attempt import Start, stopped
from heavylift.errors import StopReason
from heavylift.lanes.call import Call
from heavylift.lanes.child import ChildSettings
from heavylift.lanes.forkserver import ForkServer
from heavylift.lanes.keeper import Keeper
from heavylift.lanes.lane import Sink
from heavylift.lanes.preload import Orders
from heavylift.lanes.recycling import Recycling
from heavylift.outcome import Interrupted
from heavylift.settings import Settings

START_WITHIN = 60.0
"""Seconds that `start` waits for the first hello of every slot."""

LOOK_UP = 0.1
"""Seconds between two looks whether anybody still waits for the start."""

END_WITHIN = 2.0
"""Seconds for a killed process to be gone, and for an idle one to end by itself."""


class CpuLane:
    """Implements `lanes.lane.Lane` for handlers that need a processor, or a process that can be killed."""

    def __init__(self, settings: Settings, modules: Sequence[str], sink: Sink) -> None:
        root = str(settings.root)
        said = ChildSettings(
            root,
            tuple(modules),
            settings.threads,
            settings.nice,
            settings.max_result,
            allowed_roots=tuple(map(str, settings.allowed_roots)),
            middleware=settings.middleware,
        )
        self._size = settings.slots
        self._sink = sink
        orders = Orders(root, tuple(modules), util.get_temp_dir(), settings.middleware, settings.threads)
        self._server = ForkServer(msgspec.json.encode(orders).decode())
        self._keeper = Keeper(
            settings.slots,
            self._server,
            msgspec.msgpack.encode(said),
            sink,
            Recycling(settings.recycle_jobs, settings.recycle_rss),
        )
        self._numbers = itertools.count(1)
        self._gate = threading.Lock()  # between `submit` and `close`
        self._closing = False

    @property
    def name(self) -> Literal["cpu"]:
        """`cpu`."""
        return "cpu"

    def start(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Start the slots and wait until they are up, or one could not be started (see `snapshot`)."""
        keeper = self._keeper
        keeper.start()
        launcher = keeper.launcher
        deadline = time.monotonic() + START_WITHIN
        with launcher.changed:
            while not (launcher.problem or len(keeper.ready) >= launcher.size or hurry()):
                if time.monotonic() >= deadline:
                    return
                launcher.changed.wait(LOOK_UP)

    @property
    def size(self) -> int:
        """How many slots there are to be, without those whose processes hang."""
        return self._size - self._keeper.launcher.lost()

    @property
    def left_behind(self) -> list[int]:
        """Processes that not even a kill has ended. The interpreter's own end would wait for them for ever."""
        return sorted(self._keeper.left)

    def resize(self, size: int) -> None:
        """Start slots, or end some: idle ones at once, busy ones when their attempts have ended."""
        self._size = size
        self._keeper.resize(size)

    def free(self) -> int:
        """Slots that can take a call now."""
        return 0 if self._closing else len(self._keeper.ready)

    def submit(self, starts: Sequence[Start]) -> None:
        """Hand each to a slot."""
        for start in [start for start in starts if not self._submit(start)]:
            self._sink.ended(start.id, start.token, Interrupted("no_place"), ())

    def _submit(self, start: Start) -> bool:
        with self._gate:
            if self._closing:
                return False
            try:
                slot = self._keeper.ready.popleft()
            except IndexError:
                return False
            call = Call(next(self._numbers), start, slot)
            self._keeper.calls[call.key] = call
        slot.submit(call, msgspec.msgpack.encode(start), self._keeper.failed)
        return True

    def holds(self, id: str, token: str) -> bool:
        """A slot has it."""
        return (id, token) in self._keeper.calls

    def stop_attempt(self, id: str, token: str, reason: StopReason) -> None:
        """Ask this attempt to end; its process is killed if it has not after its grace."""
        self._keeper.ask((id, token), reason)

    def close(self, deadline_s: float) -> None:
        """Stop what runs, wait, kill what is left, end the processes and the fork server."""
        with self._gate:
            if self._closing:
                return
            self._closing = True
        keeper = self._keeper
        for key in list(keeper.calls):
            keeper.ask(key, "shutdown")
        self._wait_empty(deadline_s)
        keeper.close()
        self._wait_empty(END_WITHIN)
        for call in list(keeper.calls.values()):  # a process that does not even die
            if keeper.calls.pop(call.key, None) is not None:
                outcome = stopped(call.reason or "shutdown", call.start.timeout, forced=True)
                self._sink.ended(*call.key, outcome, tuple(call.lines))
        keeper.end(END_WITHIN)
        self._server.stop(END_WITHIN)

    def _wait_empty(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._keeper.calls and time.monotonic() < deadline:
            time.sleep(0.005)

    def snapshot(self) -> dict[str, Any]:
        """Facts for the status."""
        keeper, problem = self._keeper, self._keeper.launcher.problem
        return {
            "places": self._size,
            "free": self.free(),
            "busy": len(keeper.calls),
            "stuck": len(keeper.stuck),
            "ready": not self._closing and not problem and bool(keeper.slots or not self._size),
            "problem": problem,
            "handlers": list(keeper.handlers),
            "preloaded": keeper.preloaded,
            "pids": keeper.pids(),
            "started": keeper.launcher.started,
            **keeper.counts,
        }

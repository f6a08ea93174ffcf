"""The books of a long run: each job is read while it is still kept, and what must not grow is looked at."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import psutil
import redis as redis_py

from heavylift.states import ENDED
from tests.faults import oracle
from tests.faults.oracle import Kept
from tests.servers import Server

EVERY = 1.0
LONG_ENOUGH = 180.0
"""Seconds from which on a run is judged for growth: before, what is kept for a while has not come to its level."""

SLACK = {"Redis memory, MiB": 1.25, "keys": 1.25, "worker memory, MiB": 1.3, "worker descriptors": 1.25}
"""By how much the median of the last quarter may be above that of the second."""


class Audit(threading.Thread):
    """Reads and measures once a second, as far as Redis lets it.

    Attributes:
        found: what was kept of each job that has ended.
    """

    def __init__(
        self, server: Server, acknowledged: Sequence[tuple[str, str]], workers: Callable[[], Sequence[int]]
    ) -> None:
        super().__init__(name="audit", daemon=True)
        self.found: dict[str, Kept] = {}
        self.stopping = threading.Event()
        self._server, self._acknowledged, self._workers = server, acknowledged, workers
        self._open: list[tuple[str, str]] = []
        self._read_to = 0
        self._samples: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def run(self) -> None:
        while not self.stopping.wait(EVERY):
            with contextlib.suppress(redis_py.RedisError, OSError):  # it is away: the fault
                self.read()
                self._measure()

    def read(self) -> None:
        """Take what has ended since."""
        upto = len(self._acknowledged)
        self._open += self._acknowledged[self._read_to : upto]
        self._read_to = upto
        with self._server.client() as redis:
            found = oracle.kept(redis, self._open)
        self.found |= {job: it for job, it in found.items() if it.state in ENDED}
        self._open = [(queue, job) for queue, job in self._open if job not in self.found]

    def _measure(self) -> None:
        now = time.monotonic()
        with self._server.client() as redis:
            self._samples["Redis memory, MiB"].append((now, redis.info("memory")["used_memory"] / (1 << 20)))
            self._samples["keys"].append((now, redis.dbsize()))
        for pid in self._workers():
            with contextlib.suppress(psutil.Error):
                seen = oracle.Vitals.of(pid)
                self._samples["worker memory, MiB"].append((now, seen.rss / (1 << 20)))
                self._samples["worker descriptors"].append((now, seen.descriptors))

    def flat(self) -> dict[str, tuple[float, float]]:
        """The median of the second quarter and of the last, of all that must not grow."""
        return {what: _quarters(samples) for what, samples in self._samples.items() if len(samples) >= 8}

    def grown(self) -> list[str]:
        """What has grown, if the run was long enough to say."""
        times = [at for at, _ in self._samples["keys"]]
        if not times or times[-1] - times[0] < LONG_ENOUGH:
            return []
        return [
            f"{what} grew from {early:.4g} to {late:.4g}"
            for what, (early, late) in self.flat().items()
            if late > early * SLACK[what]
        ]


def _quarters(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    begin, end = samples[0][0], samples[-1][0]
    quarter = (end - begin) / 4
    second = [value for at, value in samples if begin + quarter <= at <= begin + 2 * quarter]
    last = [value for at, value in samples if at >= end - quarter]
    return statistics.median(second or last), statistics.median(last)

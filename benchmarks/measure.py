"""How things are measured here, the same for heavylift and for its peers.

A handler leaves a **record**: the monotonic time of its start, 8 bytes at the place of the job's number in a file on
tmpfs. That costs less than a microsecond and does not load Redis. (Python writes it through a memory map: a system call
would give the interpreter to another thread each time, and the measuring would be what is measured.) What a
stretch of work costs **Redis** is its processor time and the number of commands it ran, from INFO; what it costs
a **worker** is the processor time of its processes.

The machine is never as quiet as one would like: compare figures of one run only, take the two sides in turn, and
look at the median of the ratios.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from heavylift.settings import processors
from tests.servers import Server

RECORD = 8
"""Bytes of a record: unsigned, in the machine's order of bytes."""


def memory_folder() -> Path:
    """Where records and pictures go: tmpfs, so that no disk is measured."""
    return Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on tmpfs that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="hlb-", dir=memory_folder()) as folder:
        yield Path(folder)


# --- records -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Records:
    """What the handlers of jobs 0 to `count` - 1 have left behind."""

    path: Path
    count: int

    @classmethod
    def create(cls, folder: Path, count: int) -> Records:
        """A new, empty file of records."""
        path = folder / f"records-{random.getrandbits(48):012x}"
        path.write_bytes(bytes(RECORD * count))
        return cls(path, count)

    def clear(self) -> None:
        """As if no job had started. The file stays the same one: handlers have it mapped."""
        with self.path.open("r+b") as file:
            file.write(bytes(RECORD * self.count))

    def starts(self) -> array[int]:
        """Monotonic ns at which each job started, 0 if it has not."""
        return array("Q", self.path.read_bytes())

    def done(self) -> bool:
        """True if every job has started."""
        return 0 not in self.starts()

    def first(self) -> int:
        """Monotonic ns of the earliest start."""
        return min(start for start in self.starts() if start)

    def wait(self, timeout: float = 120.0) -> None:
        """Wait until every job has started."""
        wait_for(f"{self.count} records", self.done, timeout)


def wait_for(what: str, condition: Callable[[], bool], timeout: float = 120.0, pause: float = 0.001) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it did not in `timeout` seconds.
    """
    give_up = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(pause)


# --- costs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """What something cost, per job.

    Attributes:
        redis_us: processor time of the Redis server.
        commands: commands it ran, those inside scripts included.
        worker_us: processor time of the worker's processes; 0 if none was watched.
    """

    redis_us: float
    commands: float
    worker_us: float = 0.0


class Meter:
    """Measures what happens between its making and `per_job`."""

    def __init__(self, server: Server, worker: int | None = None) -> None:
        """`worker`: process id whose processor time, children included, is watched."""
        self._server = server
        self._worker = worker
        server.command("CONFIG", "RESETSTAT")
        self._redis = self._redis_seconds()
        self._busy = processor_seconds(worker)

    def per_job(self, count: int) -> Cost:
        """The cost since then, divided by `count` jobs."""
        redis = self._redis_seconds() - self._redis
        busy = processor_seconds(self._worker) - self._busy
        stats = info(self._server, "commandstats")
        ours = ("cmdstat_config|", "cmdstat_info", "cmdstat_client|", "cmdstat_ping")
        commands = sum(int(facts["calls"]) for name, facts in stats.items() if not name.startswith(ours))
        return Cost(redis / count * 1e6, commands / count, busy / count * 1e6)

    def _redis_seconds(self) -> float:
        cpu = info(self._server, "cpu")
        return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def info(server: Server, section: str) -> dict[str, dict[str, float]]:
    """One section of INFO."""
    with server.client() as client:
        return client.info(section)


class Stopwatch:
    """What a call that runs a script takes of Redis."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before = self._spent()

    def ms(self) -> float:
        """Since it was made: the time Redis counted for scripts or, if that is less, what its thread had of the
        processor. While others had it, the script did nothing."""
        return min(after - before for after, before in zip(self._spent(), self._before, strict=True))

    def _spent(self) -> tuple[float, float]:
        said = self._server.command("INFO", "commandstats", "cpu")
        ours = 1e3 * (said["used_cpu_user_main_thread"] + said["used_cpu_sys_main_thread"])
        return said.get("cmdstat_evalsha", {"usec": 0})["usec"] / 1e3, ours


def quickest(rounds: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """Of each call the quickest of several rounds of the same calls: what is slow by itself is so in each round, what
    others held up is not."""
    return {what: [min(same) for same in zip(*(took[what] for took in rounds), strict=True)] for what in rounds[0]}


def processor_seconds(pid: int | None) -> float:
    """Processor time used so far by a process and its children, living and reaped."""
    if pid is None:
        return 0.0
    process = psutil.Process(pid)
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
        if one is process:
            total += times.children_user + times.children_system
    return total


# --- figures -------------------------------------------------------------------------------------------------


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` (0 to 1) of them lie, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@dataclass(frozen=True, slots=True)
class Latency:
    """A latency in ms."""

    median: float
    p95: float
    p99: float
    worst: float

    @classmethod
    def of(cls, values_ms: Sequence[float]) -> Latency:
        """From single measurements."""
        return cls(
            statistics.median(values_ms), percentile(values_ms, 0.95), percentile(values_ms, 0.99), max(values_ms)
        )

    def __str__(self) -> str:
        return f"{self.median:.2f} / {self.p95:.2f} / {self.p99:.2f}"


def machine() -> str:
    """The machine in general words."""
    cores = processors()
    return f"{cores} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"

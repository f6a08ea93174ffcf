"""The stage of the chaos: servers and workers, and what may be done to them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psutil

from tests.faults import refusals
from tests.faults.harness import WorkerProcess
from tests.faults.producer import KEEP
from tests.faults.proxy import Proxy
from tests.servers import Server

WORKERS = 3


class Stage:
    """See the module.

    Attributes:
        started: how many workers there were of each kind.
        workers: those that are there now.
    """

    def __init__(self, server: Server, proxy: Proxy, folder: Path, dice: random.Random, old: Path | None) -> None:
        self.server, self.proxy, self.folder, self.dice, self.old = server, proxy, folder, dice, old
        self.started: Counter[str] = Counter()
        self.workers = [self._worker(place) for place in range(WORKERS)]

    def faults(self) -> dict[str, Callable[[], None]]:
        """Every fault by the name it is told under. Each is over when it returns."""
        return {
            "kill -9 a worker": self._kill_worker,
            "SIGTERM a worker": self._term_worker,
            "freeze a worker past its locks": lambda: self._freeze_worker(3.5),
            "kill -9 a slot": self._kill_slot,
            "freeze a slot past its lock": lambda: self._freeze_slot(3.0),
            "restart Redis": self.server.restart,
            "kill -9 Redis": self._kill_redis,
            "freeze Redis for less than a lock": lambda: self._freeze_redis(0.6),
            "freeze Redis for longer than a lock": lambda: self._freeze_redis(3.0),
            "kill every connection": self._kill_connections,
            "flush the scripts": lambda: self.server.command("SCRIPT", "FLUSH"),
            "pause writes": lambda: self._pause_writes(1.0),
            "Redis is full": lambda: self._refusing(refusals.full, 1.5),
            "Redis is read-only": lambda: self._refusing(refusals.read_only, 1.0),
            "Redis cannot save": lambda: self._refusing(refusals.unable_to_save, 1.0),
            "Redis is busy with a foreign script": lambda: self._refusing(refusals.busy, 1.0),
            "Redis lets no client in": lambda: self._refusing(refusals.crowded, 1.0),
            "cut one worker's connections": self.proxy.cut,
            "swallow one worker's traffic": lambda: self._ill_network(self.proxy.black_hole, 2.0),
            "slow one worker's network": lambda: self._ill_network(lambda: self.proxy.delay(0.05, 0.03), 2.0),
            "throttle one worker's network": lambda: self._ill_network(lambda: self.proxy.throttle(50_000), 2.0),
            "drop replies to one worker": self._drop_replies,
        }

    def ended(self) -> list[str]:
        """Which workers have ended though nobody wanted them to, a sentence each."""
        return [
            f"a worker has ended with {code}: {worker.log.read_text()[-500:]}"
            for worker in self.workers
            if (code := worker.process.poll()) is not None
        ]

    def close(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.end()

    def _worker(self, place: int) -> WorkerProcess:
        """The first is behind the proxy, the last begins as one of the last release; later ones are of either."""
        url = self.server.url if place else self.proxy.url
        first = self.started.total() < WORKERS
        old = self.old is not None and (place == WORKERS - 1 if first else self.dice.random() < 0.5)
        self.started["worker of the last release" if old else "worker of the working tree"] += 1
        keep = {"keep_completed": KEEP, "keep_failed": KEEP}
        source = self.old if old else None
        return WorkerProcess(url, self.folder, source=source, slots=1, command_timeout=1, deadline=2, **keep)

    def _replace(self, worker: WorkerProcess) -> None:
        worker.end()
        place = self.workers.index(worker)
        self.workers[place] = self._worker(place)

    def _kill_worker(self) -> None:
        worker = self.dice.choice(self.workers)
        worker.kill9()
        self._replace(worker)

    def _term_worker(self) -> None:
        self._replace(self.dice.choice(self.workers))

    def _freeze_worker(self, seconds: float) -> None:
        worker = self.dice.choice(self.workers)
        worker.signal(signal.SIGSTOP)
        time.sleep(seconds)
        worker.signal(signal.SIGCONT)

    def _kill_slot(self) -> None:
        family = self.dice.choice(self.workers).family()
        if family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.dice.choice(family).pid, signal.SIGKILL)

    def _freeze_slot(self, seconds: float) -> None:
        family = self.dice.choice(self.workers).family()
        if family:
            slot = self.dice.choice(family)
            with contextlib.suppress(psutil.NoSuchProcess):
                slot.suspend()
                time.sleep(seconds)
                slot.resume()

    def _kill_redis(self) -> None:
        self.server.kill9()
        self.server.start()

    def _freeze_redis(self, seconds: float) -> None:
        self.server.pause()
        time.sleep(seconds)
        self.server.resume()

    def _pause_writes(self, seconds: float) -> None:
        self.server.command("CLIENT", "PAUSE", int(seconds * 1000), "WRITE")
        time.sleep(seconds)

    def _kill_connections(self) -> None:
        with self.server.client() as redis:
            for kind in ("normal", "pubsub"):
                redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    def _refusing(self, how: Callable[[Server], AbstractContextManager[None]], seconds: float) -> None:
        with how(self.server):
            time.sleep(seconds)

    def _drop_replies(self) -> None:
        """Of the next scripts that it runs."""
        for _ in range(5):
            self._ill_network(lambda: self.proxy.drop_reply(b"EVALSHA"), 0.3)

    def _ill_network(self, begin: Callable[[], None], seconds: float) -> None:
        begin()
        time.sleep(seconds)
        self.proxy.pass_on()

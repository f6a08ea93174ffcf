"""The sides of a comparison: each enqueues, works and is timed through processes of its own, by the same commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers import Server

ROOT = Path(__file__).resolve().parent.parent
BULLMQ = ROOT / "benchmarks" / "peers" / "bullmq"


class SideMissing(RuntimeError):
    """A peer cannot be run here; the message says what is missing."""


@dataclass(slots=True)
class RunningWorker:
    """A worker process that serves one side's queue.

    Attributes:
        pid: of its main process.
        facts: what it said of itself when it ended.
    """

    pid: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Side:
    """One program and its commands.

    Attributes:
        name: for the table.
        program: what to run; the command and its arguments follow.
        left: commands that count the jobs of a queue that are waiting or running.
        queue: name of the queue (heavylift: which says the handler).
    """

    name: str
    program: tuple[str, ...]
    left: tuple[tuple[str, str], ...]
    queue: str

    def single(self, server: Server, count: int) -> float:
        """Seconds to enqueue `count` jobs one by one."""
        return float(self._measure("single", server, str(count))["seconds"])

    def bulk(self, server: Server, count: int, chunk: int) -> float:
        """Seconds to enqueue `count` jobs, `chunk` a call."""
        return float(self._measure("bulk", server, str(count), str(chunk))["seconds"])

    def pickup(self, server: Server, records: Path, count: int) -> list[float]:
        """Latencies in ms of single jobs; a worker must be running."""
        values: list[float] = self._measure("pickup", server, str(records), str(count))["latencies_ms"]
        return values

    @contextmanager
    def worker(
        self, server: Server, records: Path, queues: Sequence[str] = (), root: Path | None = None
    ) -> Iterator[RunningWorker]:
        """A worker, ready when the block begins, ended gracefully with it.

        Args:
            server: where its jobs are.
            records: what its handlers leave.
            queues: to serve; the side's own if not given.
            root: the project's root, for handlers of files.
        """
        queue = ",".join(queues) or self.queue
        process = subprocess.Popen(
            [*self.program, "work", server.url, queue, str(records)],
            cwd=ROOT,
            env=os.environ | ({"HEAVYLIFT_ROOT": str(root)} if root else {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the worker of {self.name} ended with {process.wait(10)}")
            running = RunningWorker(int(json.loads(line)["ready"]))
            yield running
            process.stdin.close()
            for line in process.stdout:
                running.facts.update(json.loads(line).get("facts", {}))
            if process.wait(60) != 0:
                raise RuntimeError(f"the worker of {self.name} ended with {process.returncode}")
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    @contextmanager
    def counting(self, server: Server) -> Iterator[Callable[[], int]]:
        """Counts the jobs that are waiting or running, over one connection: to make one costs more than a job."""
        with server.client() as client:
            client.ping()
            commands = [(count, key.replace("QUEUE", self.queue)) for count, key in self.left]
            yield lambda: sum(int(client.execute_command(*command)) for command in commands)

    def _measure(self, command: str, server: Server, *args: str) -> dict[str, Any]:
        done = subprocess.run(
            [*self.program, command, server.url, self.queue, *args], cwd=ROOT, check=True, stdout=subprocess.PIPE
        )
        measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return measured


def heavylift(queue: str = "async") -> Side:
    """This project. The queue (`async`, `plain`, `slots`) says how its handler runs."""
    left = (("ZCARD", "heavylift:{QUEUE}:line:"), ("ZCARD", "heavylift:{QUEUE}:locks"))
    return Side("heavylift", (sys.executable, "-m", "benchmarks.drive"), left, queue)


def bullmq() -> Side:
    """BullMQ on Node.

    Raises:
        SideMissing: Node or the package is not there.
    """
    node = shutil.which("node")
    if node is None:
        raise SideMissing("BullMQ is left out: `node` is not on PATH (Node 20 or newer)")
    if not (BULLMQ / "node_modules" / "bullmq").is_dir():
        raise SideMissing("BullMQ is left out: run `make bench-peers`, or `npm install` in benchmarks/peers/bullmq")
    left = (("LLEN", "bull:QUEUE:wait"), ("LLEN", "bull:QUEUE:active"))
    return Side("BullMQ", (node, str(BULLMQ / "peer.mjs")), left, "noop")


def bullmq_version() -> str:
    """Version of the installed package."""
    facts = json.loads((BULLMQ / "node_modules" / "bullmq" / "package.json").read_text())
    return str(facts["version"])

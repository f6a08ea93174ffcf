"""heavylift behind the same commands as `peers/bullmq/peer.mjs`, so that both are driven from outside in the same way.

    python -m benchmarks.drive single URL QUEUE COUNT
    python -m benchmarks.drive bulk   URL QUEUE COUNT CHUNK
    python -m benchmarks.drive work   URL QUEUE RECORDS
    python -m benchmarks.drive pickup URL QUEUE RECORDS COUNT

One JSON line per result. A worker serves the one queue (several with commas) with the default settings, says when it is
ready, ends with its standard input, and then says what it has seen. Its root, for handlers of files, is
`HEAVYLIFT_ROOT`.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import threading
import time
from pathlib import Path

from benchmarks.handlers_notes import RECORDS
from benchmarks.measure import RECORD
from heavylift.job import JobSpec

HANDLERS = {"async": "note_async", "plain": "note_plain", "slots": "note_cpu"}
"""The handler of each queue. Producers name it by string, as one without the code would."""


def main(argv: list[str]) -> None:
    """Run one command."""
    command, url, queue, *rest = argv
    if command == "work":
        work(url, queue.split(","), Path(rest[0]))
    elif command == "pickup":
        say(measured="pickup", latencies_ms=pickup(url, queue, Path(rest[0]), int(rest[1])))
    elif command == "single":
        say(measured="enqueue_single", count=int(rest[0]), seconds=single(url, queue, int(rest[0])))
    elif command == "bulk":
        say(measured="enqueue_bulk", count=int(rest[0]), seconds=bulk(url, queue, int(rest[0]), int(rest[1])))
    else:
        raise SystemExit(f"no such command: {command}")


def say(**line: object) -> None:
    """One JSON line on standard output."""
    print(json.dumps(line), flush=True)


def spec(queue: str, n: int) -> JobSpec[None]:
    """The request to leave record `n`."""
    return JobSpec(HANDLERS[queue], {"n": n}, queue=queue)


def single(url: str, queue: str, count: int) -> float:
    """Seconds for `count` jobs enqueued one after the other."""
    from heavylift import Client

    with Client(url) as client:
        start = time.perf_counter()
        for n in range(count):
            client.enqueue(spec(queue, n))
        return time.perf_counter() - start


def bulk(url: str, queue: str, count: int, chunk: int) -> float:
    """Seconds for `count` jobs, `chunk` a call."""
    from heavylift import Client

    with Client(url) as client:
        start = time.perf_counter()
        for first in range(0, count, chunk):
            client.enqueue_many([spec(queue, n) for n in range(first, min(first + chunk, count))])
        return time.perf_counter() - start


def pickup(url: str, queue: str, records: Path, count: int, pause: float = 0.005) -> list[float]:
    """Enqueue one, wait for its record, pause, again: ms from the call to the handler's start."""
    from heavylift import Client

    latencies: list[float] = []
    with Client(url) as client, records.open("rb", buffering=0) as file:
        for n in range(count):
            start = time.monotonic_ns()
            client.enqueue(spec(queue, n))
            while not (began := int.from_bytes(os.pread(file.fileno(), RECORD, n * RECORD), sys.byteorder)):
                time.sleep(0.001)
            latencies.append((began - start) / 1e6)
            time.sleep(pause + random.random() * pause)
    return latencies


def work(url: str, queues: list[str], records: Path) -> None:
    """A worker until standard input ends."""
    os.environ[RECORDS] = str(records)
    from heavylift.registry import Registry
    from heavylift.settings import Settings
    from heavylift.worker.worker import Worker

    modules = ["benchmarks.handlers_notes", "handlers.images"]
    settings = Settings.load(redis_url=url, queues=dict.fromkeys(queues, 1))
    registry = Registry.load(settings.root, modules)
    worker = Worker(settings, registry, modules=modules)
    worker.start()
    gc.collect()
    gc.freeze()  # as the command does
    say(ready=os.getpid(), worker=worker.id)
    threading.Thread(target=_end_with_input, args=(worker.done,), daemon=True).start()
    worker.done.wait()
    worker.stop()
    say(facts=worker.facts())


def _end_with_input(done: threading.Event) -> None:
    sys.stdin.buffer.read()
    done.set()


if __name__ == "__main__":
    main(sys.argv[1:])

"""A sink that remembers, lanes around the test project, and starts for them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from heavylift.asking import Answered
from heavylift.codec import encode_envelope
from heavylift.job import Counters, Envelope, Progress
from heavylift.lanes.cpu import CpuLane
from heavylift.lanes.io import IoLane
from heavylift.lanes.lane import Lane, Start
from heavylift.outcome import Outcome
from heavylift.registry import Registry
from heavylift.settings import Settings
from tests.waiting import wait_until

PROJECT = Path(__file__).parent / "project"

ASYNC_NAMES = {"wait": "await_"}


@dataclass
class Recorder:
    """Implements `Sink`. What was heard of each attempt, in order."""

    heard: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    frees: int = 0
    reply: Callable[[bytes, Answered], None] | None = None
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def _add(self, id: str, what: str, value: Any) -> None:
        with self._guard:
            self.heard.setdefault(id, []).append((what, value))
            self.times[f"{what} {id}"] = time.monotonic()

    def began(self, id: str, token: str) -> None:
        self._add(id, "began", token)

    def progressed(self, id: str, token: str, progress: Progress) -> None:
        self._add(id, "progress", progress)

    def checkpointed(self, id: str, token: str, state: bytes) -> None:
        self._add(id, "checkpoint", state)

    def asked(self, id: str, token: str, question: bytes, patience: float, answered: Answered) -> None:
        self._add(id, "asked", answered)
        if self.reply is not None:
            self.reply(question, answered)

    def ended(self, id: str, token: str, outcome: Outcome, log: tuple[str, ...]) -> None:
        self._add(id, "log", log)
        self._add(id, "ended", outcome)

    def freed(self) -> None:
        self.frees += 1

    def of(self, id: str, what: str) -> list[Any]:
        with self._guard:
            return [value for kind, value in self.heard.get(id, []) if kind == what]

    def outcome(self, id: str, timeout: float = 10.0) -> Outcome:
        """What the attempt came to; fails if it came to more than one thing."""
        ended = wait_until(f"the end of {id}", lambda: self.of(id, "ended"), timeout)
        assert len(ended) == 1
        outcome: Outcome = ended[0]
        return outcome

    def wait_began(self, id: str, timeout: float = 10.0) -> None:
        wait_until(f"the begin of {id}", lambda: self.of(id, "began"), timeout)

    def wait_inside(self, id: str, timeout: float = 10.0) -> None:
        """The handler is within its own lines, past its `try`."""
        wait_until(f"{id} to say that it waits", lambda: self.of(id, "progress"), timeout)


@dataclass
class Bench:
    """A lane under test and its sink."""

    lane: Any
    sink: Recorder
    kind: str
    numbers: int = 0
    memory: int | None = None

    def start(self, handler: str, timeout: float | None = None, grace: float = 5.0, **args: Any) -> str:
        """Submit one attempt; returns its id."""
        self.numbers += 1
        start = self.make(f"job{self.numbers}", handler, timeout, grace, **args)
        wait_until("a free place", lambda: self.lane.free() > 0)
        self.lane.submit([start])
        return start.id

    def make(self, id: str, handler: str, timeout: float | None = None, grace: float = 5.0, **args: Any) -> Start:
        name = ASYNC_NAMES.get(handler, f"a{handler}") if self.kind == "async" else handler
        spec = encode_envelope(Envelope(name, msgspec.Raw(msgspec.json.encode(args)), enqueued_at=1000))
        return Start(id, "q", f"t-{id}", spec, Counters(starts=3), timeout, grace, b'{"page":6}', self.memory)

    def run(self, handler: str, timeout: float | None = None, grace: float = 5.0, **args: Any) -> Outcome:
        """Submit one attempt and wait for its outcome."""
        return self.sink.outcome(self.start(handler, timeout, grace, **args))

    def stop(self, id: str, reason: Any = "cancelled") -> None:
        self.lane.stop_attempt(id, f"t-{id}", reason)


def settings(tmp_path: Path, **said: Any) -> Settings:
    return Settings(**{"root": PROJECT, "slots": 2, "places": 2, "nice": 0, "max_result": 1000, **said})


@contextmanager
def io_bench(tmp_path: Path, kind: str = "plain", **said: Any) -> Iterator[Bench]:
    sink = Recorder()
    yield from _running(IoLane(registry(), settings(tmp_path, **said), sink), sink, kind)


@contextmanager
def cpu_bench(tmp_path: Path, modules: Sequence[str] = ("heavy",), **said: Any) -> Iterator[Bench]:
    sink = Recorder()
    yield from _running(CpuLane(settings(tmp_path, **said), modules, sink), sink, "cpu")


def _running(lane: Lane, sink: Recorder, kind: str) -> Iterator[Bench]:
    lane.start()
    try:
        yield Bench(lane, sink, kind)
    finally:
        lane.close(0.5)


def registry() -> Registry:
    if str(PROJECT) not in sys.path:
        sys.path.insert(0, str(PROJECT))
    import light

    return Registry(light.HANDLERS)

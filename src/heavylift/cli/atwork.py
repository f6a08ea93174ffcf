"""What a worker in a terminal shows while it works: a bar for each job it runs, a line for each that has ended.

It looks at the worker ten times a second and takes no part in its work; a worker that runs thousands of jobs a second
is not slowed down by being looked at. Of many that end at once, a few are named and the rest counted.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from heavylift.cli.bars import Board, LiveBoard
from heavylift.cli.output import compact, duration, result
from heavylift.errors import UNREADABLE
from heavylift.job import Envelope, State
from heavylift.outcome import Completed
from heavylift.redaction import redacted_json
from heavylift.service import Service
from heavylift.worker.running import Running
from heavylift.worker.worker import Worker

LOOK = 0.1
"""Seconds between two looks."""

NAMED = 10
"""Ended jobs named for each look."""

MOST_BARS = 12


class AtWork(Service):
    """The loop that looks. Only for terminals."""

    def __init__(self, worker: Worker, console: Console) -> None:
        super().__init__("at-work")
        self._worker = worker
        self._console = console
        self._board = Board(most=MOST_BARS, keep_ended=False, summary=Text())
        self._lately: deque[tuple[Running, float]] = deque(maxlen=500)
        worker.sink.lately = self._lately

    def run(self) -> None:
        """Look, until stopped."""
        with LiveBoard(self._console, self._board, leave=False):
            while not self.stopping.wait(LOOK):
                self._look()
        self._look()

    def _look(self) -> None:
        entries = self._worker.running.entries()
        running = {entry.job.id + entry.job.token: entry for entry in entries if entry.outcome is None}
        for key in self._board.rows.keys() - running.keys():
            self._board.enter(key, State.COMPLETED)
        for key, entry in running.items():
            if entry.begun and key not in self._board.rows:
                self._board.add(key, label(entry.envelope), State.ACTIVE)
            if entry.progress is not None:
                self._board.progress(key, entry.progress)
        self._board.summary = self._summary(len(running))
        self._name_ended()

    def _name_ended(self) -> None:
        ended = [self._lately.popleft() for _ in range(len(self._lately))]
        completed = [(entry, at) for entry, at in ended if isinstance(entry.outcome, Completed)]
        lines = [_line(entry, at) for entry, at in completed[:NAMED]]
        if len(completed) > NAMED:
            lines.append(Text(f"✓ … and {len(completed) - NAMED:,} more", style="green"))
        if lines:  # together: each print draws the bars anew
            self._console.print(Text("\n").join(lines), no_wrap=True, overflow="ellipsis")

    def _summary(self, running: int) -> Text:
        outcomes = dict(self._worker.sink.outcomes)
        completed = outcomes.pop("completed", 0)
        others = sum(outcomes.values())
        parts: list[str | tuple[str, str]] = [(f"{running:,} running", "cyan" if running else "dim")]
        parts += [(" · ", "dim"), (f"{completed:,} completed", "green" if completed else "dim")]
        if others:
            parts += [(" · ", "dim"), (f"{others:,} ended otherwise", "yellow")]
        if self._worker.dispatcher.quiet:
            parts += [(" · ", "dim"), ("claims nothing more", "yellow")]
        if not self._worker.dispatcher.in_contact:
            parts += [(" · ", "dim"), ("redis is away", "red")]
        return Text.assemble(*parts)


def label(envelope: Envelope | None) -> str:
    """A job in few words: its handler and its first argument."""
    if envelope is None:
        return "(unreadable job)"
    args = _decoded(bytes(redacted_json(envelope.args, envelope.secret)))
    first = next(iter(args.values()), None) if isinstance(args, dict) else None
    return f"{envelope.handler} {compact(first, 40)}".strip()


def _line(entry: Running, at: float) -> Text:
    outcome = entry.outcome
    said = _result(outcome.result) if isinstance(outcome, Completed) else ""
    took = duration(at - entry.started_at / 1000)
    return Text.assemble(("✓ ", "green"), label(entry.envelope), (f"  {took}  ", "dim"), (said, "dim"))


def _result(raw: bytes) -> str:
    return "" if raw in (b"", b"null") else result(_decoded(raw), 100)


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except UNREADABLE:
        return None

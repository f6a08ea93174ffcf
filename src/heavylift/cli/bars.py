"""Live progress of jobs in a terminal: a line each, and one for all of them when they are many.

A `Board` is told what happens, from any thread; `rich` asks it ten times a second what to draw. So whatever the number
of events, the terminal gets ten frames a second, and log lines go above them without a flicker.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Column, Table
from rich.text import Text

from heavylift.cli.output import STYLES, duration
from heavylift.job import Progress
from heavylift.states import ENDED, State

FRAMES = 10
"""A second."""

MARKS = {State.COMPLETED: "✓", State.FAILED: "✗", State.CANCELLED: "–", State.ACTIVE: "●"}


@dataclass(slots=True)
class Row:
    """One job as it is shown. Times are monotonic seconds."""

    label: str
    state: str = State.WAITING
    fraction: float | None = None
    note: str = ""
    started: float | None = None
    ended: float | None = None

    @property
    def running(self) -> bool:
        """True while an attempt is under way."""
        return self.state == State.ACTIVE

    @property
    def seconds(self) -> float | None:
        """How long the attempt has taken or took."""
        return None if self.started is None else (self.ended or time.monotonic()) - self.started


@dataclass
class Board:
    """What is shown of a number of jobs.

    Attributes:
        most: lines shown at once. The longest-running come first.
        total: how many jobs there will be, if that is known; a bar shows all of them when they are more than `most`.
        keep_ended: lines stay when their jobs have ended, and waiting ones are shown (for few jobs, known beforehand).
        summary: a last line, made anew for each frame.
    """

    most: int = 20
    total: int | None = None
    keep_ended: bool = True
    summary: Text | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    _guard: threading.RLock = field(default_factory=threading.RLock)
    _spinner: Spinner = field(default_factory=lambda: Spinner("dots", style="cyan"))

    def add(self, job: str, label: str, state: str = State.WAITING) -> None:
        """Show a job. One that is known already keeps its line."""
        with self._guard:
            if job not in self.rows:
                self.rows[job] = Row(label)
                self.enter(job, state)

    def enter(self, job: str, state: str, note: str = "") -> None:
        """A job is in another state."""
        with self._guard:
            row = self.rows.get(job)
            if row is None or row.ended is not None:
                return
            row.state, row.note = state, note
            if state == State.ACTIVE:
                row.started, row.fraction = time.monotonic(), None
            elif state in ENDED:
                row.ended = time.monotonic()
                self.ended[state] = self.ended.get(state, 0) + 1
                if not self.keep_ended:
                    del self.rows[job]

    def progress(self, job: str, value: Progress) -> None:
        """How far a job is."""
        with self._guard:
            if (row := self.rows.get(job)) is not None and row.ended is None:
                row.fraction = value.fraction
                row.note = value.message or _counts(value)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One frame."""
        with self._guard:
            parts: list[RenderableType] = []
            many = self.total is not None and self.total > self.most
            rows = [row for row in self.rows.values() if row.running or (self.keep_ended and not many)]
            lines = max(1, min(self.most, console.height - 4))
            if rows:
                parts.append(_grid(rows[:lines], options.max_width, self._spinner))
            if len(rows) > lines:
                parts.append(Text(f"  … and {len(rows) - lines:,} more running", style="dim"))
            if many:
                parts.append(self._overall(options.max_width))
            if self.summary is not None:
                parts.append(self.summary)
            yield Group(*parts)

    def _overall(self, width: int) -> RenderableType:
        done = sum(self.ended.values())
        grid = Table.grid(padding=(0, 1))
        failed = self.ended.get(State.FAILED, 0)
        bar = ProgressBar(self.total or 1, done, width=max(10, min(40, width - 30)), style="grey30")
        said = Text.assemble(
            f"{done:,}", (f" of {self.total:,}", "dim"), (f"  {failed:,} failed" if failed else "", "red")
        )
        grid.add_row(Text("  all"), bar, said)
        return grid


def _counts(value: Progress) -> str:
    return "" if value.done is None or value.total is None else f"{value.done:g} of {value.total:g}"


def _grid(rows: list[Row], width: int, spinner: Spinner) -> Table:
    """The lines, in columns that give way from the right when the terminal is narrow."""
    label = min(max((len(row.label) for row in rows), default=0), max(12, width // 3))
    bar = max(6, min(24, width - label - 22))
    notes = width - label - bar - 22
    columns = [Column(width=1), Column(width=label, no_wrap=True, overflow="ellipsis"), Column(width=bar)]
    columns += [Column(width=5, justify="right", no_wrap=True), Column(width=8, justify="right", no_wrap=True)]
    if notes >= 10:
        columns.append(Column(width=notes, no_wrap=True, overflow="ellipsis"))
    grid = Table.grid(*columns, padding=(0, 1))
    for row in rows:
        cells = [
            spinner if row.running else _mark(row),
            Text(row.label),
            _bar(row, bar),
            _part(row),
            Text(duration(row.seconds), style="dim"),
        ]
        if notes >= 10:
            cells.append(
                Text(
                    row.note or ("" if row.running else row.state), style="dim" if row.state != State.FAILED else "red"
                )
            )
        grid.add_row(*cells)
    return grid


def _mark(row: Row) -> Text:
    return Text(MARKS.get(State(row.state), "·"), style=STYLES.get(row.state, "dim"))


def _bar(row: Row, width: int) -> RenderableType:
    if row.state == State.COMPLETED:
        return ProgressBar(1, 1, width=width, finished_style="green")
    pulse = row.running and row.fraction is None
    shown = "red" if row.state == State.FAILED else "cyan"
    return ProgressBar(
        1, row.fraction or 0, width=width, pulse=pulse, style="grey30", complete_style=shown, pulse_style="cyan"
    )


def _part(row: Row) -> Text:
    if row.state == State.COMPLETED:
        return Text("100 %", style="green")
    return Text("" if row.fraction is None else f"{row.fraction * 100:.0f} %")


class LiveBoard:
    """Draws a board until the block ends. Where there is no terminal, it draws nothing.

    Args:
        leave: the last frame stays on the screen.
    """

    def __init__(self, console: Console, board: Board, *, leave: bool = True) -> None:
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(board, console=console, refresh_per_second=FRAMES, transient=not leave)

    def __enter__(self) -> LiveBoard:
        """Start drawing."""
        if self._live is not None:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw once more, then stop."""
        if self._live is not None:
            self._live.stop()

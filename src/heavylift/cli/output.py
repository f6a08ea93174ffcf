"""How values look: states, ages, durations, JSON for people and for machines. One place, so that all commands agree."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from typing import Any

import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from heavylift.duration import span
from heavylift.job import State

STYLES: dict[str, str] = {
    State.WAITING: "default",
    State.DELAYED: "yellow",
    State.BLOCKED: "magenta",
    State.ACTIVE: "cyan",
    State.COMPLETED: "green",
    State.FAILED: "red",
    State.CANCELLED: "dim",
}
"""One colour per state, the same wherever a state is shown."""


def json_line(value: Any) -> None:
    """Print a value as one line of JSON, at once."""
    sys.stdout.write(msgspec.json.encode(value, enc_hook=str, order="deterministic").decode() + "\n")
    sys.stdout.flush()


def table(*columns: str, right: tuple[str, ...] = (), whole: tuple[str, ...] = (), gap: int = 2) -> Table:
    """An empty table in the style of all.

    Args:
        columns: their headings.
        right: those that hold numbers.
        whole: those that are never broken into lines, whatever becomes of the others.
        gap: spaces between them.
    """
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    for name in columns:
        fixed = name in right or name in whole
        made.add_column(name, justify="right" if name in right else "left", no_wrap=fixed, overflow="fold")
    return made


def state(value: str) -> Text:
    """A state in its colour."""
    return Text(str(value), style=STYLES.get(value, "default"))


def count(value: int, style: str = "default") -> Text:
    """A number of jobs; none at all is not worth looking at."""
    return Text(f"{value:,}", style=style if value else "dim")


def duration(seconds: float | None) -> str:
    """A span of time, if it is known: `340 ms`, `4.2 s`, `3 min 5 s`, `2 h 4 min`."""
    return "" if seconds is None else span(seconds)


def took(start_ms: int | None, end_ms: int | None) -> str:
    """The span between two times in ms, as far as both are known."""
    return "" if start_ms is None or end_ms is None else duration((end_ms - start_ms) / 1000)


def ago(at_ms: int | None) -> str:
    """How long ago, or in how long."""
    if at_ms is None:
        return ""
    seconds = time.time() - at_ms / 1000
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"


def clock(at_ms: int | None) -> str:
    """A moment in local time; the date only if it is not today's."""
    if not at_ms:
        return ""
    at = datetime.fromtimestamp(at_ms / 1000)
    return at.strftime("%H:%M:%S" if at.date() == datetime.now().date() else "%Y-%m-%d %H:%M:%S")


def compact(value: Any, limit: int = 60) -> str:
    """A JSON value on one short line; a plain text without quotes."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else _inline(value)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def result(value: Any, limit: int = 60) -> str:
    """What a handler returned, on one line; the file it wrote first, if it says so as `target`."""
    if isinstance(value, dict) and isinstance(target := value.get("target"), str):
        rest = {name: item for name, item in value.items() if name != "target" and item not in (None, "", [], {})}
        return compact(f"→ {target}" + (f"  ({_inline(rest)})" if rest else ""), limit)
    return compact(value, limit)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_inline(item)}" for name, item in value.items())
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()

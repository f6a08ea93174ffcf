"""The first lines of a worker: where Redis is, what it serves, and what to type next."""

from __future__ import annotations

import os
import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from heavylift.cli.folder import Watched
from heavylift.cli.invocation import command_line
from heavylift.cli.session import Said
from heavylift.cli.settings import without_password
from heavylift.handler import Handler
from heavylift.registry import Registry
from heavylift.settings import Settings

_EXAMPLE = re.compile(r"^\s*Example:\s+heavylift (enqueue .+)$", re.MULTILINE)


def show(
    console: Console,
    settings: Settings,
    registry: Registry,
    queues: Mapping[str, str],
    watched: Sequence[Watched],
    said: Said,
) -> None:
    """Print it.

    Args:
        console: where.
        settings: of the worker.
        registry: its handlers.
        queues: the queues it serves, and each one's lane.
        watched: its folders.
        said: what the command line said of Redis and the project, to be said again by the commands to type.
    """
    facts = Table.grid(Column(style="dim", no_wrap=True), Column(), padding=(0, 2))
    facts.add_row("redis", where(settings))
    for number, row in enumerate(_queues(registry, queues)):
        facts.add_row("" if number else "queues", row)
    facts.add_row("runs", _places(settings, set(queues.values())))
    for number, folder in enumerate(watched):
        shown = f"{folder.folder.relative_to(settings.root)}/ → {folder.handler.name}"
        facts.add_row("" if number else "watches", shown)
    console.print(Text.assemble(("heavylift", "bold"), (f" {version('heavylift')}  worker {os.getpid()}", "dim")))
    console.print(Padding(facts, (0, 2)))
    console.print(Text("\n  in a second terminal:", style="dim"))
    for line in next_commands(settings, registry, watched, said):
        console.print(Text("    " + line, style="cyan"), soft_wrap=True)
    console.print(Text("\n  Ctrl-C ends it; running jobs may finish\n", style="dim"))


def where(settings: Settings) -> str:
    """Where Redis is, without its password."""
    if settings.redis_url is None:
        return f"embedded Valkey in {_from_here(settings.root / '.heavylift')}/ (no REDIS_URL is set)"
    kind = " (cluster)" if settings.cluster else f" (sentinel {settings.sentinel})" if settings.sentinel else ""
    return without_password(settings.redis_url) + kind


def next_commands(
    settings: Settings, registry: Registry, watched: Sequence[Watched], said: Said, here: Path | None = None
) -> list[str]:
    """What to type next, each line as it can be pasted into a terminal that stands where this one does."""
    here = Path.cwd() if here is None else here
    again = [] if said.prefix is None else [f"--prefix {said.prefix}"]
    preferred = [folder.handler for folder in watched]
    lines = [] if here == settings.root else [f"cd {shlex.quote(str(settings.root))}"]
    if said.redis is not None:
        shown = shlex.quote(without_password(said.redis))
        if without_password(said.redis) == said.redis:
            again.append(f"--redis {shown}")
        else:
            lines.append(f"export HEAVYLIFT_REDIS_URL={shown}  # with its password")
    lines.append(command_line(*_enqueue([*preferred, *registry.handlers]), *again, folder=settings.root))
    lines.append(command_line("status", *again, folder=settings.root))
    return lines


def _enqueue(handlers: Sequence[Handler[..., Any]]) -> list[str]:
    """The example that a handler's docstring gives (`Example: heavylift enqueue ...`), else how to learn more."""
    for handler in handlers:
        if found := _EXAMPLE.search(handler.function.__doc__ or ""):
            return [found[1].strip()]
    return ["enqueue", handlers[0].name, "--help"]


def _queues(registry: Registry, queues: Mapping[str, str]) -> list[RenderableType]:
    names: dict[str, list[str]] = defaultdict(list)
    for handler in registry.handlers:
        names[handler.queue].append(handler.name)
    return [
        Text.assemble((queue, "bold"), (f" ({lane} lane)  ", "dim"), ", ".join(names[queue]))
        for queue, lane in sorted(queues.items())
    ]


def _places(settings: Settings, lanes: set[str]) -> str:
    slots = f"{settings.slots} slot{'' if settings.slots == 1 else 's'} (processes) for heavy jobs"
    places = f"{settings.places} places for light ones"
    return ", ".join(part for lane, part in (("cpu", slots), ("io", places)) if lane in lanes)


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)

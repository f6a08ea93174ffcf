"""`heavylift handlers`: what a worker of this project would run."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.session import JsonOption, Session, command
from heavylift.duration import said_seconds
from heavylift.handler import Handler
from heavylift.registry import Registry


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command(handlers))


def handlers(
    session: Session,
    modules: Annotated[list[str] | None, typer.Argument(help="Modules beside handlers/, by dotted name.")] = None,
    json: JsonOption = False,
) -> None:
    """List the handlers of this project, their lanes and queues."""
    registry = Registry.load(session.settings.root, modules or ())
    if json:
        for found in registry.handlers:
            output.json_line(_facts(found))
        return
    if not registry.handlers:
        session.out.print(
            f"no handlers in {session.settings.root}/handlers; `heavylift init .` writes two", style="dim"
        )
        return
    table = output.table(
        "handler", "lane", "queue", "timeout", "takes", "what it does", whole=("handler", "lane", "queue", "timeout")
    )
    for found in registry.handlers:
        timeout = output.duration(_timeout(found)) or "none"
        takes = ", ".join(p.name if p.required else f"[{p.name}]" for p in found.parameters)
        lane = Text(found.lane, style="cyan" if found.lane == "cpu" else "default")
        table.add_row(
            Text(found.name, style="bold"), lane, found.queue, timeout, Text(takes), Text(found.summary, "dim")
        )
    session.out.print(table)


def _timeout(found: Handler[..., Any]) -> float | None:
    return said_seconds("timeout", found.options.timeout)


def _facts(found: Handler[..., Any]) -> dict[str, Any]:
    return {
        "name": found.name,
        "lane": found.lane,
        "queue": found.queue,
        "timeout": _timeout(found),
        "limits": found.limits,
        "summary": found.summary,
        "place": f"{found.function.__module__}.{found.place}",
        "parameters": [
            {"name": p.name, "type": inspect.formatannotation(p.annotation), "required": p.required, "help": p.help}
            for p in found.parameters
        ],
    }

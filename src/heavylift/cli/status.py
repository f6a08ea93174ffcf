"""`heavylift status`: queues, workers and Redis at one moment, or as they change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.session import JsonOption, Session, command
from heavylift.job import State
from heavylift.limits import QueueLimits

EVERY = 1.0
"""Seconds between two looks with `--watch`."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command(status))


def status(
    session: Session,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every second, until Ctrl-C.")] = False,
    json: JsonOption = False,
) -> None:
    """Show queues, workers and Redis."""
    from heavylift.cli.doors import client_of
    from heavylift.inspector import Inspector

    inspector = Inspector(client_of(session))
    if json:
        output.json_line(inspector.status())
    elif watch and session.out.is_terminal:
        with Live(console=session.out, auto_refresh=False, screen=True) as live:
            while True:
                live.update(page(inspector.status()), refresh=True)
                time.sleep(EVERY)
    else:
        session.out.print(page(inspector.status()))


def page(found: Any) -> RenderableType:
    """A `Status` as a page."""
    parts: list[RenderableType] = [_queues(found.queues) if found.queues else Text("no queues yet", style="dim"), ""]
    parts += [_workers(found.workers) if found.workers else Text("no worker is running", style="yellow"), ""]
    parts.append(_server(found.server))
    return Group(*parts)


ALWAYS = ("waiting", "active", "completed", "failed")


def _queues(queues: Any) -> Table:
    shown = [state.value for state in State if state in ALWAYS or any(getattr(q.counts, state) for q in queues)]
    right = (*shown, "oldest", "workers")
    table = output.table("queue", *right, right=right, gap=1)
    for queue in queues:
        counts = queue.counts
        name = Text.assemble((queue.name, "bold"), (f" {queue.lane}" if queue.lane else "", "dim"))
        if counts.paused:
            name.append(" paused", style="yellow")
        for said in _limited(queue.limits):
            name.append(f" {said}", style="magenta")
        stranded = counts.waiting and not queue.workers
        oldest = None if counts.oldest_waiting_ms is None else counts.oldest_waiting_ms / 1000
        table.add_row(
            name,
            *(output.count(getattr(counts, state), output.STYLES[state]) for state in shown),
            output.duration(oldest),
            Text("none" if stranded else str(len(queue.workers)), style="yellow" if stranded else "default"),
        )
    return table


def _limited(found: QueueLimits) -> Iterator[str]:
    """What is limited, as far as it is short: of the queue itself, and how many limits there are below it."""
    if found.order == "fair":
        yield "fair"
    below = 0
    for limit in found.limits:
        if limit.group is None:
            yield str(limit)
        else:
            below += 1
    if below:
        yield f"{below} limit{'s' * (below != 1)}"


def _workers(workers: Any) -> Table:
    table = output.table(
        "worker", "version", "up", "busy", "queues", "seen", right=("busy",), whole=("version", "up", "seen")
    )
    for worker in workers:
        busy = sum(int(lane.get("busy", 0)) for lane in worker.lanes.values())
        name = Text(f"{worker.host} {worker.pid}", style="bold")
        if worker.quiet:
            name.append("  quiet", style="yellow")
        if stuck := sum(int(lane.get("stuck", 0)) for lane in worker.lanes.values()):
            name.append(f"  {stuck} stuck", style="red")
        table.add_row(
            name,
            Text(worker.version, style="dim"),
            output.ago(worker.started_at).removesuffix(" ago"),
            Text.assemble((str(busy), "cyan" if busy else "dim"), (f" of {worker.places}", "dim")),
            ", ".join(sorted(worker.queues)),
            Text(output.ago(worker.seen_at), style="dim"),
        )
    return table


def _server(server: Any) -> Text:
    limit = f" of {server.memory_limit / 2**20:,.0f} MiB" if server.memory_limit else ""
    line = Text.assemble(
        (f"{server.kind} {server.version}", "dim"),
        (f" · up {output.duration(server.uptime)}", "dim"),
        (f" · {server.clients} clients · {server.memory / 2**20:,.1f} MiB{limit}", "dim"),
        (f" · {server.persistence}", "dim"),
    )
    if server.eviction not in ("", "noeviction"):
        line.append(f" · evicts keys ({server.eviction}): jobs can be lost; set maxmemory-policy noeviction", "red")
    return line

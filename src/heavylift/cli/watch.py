"""`heavylift watch`: what happens, as it happens."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.bars import Board, LiveBoard
from heavylift.cli.session import JsonOption, Session, command
from heavylift.event import Event, Kind
from heavylift.job import State


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command(watch))


def watch(
    session: Session,
    target: Annotated[
        str | None, typer.Argument(metavar="[QUEUE|JOB]", help="What to watch; all queues if not said.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(metavar="S", help="End after so many seconds.")] = None,
    json: JsonOption = False,
) -> None:
    """Show what happens to a job until it has ended, or to all jobs of a queue until Ctrl-C."""
    from heavylift.cli.doors import client_of

    client = client_of(session)
    if target is not None and target not in client.queues():
        events = client.job(target).watch(timeout=timeout)
    else:
        events = client.watch(queue=target, timeout=timeout)
    if json:
        for event in events:
            output.json_line(event)
        return
    board = Board(most=10, keep_ended=False)
    with LiveBoard(session.out, board, leave=False):
        for event in events:
            _show(session, board, event)


def _show(session: Session, board: Board, event: Event) -> None:
    if event.event is Kind.PROGRESS:
        board.add(event.job, event.job, State.ACTIVE)
        if event.progress is not None:
            board.progress(event.job, event.progress)
        return
    if event.event is Kind.ACTIVE:
        board.add(event.job, event.job, State.ACTIVE)
    board.enter(event.job, State.CANCELLED if event.event is Kind.REMOVED else event.event.value)
    at = datetime.fromtimestamp(event.at / 1000).strftime("%H:%M:%S")
    due = f" {output.ago(event.due)}" if event.due else ""
    session.out.print(
        Text.assemble(
            (at, "dim"),
            "  ",
            (f"{event.event.value:<10}", output.STYLES.get(event.event.value, "yellow")),
            f"{event.job}  ",
            (f"{event.queue}  {event.detail}{due}", "dim"),
        ),
        soft_wrap=True,
    )

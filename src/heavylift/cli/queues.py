"""`heavylift pause` and `resume`: let a queue rest."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.session import JsonOption, Session, command

NamesArgument = Annotated[list[str], typer.Argument(metavar="QUEUE...", help="Their names.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for fn in (pause, resume):
        app.command()(command(fn))


def pause(session: Session, queues: NamesArgument, json: JsonOption = False) -> None:
    """Give out no more jobs of a queue, on any worker. What runs goes on; jobs can still be enqueued."""
    from heavylift.cli.doors import client_of

    client = client_of(session)
    for queue in queues:
        client.pause(queue)
        _say(session, queue, "paused", "yellow", json)


def resume(session: Session, queues: NamesArgument, json: JsonOption = False) -> None:
    """Give out the jobs of a paused queue again."""
    from heavylift.cli.doors import client_of

    client = client_of(session)
    for queue in queues:
        resumed = client.resume(queue)
        _say(session, queue, "resumed" if resumed else "was not paused", "green" if resumed else "dim", json)


def _say(session: Session, queue: str, how: str, style: str, json: bool) -> None:
    if json:
        output.json_line({"queue": queue, "how": how})
    else:
        session.out.print(Text.assemble((queue, "bold"), "  ", (how, style)))

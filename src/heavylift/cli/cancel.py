"""`heavylift cancel`, `promote` and `remove`: what can be done with single jobs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.session import JsonOption, Session, command

IdsArgument = Annotated[list[str], typer.Argument(metavar="ID...", help="Of the jobs.")]
QueueOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The queue they are in; looked for if not said.", show_default=False),
]

MEANINGS = {
    "cancelled": ("cancelled", "yellow"),
    "asked": ("runs: its worker was told to stop it", "yellow"),
    "ended": ("had ended already", "dim"),
    "promoted": ("is in line now", "green"),
    "not delayed": ("is not delayed", "dim"),
    "removed": ("removed", "green"),
    "running": ("runs: cancel it first", "red"),
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for fn in (cancel, promote, remove):
        app.command()(command(fn))


def cancel(session: Session, ids: IdsArgument, queue: QueueOption = None, json: JsonOption = False) -> None:
    """Cancel jobs. One that runs is asked to stop, and killed if it does not."""
    from heavylift.cli.doors import jobs_of

    for job in jobs_of(session, ids, queue):
        _say(session, job.id, job.cancel(), json)


def promote(session: Session, ids: IdsArgument, queue: QueueOption = None, json: JsonOption = False) -> None:
    """Run delayed jobs now."""
    from heavylift.cli.doors import jobs_of

    for job in jobs_of(session, ids, queue):
        _say(session, job.id, "promoted" if job.promote() else "not delayed", json)


def remove(session: Session, ids: IdsArgument, queue: QueueOption = None, json: JsonOption = False) -> None:
    """Delete jobs and all that is kept of them."""
    from heavylift.cli.doors import jobs_of

    for job in jobs_of(session, ids, queue):
        _say(session, job.id, "removed" if job.remove() else "running", json)


def _say(session: Session, id: str, how: str, json: bool) -> None:
    if json:
        output.json_line({"id": id, "how": how})
        return
    meaning, style = MEANINGS[how]
    session.out.print(Text.assemble(id, "  ", (meaning, style)))

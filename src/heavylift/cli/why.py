"""`heavylift why`: why a job does not run."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.cancel import QueueOption
from heavylift.cli.session import JsonOption, Session, command
from heavylift.why import Why


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command(why))


def why(
    session: Session,
    id: Annotated[str, typer.Argument(metavar="ID", help="Of the job.")],
    queue: QueueOption = None,
    json: JsonOption = False,
) -> None:
    """Say why a job does not run: all reasons, what must be lifted first at the front."""
    from heavylift.cli.doors import client_of

    found = client_of(session).why(id, queue)
    if json:
        output.json_line(found)
    else:
        session.out.print(page(found))


def page(found: Why) -> RenderableType:
    """Reasons as a page."""
    head = Text.assemble((found.id, "bold"), "  ", output.state(found.state or "staged"))
    return Group(head, *sentences(found))


def sentences(found: Why) -> list[Text]:
    """Each reason as a line."""
    return [Text(f"  - {reason}") for reason in found.reasons]

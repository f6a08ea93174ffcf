"""`heavylift scale`: how much a running worker does at once."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.session import JsonOption, Session, command


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command(scale))


def scale(
    session: Session,
    worker: Annotated[str, typer.Argument(help="Its id, the beginning of it, or its process id.")],
    slots: Annotated[
        int | None, typer.Option(metavar="N", help="Processes for heavy jobs.", show_default=False)
    ] = None,
    places: Annotated[int | None, typer.Option(metavar="N", help="Light jobs run at once.", show_default=False)] = None,
    json: JsonOption = False,
) -> None:
    """Have a running worker do more or less at once, until it ends. Jobs that run go on."""
    from heavylift.cli.doors import client_of

    found = client_of(session).scale(worker, slots=slots, places=places)
    if json:
        output.json_line({"worker": found.id, "lanes": {name: lane["places"] for name, lane in found.lanes.items()}})
    else:
        said = " · ".join(f"{name} {lane['places']}" for name, lane in found.lanes.items())
        session.out.print(Text.assemble((found.id, "bold"), "  ", (said, "green")))

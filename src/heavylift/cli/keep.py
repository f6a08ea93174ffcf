"""`heavylift keep`: how long, and how many, ended jobs of a queue are kept."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.session import JsonOption, Session, command
from heavylift.errors import InvalidArgument


def _option(what: str, metavar: str) -> Any:
    return typer.Option(metavar=metavar, help=f"{what}; or default.", show_default=False)


CompletedOption = Annotated[str | None, _option("Seconds that completed and cancelled jobs are kept", "SECONDS")]
FailedOption = Annotated[str | None, _option("Seconds that dead letters are kept", "SECONDS")]
CompletedCountOption = Annotated[str | None, _option("So many completed jobs at most", "N")]
FailedCountOption = Annotated[str | None, _option("So many dead letters at most", "N")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command(keep))


def keep(
    session: Session,
    queue: Annotated[str, typer.Argument(metavar="QUEUE", help="Its name.")],
    completed: CompletedOption = None,
    failed: FailedOption = None,
    completed_count: CompletedCountOption = None,
    failed_count: FailedCountOption = None,
    json: JsonOption = False,
) -> None:
    """Show or set how long, and how many, ended jobs of a queue are kept; what is not set here the settings say."""
    from heavylift.cli.doors import client_of

    client = client_of(session)
    said: dict[str, Any] = {
        "completed": _number("--completed", completed, float),
        "failed": _number("--failed", failed, float),
        "completed_count": _number("--completed-count", completed_count, int),
        "failed_count": _number("--failed-count", failed_count, int),
    }
    if any(value is not None for value in said.values()):
        client.retain(queue, **said)
    found = client.retention(queue)
    if json:
        output.json_line({"queue": queue, "retention": found})
        return
    settings = session.settings
    table = output.table(queue, "for", "most", "said", right=("for", "most"))
    rows = (
        ("completed", found.completed, settings.keep_completed, found.completed_count, settings.keep_completed_count),
        ("failed", found.failed, settings.keep_failed, found.failed_count, settings.keep_failed_count),
    )
    for name, own, default, own_count, default_count in rows:
        how = "by hand" if own is not None or own_count is not None else "by settings"
        span = output.duration(default if own is None else own)
        count = default_count if own_count is None else own_count
        table.add_row(output.state(name), span, f"{count:,}", Text(how, style="dim"))
    session.out.print(table)


def _number(name: str, text: str | None, kind: type[int] | type[float]) -> Any:
    if text is None or text == "default":
        return text
    try:
        return kind(text)
    except ValueError:
        raise InvalidArgument(name, text, "give a number, or default") from None

"""`heavylift failed`: the dead letters: look at them, give them another life."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.job import job
from heavylift.cli.session import JsonOption, Session, command
from heavylift.errors import InvalidArgument
from heavylift.job import JobRecord, Reason

OURS = frozenset({"Reject", "Retry", "Timeout", "ProcessDied", "WorkerLost", "InvalidJob", "UnknownHandler"})
"""What an attempt came to that was no exception of the handler's: the message says it all."""

QueueOption = Annotated[str | None, typer.Option(metavar="NAME", help="Of this queue only.", show_default=False)]
ReasonOption = Annotated[
    Reason | None, typer.Option(metavar="REASON", help=f"One of {', '.join(Reason)}.", show_default=False)
]
HandlerOption = Annotated[str | None, typer.Option(metavar="NAME", help="Of this handler only.", show_default=False)]
LimitOption = Annotated[int, typer.Option(metavar="N", help="At most so many, newest first.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Jobs that will not be tried again by themselves. Without a command: list them.")
    group.callback(invoke_without_command=True)(command(_alone))
    group.command("list")(command(listing))
    group.command("show", help="Show all that is known about a job.")(command(job))
    group.command("replay")(command(replay))
    app.add_typer(group, name="failed")


def _alone(session: Session, json: JsonOption = False) -> None:
    if session.context.invoked_subcommand is None:
        listing(session, json=json)


def listing(
    session: Session,
    queue: QueueOption = None,
    reason: ReasonOption = None,
    handler: HandlerOption = None,
    limit: LimitOption = 50,
    json: JsonOption = False,
) -> None:
    """List dead letters, newest first."""
    from heavylift.cli.doors import client_of

    found = client_of(session).failed(queue=queue, reason=reason, handler=handler, limit=limit)
    if json:
        for record in found:
            output.json_line(record)
        return
    if not found:
        session.out.print("no dead letters", style="dim")
        return
    table = output.table("id", "failed", "handler", "reason", "what was said", whole=("id", "failed", "reason"))
    for record in found:
        table.add_row(
            Text(record.id, style="bold"),
            output.ago(record.finished_at),
            record.handler,
            Text(record.reason or "", style="red"),
            Text(last_words(record)),
        )
    session.out.print(table)
    if len(found) == limit:
        session.out.print(f"  the newest {limit}; --limit shows more", style="dim")


def replay(
    session: Session,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Of the jobs.", show_default=False)] = None,
    all: Annotated[bool, typer.Option("--all", help="All of them, of every queue.")] = False,
    queue: QueueOption = None,
    reason: ReasonOption = None,
    handler: HandlerOption = None,
    json: JsonOption = False,
) -> None:
    """Put dead letters back in line, with fresh counters: by id, or all that are of a queue, reason or handler."""
    from heavylift.cli.doors import client_of

    chosen = bool(queue or reason or handler)
    if not ids and not all and not chosen:
        raise InvalidArgument("ID", "", "give ids, or --queue, --reason, --handler, or --all")
    client = client_of(session)
    if ids or chosen:
        count = client.replay(*(ids or ()), queue=queue, reason=reason, handler=handler)
    else:
        count = sum(client.replay(queue=name) for name in client.queues())
    if json:
        output.json_line({"replayed": count})
    else:
        session.out.print(
            Text(f"{count:,} job{'' if count == 1 else 's'} back in line", style="green" if count else "dim")
        )


def last_words(record: JobRecord) -> str:
    """What the last attempt said, on one line."""
    if not record.attempts:
        return ""
    last = record.attempts[-1]
    error = "" if last.error in OURS and last.message else last.error
    return output.compact(": ".join(part for part in (error, last.message) if part) or last.cause, 200)

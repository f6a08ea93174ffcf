"""`heavylift flow`: all jobs of one flow, wherever they are."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.session import JsonOption, Session, command
from heavylift.errors import InvalidArgument
from heavylift.job import State

CancelOption = Annotated[bool, typer.Option("--cancel", help="Cancel all that has not ended.", show_default=False)]
RetryOption = Annotated[
    bool, typer.Option("--retry", help="Give all that failed or was cancelled another life.", show_default=False)
]
LimitOption = Annotated[int, typer.Option(metavar="N", min=0, help="Show at most so many jobs.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command(flow))


def flow(
    session: Session,
    id: Annotated[str, typer.Argument(metavar="ID", help="Of the flow; `heavylift job` says which one a job is in.")],
    cancel: CancelOption = False,
    retry: RetryOption = False,
    limit: LimitOption = 50,
    json: JsonOption = False,
) -> None:
    """Show the jobs of a flow; cancel or retry it as a whole."""
    from heavylift.cli.doors import client_of

    if cancel and retry:
        raise InvalidArgument("retry", True, "give either --cancel or --retry")
    found = client_of(session).flow(id)
    if cancel or retry:
        count = found.cancel() if cancel else found.retry()
        how = "cancelled" if cancel else "retried"
        if json:
            output.json_line({"id": id, how: count})
        else:
            session.out.print(Text.assemble((id, "bold"), f"  {how} {count} job{'s' * (count != 1)}"))
        return
    jobs = found.states()
    if json:
        for job in jobs:
            output.json_line(job)
        return
    counts = {state: sum(job.state is state for job in jobs) for state in State}
    head = Text.assemble((id, "bold"))
    for state, count in counts.items():
        if count:
            head.append(f"  {count} ").append(output.state(state))
    session.out.print(head)
    table = output.table("job", "queue", "state", "reason", whole=("job", "state"))
    for job in jobs[:limit]:
        table.add_row(job.id, job.queue, output.state(job.state), Text(job.reason, style="dim"))
    session.out.print(table)
    if len(jobs) > limit:
        session.out.print(Text(f"and {len(jobs) - limit} more", style="dim"))

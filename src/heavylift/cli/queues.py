"""`heavylift pause` and `resume`: let a queue rest, or a worker."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.nearest import warn_if_unknown
from heavylift.cli.session import JsonOption, Session, command
from heavylift.errors import InvalidArgument

NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[QUEUE]...", help="Their names.", show_default=False)
]
WorkerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--worker", metavar="ID", help="A worker instead: its id, or the beginning of it.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for fn in (pause, resume):
        app.command()(command(fn))


def pause(
    session: Session, queues: NamesArgument = None, worker: WorkerOption = None, json: JsonOption = False
) -> None:
    """Give out no more jobs of a queue, on any worker, or to one worker. What runs goes on; jobs can be enqueued."""
    from heavylift.cli.doors import client_of

    client = client_of(session)
    known = client.queues()
    for queue in _named(queues, worker):
        warn_if_unknown(session, known, queue)
        client.pause(queue)
        _say(session, "queue", queue, "paused", "yellow", json)
    for id in worker or ():
        client.pause_worker(id)
        _say(session, "worker", id, "paused", "yellow", json)


def resume(
    session: Session, queues: NamesArgument = None, worker: WorkerOption = None, json: JsonOption = False
) -> None:
    """Give out the jobs of a paused queue again, or let a worker have jobs again."""
    from heavylift.cli.doors import client_of

    client = client_of(session)
    for queue in _named(queues, worker):
        resumed = client.resume(queue)
        _say(session, "queue", queue, *(_RESUMED if resumed else _NOT_PAUSED), json)
    for id in worker or ():
        resumed = client.resume_worker(id)
        _say(session, "worker", id, *(_RESUMED if resumed else _NOT_PAUSED), json)


_RESUMED, _NOT_PAUSED = ("resumed", "green"), ("was not paused", "dim")


def _named(queues: list[str] | None, worker: list[str] | None) -> list[str]:
    if not queues and not worker:
        raise InvalidArgument("QUEUE", "", "name a queue, or a worker with --worker")
    return queues or []


def _say(session: Session, what: str, name: str, how: str, style: str, json: bool) -> None:
    if json:
        output.json_line({what: name, "how": how})
    else:
        session.out.print(Text.assemble((name, "bold"), "  ", (how, style)))

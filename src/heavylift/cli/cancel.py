"""`heavylift cancel`, `promote`, `retry`, `reschedule`, `priority` and `remove`: what can be done with single jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.asking import ArgOption, ArgsOption, ModuleOption
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
    "retried": ("is in line again", "green"),
    "not ended": ("has not ended, or is needed as it is", "dim"),
    "rescheduled": ("has another time", "green"),
    "priority changed": ("has another priority", "green"),
    "removed": ("removed", "green"),
    "running": ("runs: cancel it first", "red"),
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for fn in (cancel, promote, retry, reschedule, priority, remove):
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


def retry(
    session: Session,
    ids: IdsArgument,
    queue: QueueOption = None,
    arg: ArgOption = None,
    args: ArgsOption = None,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Run jobs again that failed, were cancelled or have completed; with other arguments, if some are given.

    `retry ID --arg width=800` leaves the other arguments as they are.
    """
    from heavylift.cli.doors import jobs_of

    jobs = jobs_of(session, ids, queue)
    told: list[tuple[Any, dict[str, Any]]] = [(job, {}) for job in jobs]
    if arg or args is not None:
        from heavylift.cli.editing import Edited
        from heavylift.registry import Registry

        told = Edited(arg or (), args, Registry.load(session.settings.root, module or ())).of(jobs)
    for job, said in told:
        _say(session, job.id, "retried" if job.retry(**said) else "not ended", json)


def reschedule(
    session: Session,
    ids: IdsArgument,
    at: Annotated[datetime | None, typer.Option(metavar="TIME", help="When, local time.", show_default=False)] = None,
    delay: Annotated[float | None, typer.Option(metavar="SECONDS", help="From now.", show_default=False)] = None,
    queue: QueueOption = None,
    json: JsonOption = False,
) -> None:
    """Run waiting or delayed jobs at another time."""
    from heavylift.cli.doors import jobs_of

    for job in jobs_of(session, ids, queue):
        moved = job.reschedule(delay=delay, at=at and at.astimezone())
        if moved.done:
            when = f"runs {output.ago(moved.due_at)}" if moved.due_at else "is in line now"
            _say(session, job.id, "rescheduled", json, f"was {moved.was}, {when}", was=moved.was, due_at=moved.due_at)
        else:
            _say(session, job.id, f"{moved.was}", json, f"is {moved.was}: only waiting and delayed jobs have a time")


def priority(
    session: Session,
    ids: IdsArgument,
    to: Annotated[int, typer.Option(metavar="N", help="Lower goes first.")],
    queue: QueueOption = None,
    json: JsonOption = False,
) -> None:
    """Give jobs that have not been started another priority."""
    from heavylift.cli.doors import jobs_of

    for job in jobs_of(session, ids, queue):
        changed = job.reprioritize(to)
        if changed.done:
            said = f"had priority {changed.was}, has {changed.priority}"
            _say(session, job.id, "priority changed", json, said, was=changed.was, priority=changed.priority)
        else:
            _say(session, job.id, f"{changed.state}", json, f"is {changed.state}: its priority says nothing any more")


def remove(session: Session, ids: IdsArgument, queue: QueueOption = None, json: JsonOption = False) -> None:
    """Delete jobs and all that is kept of them."""
    from heavylift.cli.doors import jobs_of

    for job in jobs_of(session, ids, queue):
        _say(session, job.id, "removed" if job.remove() else "running", json)


def _say(session: Session, id: str, how: str, json: bool, said: str = "", **facts: Any) -> None:
    if json:
        output.json_line({"id": id, "how": how, **facts})
        return
    meaning, style = MEANINGS.get(how, ("", "red"))
    session.out.print(Text.assemble(id, "  ", (said or meaning, style)))

"""`heavylift job`: all that is known about one job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.json import JSON
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Column, Table
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.cancel import QueueOption
from heavylift.cli.session import JsonOption, Session, command
from heavylift.job import AttemptRecord, JobRecord, State


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command(job))


def job(
    session: Session,
    id: Annotated[str, typer.Argument(metavar="ID", help="Of the job.")],
    queue: QueueOption = None,
    json: JsonOption = False,
) -> None:
    """Show all that is known about a job: arguments, times, attempts, result, traceback."""
    from heavylift.cli.doors import client_of

    found = client_of(session).job(id, queue)
    record = found.record()
    if json:
        output.json_line(record)
    else:
        open_yet = not record.state.ended and record.state is not State.ACTIVE
        session.out.print(page(record, [str(reason) for reason in found.why().reasons] if open_yet else []))


def page(record: JobRecord, why: Sequence[str] = ()) -> RenderableType:
    """A job as a page. `why`: the reasons why it does not run."""
    head = Text.assemble((record.id, "bold"), "  ", output.state(record.state))
    if record.reason:
        head.append(f" ({record.reason})", style="red")
    if record.cancel_requested and record.state == State.ACTIVE:
        head.append(" (asked to stop)", style="yellow")
    parts: list[RenderableType] = [head, Padding(_facts(record, why), (0, 0, 0, 2))]
    if record.attempts:
        parts += ["", _attempts(record.attempts)]
        parts += _last_words(record.attempts[-1])
    return Group(*parts)


def _facts(record: JobRecord, why: Sequence[str]) -> Table:
    facts = Table.grid(Column(style="dim", no_wrap=True), Column(), padding=(0, 2))
    facts.add_row("handler", Text.assemble((record.handler, "bold"), (f"  in queue {record.queue}", "dim")))
    facts.add_row("arguments", _json(record.args))
    facts.add_row("enqueued", _moment(record.enqueued_at))
    if record.state == State.DELAYED:
        facts.add_row("due", _moment(record.due_at))
    if record.flow:
        facts.add_row("flow", record.flow)
    if why:
        facts.add_row("why", Text("\n".join(why)))
    if record.blame:
        facts.add_row("because of", record.blame)
    if record.started_at:
        waited = output.took(record.enqueued_at, record.started_at)
        facts.add_row("started", _moment(record.started_at, f"waited {waited}"))
    if record.finished_at:
        facts.add_row(
            "ended", _moment(record.finished_at, f"took {output.took(record.started_at, record.finished_at)}")
        )
    if record.worker and record.state == State.ACTIVE:
        facts.add_row("worker", record.worker)
    if record.progress is not None and record.state not in (State.COMPLETED, State.WAITING):
        part = "" if record.progress.fraction is None else f"{record.progress.fraction * 100:.0f} % "
        facts.add_row("progress", f"{part}{record.progress.message}")
    if options := _options(record):
        facts.add_row("options", options)
    if record.state == State.COMPLETED:
        facts.add_row("result", _json(record.result))
    return facts


def _moment(at: int | None, more: str = "") -> Text:
    return Text.assemble(output.clock(at), (f"  {output.ago(at)}" + (f", {more}" if more else ""), "dim"))


def _json(value: Any) -> RenderableType:
    text = msgspec.json.encode(value, enc_hook=str).decode()
    return JSON(text, indent=None if len(text) < 80 else 2)


def _options(record: JobRecord) -> str:
    """What was said beside the arguments."""
    said = {"priority": record.priority} if record.priority else {}
    for name in ("retries", "timeout", "grace", "keep", "keep_failed", "correlation_id", "tags"):
        value = getattr(record.options, name, None)
        if value not in (None, ()):
            said[name] = value
    return ", ".join(f"{name} {' '.join(v) if isinstance(v, tuple) else v}" for name, v in said.items())


def _attempts(attempts: Any) -> Table:
    table = output.table(
        "attempt",
        "started",
        "took",
        "came to",
        "what was said",
        "worker",
        right=("attempt",),
        whole=("started", "took", "came to"),
    )
    for one in attempts:
        good = one.cause == "completed"
        said = ": ".join(part for part in (one.error, one.message) if part)
        table.add_row(
            str(one.number),
            output.clock(one.started_at),
            output.took(one.started_at, one.ended_at),
            Text(one.cause, style="green" if good else "yellow"),
            Text(output.compact(said, 200)),
            Text(one.worker, style="dim"),
        )
    return table


def _last_words(last: AttemptRecord) -> list[RenderableType]:
    """Log lines and traceback of the last attempt."""
    parts: list[RenderableType] = []
    if last.log:
        parts += [Text("\nlog of the last attempt", style="dim"), *(Text(f"  {line}") for line in last.log)]
    if last.traceback:
        parts.append(Text("\ntraceback of the last attempt", style="dim"))
        parts.append(Syntax(last.traceback, "pytb", theme="ansi_dark", background_color="default", word_wrap=True))
    return parts

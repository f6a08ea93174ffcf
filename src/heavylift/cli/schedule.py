"""`heavylift schedule`: jobs that are made again and again: look at them, write them, pause them, run one now."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from heavylift.cli import joboptions, output
from heavylift.cli.session import JsonOption, Session, command, with_options
from heavylift.errors import InvalidArgument
from heavylift.schedule import CatchUp, ScheduleRecord
from heavylift.timetable import Cron, Every, Timetable, timetable

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the schedule.")]
QueueOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of this queue, where several have one.", show_default=False)
]
ListQueueOption = Annotated[str | None, typer.Option("--queue", metavar="NAME", help="Of this queue only.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Jobs that are made again and again, by cron expression or interval.", invoke_without_command=True
    )
    group.callback()(command(schedules))
    group.command("list")(command(listing))
    group.command("set")(_with_job_options(set_))
    for fn in (pause, resume, run, remove):
        group.command(fn.__name__)(command(fn))
    app.add_typer(group, name="schedule")


def _with_job_options(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A command that takes the options of a job as well; `fn` gets them as `options`."""
    own = [p for p in inspect.signature(fn, eval_str=True).parameters.values() if p.name not in ("session", "options")]
    ofjob = joboptions.parameters(leave_out=joboptions.OF_ONE)

    @functools.wraps(fn)
    def run(session: Session, **given: Any) -> None:
        said = {one.name: given.pop(one.name) for one in ofjob}
        fn(session, options=joboptions.read(said), **given)

    return with_options(run, own + ofjob)


def schedules(session: Session, queue: ListQueueOption = None, json: JsonOption = False) -> None:
    """Jobs that are made again and again, by cron expression or interval. Without a command: list them."""
    if session.context.invoked_subcommand is None:
        listing(session, queue, json)
    elif queue is not None or json:
        raise InvalidArgument("schedule", session.context.invoked_subcommand, "give its options behind it")


def listing(session: Session, queue: ListQueueOption = None, json: JsonOption = False) -> None:
    """List schedules, each with its next tick; --json has those that follow."""
    from heavylift.cli.doors import client_of

    found = client_of(session).schedules(queue)
    if json:
        for record in found:
            output.json_line(_facts(record))
        return
    if not found:
        session.out.print("no schedules", style="dim")
        return
    table = output.table(
        "schedule", "queue", "handler", "when", "next", "fired", "left out", right=("fired", "left out")
    )
    for record in found:
        table.add_row(
            Text(record.name, style="bold"),
            record.queue,
            record.handler,
            Text(record.unreadable, style="red") if record.unreadable else _when(record.times),
            _next(record),
            str(record.fired),
            output.count(record.skipped, "yellow"),
        )
    session.out.print(table)


def set_(
    session: Session,
    name: NameArgument,
    handler: Annotated[str, typer.Argument(metavar="HANDLER", help="Of its jobs.")],
    times: Annotated[
        str, typer.Argument(metavar="TIMES", help='"0 3 * * *", "@daily", "every 5 minutes"; put it in quotes.')
    ],
    arg: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An argument of its jobs.", show_default=False)
    ] = None,
    args: Annotated[
        str | None, typer.Option(metavar="JSON", help="All their arguments, as one JSON object.", show_default=False)
    ] = None,
    tz: Annotated[str | None, typer.Option(metavar="ZONE", help="Of a cron expression; UTC if not given.")] = None,
    catch_up: Annotated[CatchUp, typer.Option(help="once: make up for the latest tick that was missed.")] = "once",
    overlap: Annotated[bool, typer.Option(help="Tick while the job of the tick before goes on.")] = True,
    start: Annotated[datetime | None, typer.Option(help="No tick is earlier (local time).", show_default=False)] = None,
    end: Annotated[datetime | None, typer.Option(help="No tick is later (local time).", show_default=False)] = None,
    module: Annotated[
        list[str] | None, typer.Option("--module", "-m", help="A module with handlers, beside the folder handlers/.")
    ] = None,
    json: JsonOption = False,
    *,
    options: dict[str, Any],
) -> None:
    """Write a schedule, or change it: `schedule set nightly report "0 3 * * *" --arg kind=long`.

    Of a handler whose code is not here, say --args and --queue.
    """
    from heavylift.cli.doors import client_of
    from heavylift.cli.enqueue import requests
    from heavylift.registry import Registry

    registry = Registry.load(session.settings.root, module or ())
    said = {"arg": arg, "args": args, "queue": options.get("queue")}
    when: Timetable = timetable(times)
    if tz is not None:
        if not isinstance(when, Cron):
            raise InvalidArgument("tz", tz, "leave it out: an interval has no time zone")
        when = Cron(when.expression, tz)
    (job,) = requests(session, handler, registry.get(handler), registry, said)
    start, end = start and joboptions.local(start), end and joboptions.local(end)
    record = client_of(session).schedule(
        name, job, when, catch_up=catch_up, overlap=overlap, start=start, end=end, **options
    )
    if json:
        output.json_line(_facts(record))
    else:
        session.out.print(Text.assemble((name, "bold"), "  next ", _next(record)))


def pause(session: Session, name: NameArgument, queue: QueueOption = None, json: JsonOption = False) -> None:
    """Make no more jobs of a schedule, until it is resumed."""
    from heavylift.cli.doors import client_of

    done = client_of(session).pause_schedule(name, queue)
    _say(session, name, "paused" if done else "was paused", json)


def resume(session: Session, name: NameArgument, queue: QueueOption = None, json: JsonOption = False) -> None:
    """Go on with a paused schedule; ticks that passed meanwhile are not made up for."""
    from heavylift.cli.doors import client_of

    done = client_of(session).resume_schedule(name, queue)
    _say(session, name, "resumed" if done else "was not paused", json)


def run(session: Session, name: NameArgument, queue: QueueOption = None, json: JsonOption = False) -> None:
    """Put a job of a schedule in now, beside its ticks."""
    from heavylift.cli.doors import client_of

    _say(session, name, f"job {client_of(session).run_schedule(name, queue).id}", json)


def remove(session: Session, name: NameArgument, queue: QueueOption = None, json: JsonOption = False) -> None:
    """Delete a schedule; jobs it has made stay."""
    from heavylift.cli.doors import client_of

    done = client_of(session).unschedule(name, queue)
    _say(session, name, "removed" if done else "there is none", json)


def _say(session: Session, name: str, how: str, json: bool) -> None:
    if json:
        output.json_line({"name": name, "how": how})
    else:
        session.out.print(Text.assemble((name, "bold"), "  ", how))


def _when(times: Timetable | None) -> str:
    if times is None:
        return ""
    if isinstance(times, Cron):
        return times.expression + ("" if times.tz == "UTC" else f" {times.tz}")
    parts = [f"{getattr(times, unit):g} {unit}" for unit in ("days", "hours", "minutes", "seconds")]
    return "every " + " ".join(part for part in parts if not part.startswith("0 "))


def _next(record: ScheduleRecord) -> Text:
    if record.paused:
        return Text("paused", style="yellow")
    if record.unreadable:
        return Text("unknown", style="red")
    if not record.upcoming:
        return Text("over", style="dim")
    return Text(f"{record.upcoming[0].astimezone():%Y-%m-%d %H:%M:%S}")


def _facts(record: ScheduleRecord) -> dict[str, Any]:
    facts: dict[str, Any] = {name: getattr(record, name) for name in record.__struct_fields__}
    kind = None if record.times is None else "every" if isinstance(record.times, Every) else "cron"
    return facts | {"times": record.times and _when(record.times), "kind": kind}

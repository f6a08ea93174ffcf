"""`heavylift failed`: the dead letters: look at them, give them another life."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, cast

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.asking import ArgOption, ArgsOption, ModuleOption
from heavylift.cli.job import job
from heavylift.cli.session import JsonOption, Session, command, with_options
from heavylift.errors import InvalidArgument
from heavylift.job import JobRecord, Reason

ROOMY = 100
"""Columns from which on dead letters are a table."""

SAID = 10
"""Ids named at most of those that were left where they are."""

OURS = frozenset({"Reject", "Retry", "Timeout", "ProcessDied", "WorkerLost", "InvalidJob", "UnknownHandler", "TooNew"})
"""What an attempt came to that was no exception of the handler's: the message says it all."""


def _option(text: str, kind: type = str, metavar: str = "TEXT") -> Any:
    return Annotated[kind | None, typer.Option(metavar=metavar, help=text, show_default=False)]


QueueOption = _option("Of this queue only.", metavar="NAME")
ReasonOption = Annotated[
    Reason | None, typer.Option(metavar="REASON", help=f"One of {', '.join(Reason)}.", show_default=False)
]
HandlerOption = _option("Of this handler only.", metavar="NAME")
CauseOption = _option("Whose last attempt came to this: error, timeout, killed:SIGSEGV ...", metavar="CAUSE")
FingerprintOption = _option("Of this error, or what its fingerprint begins with.", metavar="HEX")
TagOption = _option("With this tag.", metavar="TAG")
TextOption = _option("With this in the error's type or message.")
SinceOption = _option("Failed since then (local time).", datetime, "TIME")
UntilOption = _option("Failed until then (local time).", datetime, "TIME")
LimitOption = Annotated[int, typer.Option(metavar="N", help="At most so many, newest first.")]
OffsetOption = Annotated[int, typer.Option(metavar="N", help="Leave out so many, the newest.")]
ByOption = Annotated[str, typer.Option(metavar="WHAT", help="fingerprint, reason, cause, handler or queue.")]
AllOption = Annotated[bool, typer.Option("--all", help="All of them, of every queue.")]
IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Of the jobs.", show_default=False)]

_CHOICES: dict[str, Any] = {
    "queue": QueueOption,
    "reason": ReasonOption,
    "handler": HandlerOption,
    "cause": CauseOption,
    "fingerprint": FingerprintOption,
    "tag": TagOption,
    "text": TextOption,
    "since": SinceOption,
    "until": UntilOption,
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer()
    group.callback(invoke_without_command=True)(_choosing(_alone))
    group.command("list")(_choosing(listing))
    group.command("groups")(_choosing(groups))
    group.command("show", help="Show all that is known about a job.")(command(job))
    group.command("replay")(_choosing(replay))
    group.command("purge")(_choosing(purge))
    app.add_typer(group, name="failed")


def _choosing(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the options that choose dead letters; `fn` gets them as `which`."""
    own = [p for p in inspect.signature(fn, eval_str=True).parameters.values() if p.name not in ("session", "which")]
    keyword = inspect.Parameter.KEYWORD_ONLY
    choices = [inspect.Parameter(name, keyword, default=None, annotation=kind) for name, kind in _CHOICES.items()]

    @functools.wraps(fn)
    def run(session: Session, **given: Any) -> None:
        which = {name: given.pop(name) for name in _CHOICES}
        for name in ("since", "until"):
            which[name] = which[name] and which[name].astimezone()
        fn(session, which={name: value for name, value in which.items() if value is not None}, **given)

    return with_options(run, [p.replace(kind=keyword) for p in own] + choices)


def _alone(
    session: Session,
    which: dict[str, Any],
    limit: LimitOption = 50,
    offset: OffsetOption = 0,
    json: JsonOption = False,
) -> None:
    """Jobs that will not be tried again by themselves. Without a command: list them."""
    if session.context.invoked_subcommand is None:
        listing(session, which, limit=limit, offset=offset, json=json)
    elif which or (limit, offset, json) != (50, 0, False):
        raise InvalidArgument("failed", session.context.invoked_subcommand, "give its options behind it")


def listing(
    session: Session,
    which: dict[str, Any],
    limit: LimitOption = 50,
    offset: OffsetOption = 0,
    json: JsonOption = False,
) -> None:
    """List dead letters, newest first."""
    from heavylift.cli.doors import client_of

    found = client_of(session).failed(offset=offset, limit=limit, **which)
    if json:
        for record in found:
            output.json_line(record)
        return
    if not found:
        session.out.print("no dead letters", style="dim")
        return
    session.out.print(_table(found) if session.out.width >= ROOMY else _lines(found))
    if len(found) == limit:
        which_ones = f"{limit} after the newest {offset}" if offset else f"the newest {limit}"
        session.out.print(f"  {which_ones}; --limit or --offset {offset + limit} shows more", style="dim")


def _table(found: Sequence[JobRecord]) -> RenderableType:
    table = output.table("id", "failed", "handler", "reason", "what was said", whole=("id", "failed", "reason"))
    for record in found:
        table.add_row(*_facts(record), Text(last_words(record)))
    return table


def _lines(found: Sequence[JobRecord]) -> RenderableType:
    """Two lines each, where five columns would be a word wide."""
    return Group(
        *(
            part
            for record in found
            for part in (Text("  ").join(_facts(record)), Padding(Text(last_words(record)), (0, 0, 0, 2)))
        )
    )


def _facts(record: JobRecord) -> list[Text]:
    return [
        Text(record.id, style="bold"),
        Text(output.ago(record.finished_at), style="dim"),
        Text(record.handler),
        Text(record.reason or "", style="red"),
    ]


def groups(
    session: Session,
    which: dict[str, Any],
    by: ByOption = "fingerprint",
    json: JsonOption = False,
) -> None:
    """Count dead letters by what they have in common, the largest group first."""
    from heavylift.cli.doors import client_of

    found = client_of(session).failed_groups(cast(Any, by), **which)
    if json:
        for group in found:
            output.json_line(group)
        return
    if not found:
        session.out.print("no dead letters", style="dim")
        return
    table = output.table(by, "jobs", "first", "last", "for example", right=("jobs",), whole=(by, "first", "last"))
    for group in found:
        example = group.example
        table.add_row(
            Text(group.name or f"no {by}", style="bold" if group.name else "dim"),
            f"{group.count:,}",
            output.ago(group.first_at),
            output.ago(group.last_at),
            Text(f"{example.handler}: {last_words(example) or example.reason}" if example else ""),
        )
    session.out.print(table)


def replay(
    session: Session,
    which: dict[str, Any],
    ids: IdsArgument = None,
    all: AllOption = False,
    arg: ArgOption = None,
    args: ArgsOption = None,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Put dead letters back in line, with fresh counters: by id, or all that are meant, batch by batch.

    By id, their arguments can be changed: `failed replay ID --arg width=800` leaves the others as they are.
    """
    from heavylift.cli.doors import client_of

    if not ids and not all and not which:
        raise InvalidArgument("ID", "", "give ids, or say which (--queue, --reason, --handler ...), or --all")
    if arg or args is not None:
        _tell_replayed(session, *_edited(session, ids, which, (arg or (), args, module or ())), json)
        return
    client = client_of(session)
    shown = None if json else _progress(session)
    if ids or which:
        done = [client.replay(*(ids or ()), on_page=shown, **which)]
    else:
        done = [client.replay(queue=name, on_page=shown) for name in client.queues()]
    _tell_replayed(session, sum(done), [id for one in done for id in one.held], json)


def _edited(
    session: Session, ids: list[str] | None, which: dict[str, Any], said: tuple[Any, Any, Any]
) -> tuple[int, list[str]]:
    """Replay with other arguments."""
    from heavylift.cli.doors import client_of
    from heavylift.cli.editing import Edited
    from heavylift.registry import Registry

    pairs, stated, modules = said
    if not ids or which.keys() - {"queue"}:
        raise InvalidArgument("ID", "", "name the jobs that other arguments are for, and nothing else but --queue")
    edited = Edited(pairs, stated, Registry.load(session.settings.root, modules))
    return edited.replay(client_of(session), ids, which.get("queue"))


def _tell_replayed(session: Session, count: int, held: list[str], json: bool) -> None:
    if json:
        output.json_line({"replayed": count, "held": held})
        return
    none = "no dead letters of these; nothing was put back"
    session.out.print(
        Text(f"{_jobs(count)} back in line" if count or held else none, style="green" if count else "dim")
    )
    if held:
        more = f" and {len(held) - SAID} more" if len(held) > SAID else ""
        left = f"{_jobs(len(held))} left, as another like each is there: {' '.join(held[:SAID])}{more}"
        session.out.print(Text(left, style="yellow"))


def purge(
    session: Session,
    which: dict[str, Any],
    all: AllOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete them without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete dead letters and all that is kept of them. Counts them first, and asks."""
    from heavylift.cli.doors import client_of

    if not all and not which:
        raise InvalidArgument("which", "", "say which (--queue, --reason, --handler ...), or --all")
    client = client_of(session)
    choices: list[dict[str, Any]] = [which] if which else [{"queue": name} for name in client.queues()]
    count = sum(client.purge_failed(dry_run=True, **chosen) for chosen in choices)
    if count and not dry_run:
        if not yes and (json or not sys.stdin.isatty()):
            raise InvalidArgument("--yes", False, f"say --yes to delete {_jobs(count)}, or --dry-run to count them")
        if yes or typer.confirm(f"delete {_jobs(count)} for good?"):
            shown = None if json else _progress(session)
            count = sum(client.purge_failed(on_page=shown, **chosen) for chosen in choices)
        else:
            dry_run = True
    if json:
        output.json_line({"found" if dry_run else "purged": count})
    else:
        session.out.print(
            Text(f"{_jobs(count)} {'found' if dry_run else 'deleted'}", style="yellow" if count else "dim")
        )


def _jobs(count: int) -> str:
    return f"{count:,} job{'' if count == 1 else 's'}"


def _progress(session: Session) -> Callable[[int, int], None] | None:
    """Shows how far a long replay or purge is, on a terminal."""
    if not session.err.is_terminal:
        return None
    return lambda looked, total: session.err.print(f"  {looked:,} of {total:,}", style="dim")


def last_words(record: JobRecord) -> str:
    """What the last attempt said, on one line."""
    if not record.attempts:
        return ""
    last = record.attempts[-1]
    error = "" if last.error in OURS and last.message else last.error
    return output.compact(": ".join(part for part in (error, last.message) if part) or last.cause, 200)

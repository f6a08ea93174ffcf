"""The options of a job on the command line: of one that is enqueued, and of those that a schedule makes."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from heavylift.errors import InvalidArgument
from heavylift.options import Backoff, JobOptions, OnParentFailure
from heavylift.unique import Unique

PANEL = "Options of the job"

OF_ONE = frozenset({"delay", "at", "id", "durable", "after", "on_parent_failure", "flow"})
"""Those that make no sense for a job that is made again and again."""


def parameters(leave_out: Collection[str] = ()) -> list[inspect.Parameter]:
    """The options as parameters of a command."""
    found = inspect.signature(_every, eval_str=True).parameters.values()
    return [one for one in found if one.name not in leave_out]


def read(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the job, as the client takes them; `given` are the answers to `parameters`."""
    options = {name: given[name] for name in JobOptions.__struct_fields__ if given.get(name) not in (None, [])}
    if "backoff" in options:
        options["backoff"] = _backoff(options["backoff"])
    if "at" in options:
        options["at"] = local(options["at"])
    if given["tag"]:
        options["tags"] = given["tag"]
    if (unique := _unique(given)) is not None:
        options["unique"] = unique
    return options


def local(at: datetime) -> datetime:
    """A time that was said without a zone is one of this machine's."""
    return at.astimezone() if at.tzinfo is None else at


def _backoff(text: str) -> Backoff:
    try:
        return Backoff.of([float(wait) for wait in text.split(",")])
    except (ValueError, InvalidArgument):
        raise InvalidArgument("--backoff", text, "give seconds, or several with commas between: 1,5,30") from None


def _unique(given: Mapping[str, Any]) -> Unique | None:
    said = {"window": given["unique_window"], "debounce": given["debounce"], "max_wait": given["max_wait"]}
    said = {name: value for name, value in said.items() if value is not None}
    if given["unique_until"] is not None:
        said["mode"] = "until_" + given["unique_until"]
    if given["unique"] is not None:
        said["by"] = given["unique"]
    return Unique(**said) if said else None


def _every(
    delay: Annotated[
        float | None, typer.Option(metavar="S", help="Not before so many seconds.", rich_help_panel=PANEL)
    ] = None,
    at: Annotated[
        datetime | None, typer.Option(help="Not before this time, in this machine's zone.", rich_help_panel=PANEL)
    ] = None,
    priority: Annotated[
        int | None, typer.Option(metavar="N", help="Lower goes first; 0 if not said.", rich_help_panel=PANEL)
    ] = None,
    queue: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another queue than the handler's.", rich_help_panel=PANEL)
    ] = None,
    id: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Its id; a job of this id that is there already is left as it is.", rich_help_panel=PANEL
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="What limits per key count by.", rich_help_panel=PANEL)
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="GROUP", help="What limits per group count by.", rich_help_panel=PANEL)
    ] = None,
    unique: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help='Not if a job of this key is there; "arguments": of the same arguments.',
            rich_help_panel=PANEL,
        ),
    ] = None,
    unique_until: Annotated[
        Literal["started", "finished"] | None,
        typer.Option(help="How long that job stands in the way; finished if not said.", rich_help_panel=PANEL),
    ] = None,
    unique_window: Annotated[
        float | None,
        typer.Option(metavar="S", help="At most one such job in so many seconds.", rich_help_panel=PANEL),
    ] = None,
    debounce: Annotated[
        float | None,
        typer.Option(metavar="S", help="Run once no such job came for so long; the last wins.", rich_help_panel=PANEL),
    ] = None,
    max_wait: Annotated[
        float | None,
        typer.Option(metavar="S", help="With --debounce, put off no longer than this.", rich_help_panel=PANEL),
    ] = None,
    durable: Annotated[
        Literal["fast", "fsync", "replicated"] | None,
        typer.Option(help="Done once Redis has it, it is on disk, or a replica has it.", rich_help_panel=PANEL),
    ] = None,
    expires: Annotated[
        float | None,
        typer.Option(metavar="S", help="Not run at all if not started within so many seconds.", rich_help_panel=PANEL),
    ] = None,
    retries: Annotated[
        int | None, typer.Option(metavar="N", help="Tries after the first.", rich_help_panel=PANEL)
    ] = None,
    backoff: Annotated[
        str | None,
        typer.Option(
            metavar="S,...", help="Seconds between tries, one for each; the last repeats.", rich_help_panel=PANEL
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="S", help="Seconds an attempt may take.", rich_help_panel=PANEL)
    ] = None,
    grace: Annotated[
        float | None,
        typer.Option(
            metavar="S", help="Seconds between asking an attempt to stop and killing it.", rich_help_panel=PANEL
        ),
    ] = None,
    keep: Annotated[
        float | None, typer.Option(metavar="S", help="Seconds it is kept once it has ended.", rich_help_panel=PANEL)
    ] = None,
    keep_failed: Annotated[
        float | None,
        typer.Option(metavar="S", help="The same for a dead letter; as --keep if not said.", rich_help_panel=PANEL),
    ] = None,
    after: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help="A job that it waits for, in whatever queue; may be repeated.", rich_help_panel=PANEL
        ),
    ] = None,
    on_parent_failure: Annotated[
        OnParentFailure | None,
        typer.Option(
            help="What becomes of it if one of those does not complete; fail if not said.", rich_help_panel=PANEL
        ),
    ] = None,
    flow: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Of its flow; that of its first parent if not said.", rich_help_panel=PANEL),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG", help="A word to find it by; may be repeated.", rich_help_panel=PANEL),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="An argument to leave out of logs and records; may be repeated.", rich_help_panel=PANEL
        ),
    ] = None,
    correlation_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Goes along into the job's record and log lines.", rich_help_panel=PANEL),
    ] = None,
) -> None:
    """Only its signature counts."""

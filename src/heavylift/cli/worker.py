"""`heavylift worker`: runs jobs until it is told to end. See `signals` for what it heeds."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Literal

import typer

from heavylift.cli.nearest import warn_of_misspelt
from heavylift.cli.session import Session, command
from heavylift.errors import InvalidArgument
from heavylift.files import Roots
from heavylift.settings import numbers_in

TUNING = "Tuning (also as HEAVYLIFT_... and in heavylift.toml)"

EPILOG = (
    "Exit codes: 0 ended as told, or drained · 1 crashed · 2 wrong input · 130 a second Ctrl-C: running jobs were put "
    "back · 131 a third: ended at once, their jobs come back when the locks expire"
)

LogLevel = Literal["debug", "info", "warning", "error"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(command(worker))


def _seconds(text: str) -> Any:
    return typer.Option(metavar="S", help=text, rich_help_panel=TUNING, show_default=False)


def _number(text: str, metavar: str = "N") -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel=TUNING, show_default=False)


def worker(
    session: Session,
    modules: Annotated[
        list[str] | None, typer.Argument(help="Modules with handlers, beside the folder handlers/.", show_default=False)
    ] = None,
    watch: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER:HANDLER", help="Enqueue each file that has no result yet, now and as they come."),
    ] = None,
    queues: Annotated[
        str | None, typer.Option(metavar="NAME=WEIGHT,...", help="Serve only these, by weight. Else all the handlers'.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Serve --queues in order instead of by weight.")] = False,
    costs: Annotated[
        str | None, typer.Option(metavar="NAME=PLACES,...", help="Places a job of these queues takes. Else one.")
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="End when nothing is left to do.")] = False,
    reload: Annotated[bool, typer.Option("--reload", help="Start anew when code changes (development).")] = False,
    slots: Annotated[int | None, _number("Processes for heavy jobs; one per processor if not set.")] = None,
    places: Annotated[int | None, _number("Light jobs run at once.")] = None,
    lock: Annotated[float | None, _seconds("Life of a lock.")] = None,
    heartbeat: Annotated[float | None, _seconds("Pause between renewals; a quarter of the lock if not set.")] = None,
    sweep: Annotated[float | None, _seconds("Pause between searches for jobs of dead workers.")] = None,
    poll: Annotated[float | None, _seconds("Longest sleep of an idle worker.")] = None,
    deadline: Annotated[float | None, _seconds("Time for running jobs when it is told to end.")] = None,
    grace: Annotated[float | None, _seconds("Between asking a job to stop and killing it.")] = None,
    threads: Annotated[int | None, _number("Threads of numeric libraries in such a process; 0 for any.")] = None,
    nice: Annotated[int | None, _number("Niceness of the processes for heavy jobs.")] = None,
    recycle_jobs: Annotated[int | None, _number("Renew such a process after so many jobs; 0 for never.")] = None,
    recycle_rss: Annotated[
        int | None, _number("Renew such a process above this size while idle; 0 for never.", "BYTES")
    ] = None,
    middleware: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:NAME", help="Put it around jobs; the first is outermost.", rich_help_panel=TUNING),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="Which lines to show.", show_default=False)] = "info",
) -> None:
    """Run jobs: load the handlers, claim, run, settle. Ctrl-C ends it.

    TERM or Ctrl-C once: running jobs may finish until the deadline. Twice: they are put back. Thrice: out at once.
    TSTP or USR1: claim nothing more (again: claim again). TTIN or USR2: show the stacks of all threads.
    """
    settings = session.settings_with(
        queues=None if queues is None else numbers_in("--queues", queues),
        strict=strict or None,
        costs=None if costs is None else numbers_in("--costs", costs),
        slots=slots,
        places=places,
        lock=lock,
        heartbeat=heartbeat,
        sweep=sweep,
        poll=poll,
        deadline=deadline,
        grace=grace,
        threads=threads,
        nice=nice,
        recycle_jobs=recycle_jobs,
        recycle_rss=recycle_rss,
        middleware=tuple(middleware) if middleware else None,
    )
    warn_of_misspelt(session, os.environ)
    if middleware:  # clients in handlers, in whichever process, tell it too
        os.environ["HEAVYLIFT_MIDDLEWARE"] = ",".join(middleware)
    os.environ.update(Roots.of(settings).environment())  # clients in handlers go by the same project
    if (watch or reload) and not _can_watch():
        option = "--watch" if watch else "--reload"
        raise InvalidArgument(option, "", "needs the package watchfiles: pip install 'heavylift[watch]'")
    if reload:
        from heavylift.cli.reload import run as run_anew

        raise typer.Exit(run_anew([settings.root], [word for word in sys.argv[1:] if word != "--reload"]))
    from heavylift.cli.running import Run

    run = Run(session, settings, modules or (), watch or (), log_level)
    raise typer.Exit(run.go(burst=burst))


def _can_watch() -> bool:
    try:
        import watchfiles
    except ImportError:
        return False
    return bool(watchfiles)

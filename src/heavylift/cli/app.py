"""The command line as a whole: all commands under one name, and what becomes of an error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from heavylift.cli import (
    acl,
    cancel,
    enqueue,
    failed,
    flow,
    handlers,
    init,
    job,
    keep,
    limit,
    once,
    queues,
    scale,
    schedule,
    settings,
    status,
    watch,
    why,
    worker,
)
from heavylift.cli.exits import FAILED, HURRIED, OK, code_of, line_of
from heavylift.cli.session import DebugOption, PrefixOption, RedisOption, RootOption, Said
from heavylift.errors import HeavyliftError


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"heavylift {version('heavylift')}\n")
        raise typer.Exit


VersionOption = Annotated[
    bool,
    typer.Option("--version", help="Show the version.", show_default=False, is_eager=True, callback=_show_version),
]

EPILOG = (
    "Exit codes: 0 fine · 1 a job failed, or Redis refused · 2 wrong input · 69 Redis cannot be reached · "
    "130 interrupted"
)


def build() -> typer.Typer:
    """The typer application."""
    app = typer.Typer(
        name="heavylift",
        help="Background jobs for Python that do heavy work.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_before)
    for module in (
        worker,
        enqueue,
        status,
        job,
        why,
        watch,
        failed,
        flow,
        cancel,
        once,
        queues,
        scale,
        limit,
        keep,
        schedule,
        handlers,
        settings,
        acl,
        init,
    ):
        module.register(app)
    return app


def run(args: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. An error is one line, a traceback only with `--debug`."""
    said = Said()
    try:
        build()(args=args, obj=said)  # ends in SystemExit
    except HeavyliftError as wrong:
        if said.debug:
            raise
        _complain(line_of(wrong))
        return code_of(wrong)
    except KeyboardInterrupt:
        return HURRIED
    except Exception as defect:
        if said.debug:
            raise
        _complain(f"{type(defect).__name__}: {defect} (a defect; --debug shows where)")
        return FAILED
    return OK


def _before(
    context: typer.Context,
    redis: RedisOption = None,
    prefix: PrefixOption = None,
    root: RootOption = None,
    debug: DebugOption = None,
    version: VersionOption = False,
) -> None:
    context.obj.add(Said(redis, prefix, root, debug))


def _complain(line: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), (line, "red")))

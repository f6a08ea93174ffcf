"""What every command has: what was said about Redis and the project, two consoles, and what to close at the end.

`command` turns a function whose first parameter is a `Session` into one for typer. It adds the options that every
command has, so that they may stand before the command's name or after it.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from heavylift.errors import InvalidArgument
from heavylift.settings import Settings

PANEL = "Everywhere"

WIDE = 160
"""Columns of what goes into a file or a pipe."""

RedisOption = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        help="redis://, rediss:// or unix://. Else HEAVYLIFT_REDIS_URL, else REDIS_URL, else the embedded server.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
PrefixOption = Annotated[
    str | None,
    typer.Option("--prefix", help="First part of every key in Redis.", rich_help_panel=PANEL, show_default=False),
]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root",
        metavar="FOLDER",
        help="The project's root: paths in jobs are relative to it.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
DebugOption = Annotated[
    bool | None,
    typer.Option("--debug", help="Show tracebacks of errors.", rich_help_panel=PANEL, show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines for machines.", show_default=False)]


@dataclass(slots=True)
class Said:
    """The options that every command has, as far as they were given, before the command or after it."""

    redis: str | None = None
    prefix: str | None = None
    root: Path | None = None
    debug: bool | None = None

    def add(self, later: Said) -> None:
        """Take over what `later` says; it wins."""
        for f in fields(self):
            if (value := getattr(later, f.name)) is not None:
                setattr(self, f.name, value)


@dataclass
class Session:
    """One run of one command.

    Attributes:
        said: the options that every command has.
        context: typer's, for commands that look at what else was given.
        out, err: where to print what was asked for, and what went wrong.
        closing: what is to be closed when the command ends, last opened first.
    """

    said: Said
    context: typer.Context
    out: Console = field(default_factory=lambda: console())
    err: Console = field(default_factory=lambda: console(stderr=True))
    closing: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def settings(self) -> Settings:
        """What was said, the environment and `heavylift.toml`, with their defaults."""
        return self.settings_with()

    def settings_with(self, **said: Any) -> Settings:
        """Settings with more said by the command's own options; None means not said.

        Raises:
            InvalidArgument: a setting will not do.
        """
        root = self.said.root
        if root is not None and not root.is_dir():
            raise InvalidArgument("--root", str(root), "is no folder")
        return Settings.load(redis_url=self.said.redis, prefix=self.said.prefix, root=root, **said)


def console(stderr: bool = False) -> Console:
    """A console that guesses nothing about what it prints. Where there is no terminal, lines may be long."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = WIDE
    return made


def command(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Make a typer command of a function that takes a `Session` first and its own options after it."""
    own = list(inspect.signature(fn, eval_str=True).parameters.values())[1:]
    return with_options(fn, own)


def with_options(fn: Callable[..., Any], own: list[inspect.Parameter]) -> Callable[..., Any]:
    """The same for a function whose options are only known now: `fn` gets them by name."""

    @functools.wraps(fn)
    def run(context: typer.Context, **given: Any) -> Any:
        said: Said = context.obj
        said.add(Said(**{name: given.pop(name) for name in _SHARED}))
        session = Session(said, context)
        with session.closing:
            return fn(session, **given)

    parameters = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    parameters += [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in own]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _SHARED.items()
    ]
    del run.__wrapped__  # typer would read the options of the function itself
    run.__annotations__ = {}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


_SHARED: dict[str, Any] = {"redis": RedisOption, "prefix": PrefixOption, "root": RootOption, "debug": DebugOption}

"""A handler's parameters as typer options: what is asked for on the command line, and how the answers are read.

The first parameter is filled by what stands there without a name, one job for each. The others are options. What the
command line cannot express by itself (dictionaries, unions, nested types) is asked for as JSON.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

import msgspec
import typer
from rich.markup import escape

from heavylift.arguments import MISSING
from heavylift.errors import UNREADABLE, InvalidArgument, InvalidJob
from heavylift.handler import Handler
from heavylift.parameters import Parameter

PANEL = "Arguments of the handler"

ArgOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="An argument to change; may be repeated.", show_default=False),
]
ArgsOption = Annotated[
    str | None, typer.Option(metavar="JSON", help="All arguments anew, as one JSON object.", show_default=False)
]
ModuleOption = Annotated[
    list[str] | None,
    typer.Option("--module", "-m", help="A module with handlers that check them.", show_default=False),
]

_AS_TEXT = (str, Path, date, datetime, timedelta, Decimal, UUID)
_MANY = (list, set, frozenset, tuple, Sequence, Set, Collection)


@dataclass(frozen=True, slots=True)
class Asked:
    """How one parameter is asked for.

    Attributes:
        key: its name among typer's; not the parameter's own, which may be that of another option.
        kind: the type typer is told.
        json: the answer is read as JSON.
        listed: it takes several values.
        text: what was written may be a file's name.
    """

    parameter: Parameter
    kind: Any
    json: bool = False
    listed: bool = False
    text: bool = False

    @classmethod
    def of(cls, parameter: Parameter) -> Asked:
        """What to ask for, by the parameter's type."""
        inner = _bare(parameter.annotation)
        if (plain := _plain(inner)) is not None:
            return cls(parameter, plain, text=plain is str)
        items = [kind for kind in get_args(inner) if kind is not Ellipsis]
        if get_origin(inner) in _MANY and len(items) == 1 and (plain := _plain(_bare(items[0]))) is not None:
            return cls(parameter, list[plain], listed=True, text=plain is str)  # type: ignore[valid-type]
        return cls(parameter, str, json=True)

    @property
    def key(self) -> str:
        """Its name among typer's."""
        return f"given_{self.parameter.name}"

    @property
    def option(self) -> str:
        """Its name as an option."""
        return "--" + self.parameter.name.replace("_", "-")

    def as_option(self) -> inspect.Parameter:
        """The option it is asked for by."""
        names = [f"{self.option}/--no-{self.option[2:]}" if self.kind is bool else self.option]
        info = typer.Option(
            *names,
            help=self._help() or None,
            show_default=False,
            metavar="JSON" if self.json else None,
            rich_help_panel=PANEL,
        )
        default = inspect.Parameter.empty if self.parameter.required else None
        kind = self.kind if self.parameter.required else self.kind | None
        return inspect.Parameter(
            self.key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
        )

    def as_positionals(self) -> inspect.Parameter:
        """The values without a name that it is asked for by, one job each."""
        kind = self.kind if self.listed else list[self.kind]  # type: ignore[name-defined]
        info = typer.Argument(
            help=escape(self.parameter.help) or None, metavar=self.parameter.name.upper(), show_default=False
        )
        return inspect.Parameter(
            self.key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info]
        )

    def read(self, answer: Any) -> Any:
        """The answer as the handler takes it.

        Raises:
            InvalidArgument: it should have been JSON.
        """
        return from_json(self.option, answer) if self.json else answer

    def _help(self) -> str:
        """What the docstring says, and the default: shown, not passed on: that of the worker counts."""
        text, value = escape(self.parameter.help), self.parameter.default
        if self.parameter.required or value in (None, False):
            return text
        shown = escape(f"[default: {value.value if isinstance(value, Enum) else value}]")
        return f"{text} [dim]{shown}[/]".strip()


def ask_for(handler: Handler[..., Any], taken: Collection[str]) -> tuple[Asked | None, list[Asked]]:
    """What to ask for: the first parameter, and those of the others whose option is not `taken` by another meaning."""
    asked = [Asked.of(parameter) for parameter in handler.parameters]
    return (asked[0] if asked else None), [one for one in asked[1:] if one.option not in taken]


def named(handler: Handler[..., Any] | None, pairs: Sequence[str]) -> dict[str, Any]:
    """What was given as `--arg NAME=VALUE`. A value is text where the handler takes text, else JSON.

    Raises:
        InvalidArgument: no `=` in it, or not JSON.
    """
    known = {} if handler is None else {p.name: Asked.of(p) for p in handler.parameters}
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidArgument("--arg", pair, "give NAME=VALUE")
        asked = known.get(name)
        found[name] = text if asked is not None and asked.text and not asked.listed else _loosely(text)
    return found


def stated(text: str) -> dict[str, Any]:
    """What was given as `--args JSON`.

    Raises:
        InvalidArgument: it is no JSON object.
    """
    read = from_json("--args", text)
    if not isinstance(read, dict):
        raise InvalidArgument("--args", text, "give a JSON object, arguments by name")
    return read


def check_some(handler: Handler[..., Any], given: Mapping[str, Any]) -> None:
    """Refuse arguments that do not fit the handler; others may be lacking.

    Raises:
        InvalidJob: one has no such name, or is of another type.
    """
    try:
        handler.arguments.encode((), given)
    except InvalidJob as wrong:
        if wrong.value is not MISSING or wrong.field in given or "." in wrong.field:
            raise


def from_json(name: str, text: str) -> Any:
    """JSON from the command line.

    Raises:
        InvalidArgument: it is not.
    """
    try:
        return msgspec.json.decode(text)
    except UNREADABLE as wrong:
        raise InvalidArgument(name, text, f"give JSON ({wrong})") from None


def _loosely(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except UNREADABLE:
        return text


def _bare(kind: Any) -> Any:
    """A type without what is annotated to it and without None."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        rest = [part for part in get_args(kind) if part is not type(None)]
        return _bare(rest[0]) if len(rest) == 1 else kind
    return kind


def _plain(kind: Any) -> Any:
    """The type typer reads this one as, if it can."""
    if kind in (int, float, bool):
        return kind
    if isinstance(kind, type) and issubclass(kind, Enum):
        values = tuple(member.value for member in kind)
        return Literal[values] if all(isinstance(value, str) for value in values) else None
    if get_origin(kind) is Literal:
        return kind if all(isinstance(value, str) for value in get_args(kind)) else None
    return str if isinstance(kind, type) and issubclass(kind, _AS_TEXT) else None


def relocated(text: str, root: Path, here: Path | None = None) -> str:
    """A file named from where the user stands, as jobs name it: relative to the root. Other texts stay as they are."""
    here = Path.cwd() if here is None else here
    path = here / text
    if here == root or Path(text).is_absolute() or not text or not path.is_file():
        return text
    resolved = Path(path.parent.resolve(), path.name)
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else text

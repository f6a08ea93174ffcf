"""What a handler takes, read once from the function: names, types, defaults and the words that explain them.

The signature is the schema of a job's arguments: type checkers see it, the codec checks against it, and the
command line makes its options from it. So it must say everything, and a function whose signature does not is
refused when it is declared rather than when its first job runs.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heavylift.errors import HandlerError


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a handler.

    Attributes:
        name: as in the signature.
        annotation: its type, resolved.
        required: there is no default.
        default: what the function itself would use; None if required.
        positional: may be given by position.
        keyword: may be given by name.
        help: what the docstring's `Args` section says of it.
    """

    name: str
    annotation: Any
    required: bool = True
    default: Any = None
    positional: bool = True
    keyword: bool = True
    help: str = ""


def place_of(fn: Callable[..., Any]) -> str:
    """Where a function is written, as `resize (images.py:12)`."""
    code = getattr(fn, "__code__", None)
    name = getattr(fn, "__qualname__", repr(fn)).replace("<locals>.", "")
    return f"{name} ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else name


def read_parameters(fn: Callable[..., Any], names: Mapping[str, Any]) -> tuple[Parameter, ...]:
    """The parameters of a function, in order, the context included.

    Args:
        fn: a plain function.
        names: what its annotations may refer to beside its module's names (local classes).

    Raises:
        HandlerError: a parameter cannot be part of a job: unannotated, `*args`, `**kwargs`.
    """
    hints = type_hints(fn, names)
    helps = read_help(fn.__doc__ or "")
    return tuple(_read(parameter, hints, helps, fn) for parameter in inspect.signature(fn).parameters.values())


def _read(
    parameter: inspect.Parameter, hints: Mapping[str, Any], helps: Mapping[str, str], fn: Callable[..., Any]
) -> Parameter:
    kind, name = parameter.kind, parameter.name
    if kind in (kind.VAR_POSITIONAL, kind.VAR_KEYWORD):
        remedy = (
            f"name each argument, or take one list or dict: a job's arguments are checked by name; in {place_of(fn)}"
        )
        raise HandlerError("parameter", str(parameter), remedy)
    if parameter.annotation is parameter.empty:
        remedy = f"annotate it with its type: a job's arguments are checked against it; in {place_of(fn)}"
        raise HandlerError("parameter", name, remedy)
    required = parameter.default is parameter.empty
    return Parameter(
        name=name,
        annotation=hints[name],
        required=required,
        default=None if required else parameter.default,
        positional=kind is not kind.KEYWORD_ONLY,
        keyword=kind is not kind.POSITIONAL_ONLY,
        help=helps.get(name, ""),
    )


def type_hints(fn: Callable[..., Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """The annotations of a function as types.

    Raises:
        HandlerError: one names a thing that does not exist while the program runs.
    """
    try:
        return typing.get_type_hints(fn, localns=dict(names) or None, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as wrong:
        remedy = (
            f"an annotation of it cannot be resolved ({wrong}): import or define what it names above the function, "
        )
        raise HandlerError("handler", place_of(fn), remedy + "and not for type checkers only") from wrong


_ENTRY = re.compile(r"(?P<indent>\s*)\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)")
_SECTION = re.compile(r"(?:Args|Arguments|Parameters):")


def read_help(docstring: str) -> dict[str, str]:
    """What the `Args:` section of a Google-style docstring says, by parameter."""
    found: dict[str, list[str]] = {}
    section: int | None = None
    entry: int | None = None
    name = ""
    for line in inspect.cleandoc(docstring).splitlines():
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            continue
        if section is None:
            section = indent if _SECTION.fullmatch(line.strip()) else None
            continue
        if indent <= section:
            break
        entry = indent if entry is None else entry
        match = _ENTRY.fullmatch(line)
        if indent <= entry and match:
            name = match["name"]
            found[name] = [match["text"]]
        elif name:
            found[name].append(line.strip())
    return {name: " ".join(part for part in lines if part) for name, lines in found.items()}

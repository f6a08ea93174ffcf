"""Arguments that are nobody's business: left out of logs, records, messages and tracebacks.

They are named by paths, `password` or `card.number`, which travel with the job, so that a reader without the handler's
code leaves them out too. A path goes through lists: `cards.number` is that of each card. In Redis they stand as they
are: this keeps secrets out of what people look at, and not out of the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from heavylift.errors import UNREADABLE

HIDDEN = "[secret]"
"""What is shown instead."""

PATH = re.compile(r"[^.\s]{1,100}(\.[^.\s]{1,100}){0,9}")

SHORTEST = 4
"""Characters of the shortest text that is looked for in messages: `1` is found everywhere."""


class _Mark:
    """Marks a parameter's type: its value is a secret."""

    def __repr__(self) -> str:
        return "secret"


MARK = _Mark()

T = TypeVar("T")

Secret = Annotated[T, MARK]
"""`password: Secret[str]`: a handler's argument that is not shown in logs, records, messages and tracebacks."""


def is_secret(annotation: Any) -> bool:
    """True for `Secret[...]`."""
    return any(mark is MARK for mark in getattr(annotation, "__metadata__", ()))


def redacted(args: Any, paths: Sequence[str]) -> Any:
    """The arguments with `[secret]` in the places named."""
    for path in paths:
        args = _without(args, path.split("."))
    return args


def _without(value: Any, path: Sequence[str]) -> Any:
    if not path:
        return HIDDEN
    if isinstance(value, Mapping):
        return {name: _without(one, path[1:]) if name == path[0] else one for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without(one, path) for one in value]
    return value


def redacted_json(data: bytes | msgspec.Raw, paths: Sequence[str]) -> msgspec.Raw:
    """The same for arguments as they are stored. What cannot be read is left out as a whole."""
    if not paths:
        return msgspec.Raw(data)
    try:
        return msgspec.Raw(msgspec.json.encode(redacted(msgspec.json.decode(data), paths)))
    except UNREADABLE:
        return msgspec.Raw(msgspec.json.encode(HIDDEN))


class Hush:
    """Takes secrets out of texts: messages, tracebacks and log lines that quote them. False if there are none.

    Args:
        args: the arguments as they are; JSON values, or what was given for them.
        paths: which of them are secret.
    """

    __slots__ = ("_found",)

    def __init__(self, args: Any = None, paths: Sequence[str] = ()) -> None:
        texts = {form for path in paths for leaf in _leaves(args, path.split(".")) for form in _forms(leaf)}
        longest_first = sorted(texts, key=len, reverse=True)
        self._found = re.compile("|".join(map(re.escape, longest_first))) if texts else None

    @classmethod
    def of_json(cls, data: bytes | msgspec.Raw, paths: Sequence[str]) -> Hush:
        """For arguments as they are stored."""
        if not paths:
            return SILENT
        try:
            return cls(msgspec.json.decode(data), paths)
        except UNREADABLE:
            return SILENT

    def __bool__(self) -> bool:
        return self._found is not None

    def __call__(self, text: str) -> str:
        """The text without them."""
        return text if self._found is None else self._found.sub(HIDDEN, text)


SILENT = Hush()
"""For jobs without secrets."""


def _leaves(value: Any, path: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            if not path or name == path[0]:
                yield from _leaves(one, path[1:])
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _leaves(one, path)
    elif isinstance(value, msgspec.Struct) or hasattr(value, "__dataclass_fields__"):
        yield from _leaves(msgspec.to_builtins(value, enc_hook=str), path)
    elif not path:
        yield value


def _forms(leaf: Any) -> Iterator[str]:
    """How a value may stand in a text: as it is, line by line, in Python, in JSON."""
    if isinstance(leaf, bool) or leaf is None:
        return
    text = leaf if isinstance(leaf, str) else str(leaf)
    if len(text) >= SHORTEST:
        yield text
        yield from (line for line in text.splitlines() if len(line) >= SHORTEST)
        yield repr(text)[1:-1]
        yield msgspec.json.encode(text.encode("utf-8", "replace").decode()).decode()[1:-1]

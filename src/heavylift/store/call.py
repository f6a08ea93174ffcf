"""A call: one command for Redis and how to read its reply. A value; nothing is sent here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Arg: TypeAlias = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class Script:
    """A loaded verb: its Lua source and the digest Redis knows it by."""

    verb: str
    source: str
    sha: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """How to learn whether what a call wrote is kept: commands behind it, on the same connection.

    Attributes:
        commands: one that writes, so that the next speaks of all that was there before; that, which waits until it is
            kept; and what else must be known.
        met: whether it is kept, by their replies. None of them is a refusal.
    """

    commands: tuple[tuple[Arg, ...], ...]
    met: Callable[[Sequence[Any]], bool]


@dataclass(frozen=True, slots=True)
class Confirmed(Generic[T_co]):
    """The answer to a call with a `Confirm`, and whether what it wrote is known to be kept."""

    answer: T_co
    kept: bool


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One command, ready to be sent.

    Attributes:
        keys: the keys it declares; they all lie in one slot, and say which.
        command: the raw command.
        parse: turns the reply into the typed answer.
        script: for a script call, what to load if the server does not know it.
        repeatable: sending it again after a lost reply changes nothing more.
        confirm: then the answer is `Confirmed`.
        lasting: whether this answer holds for as long as the connection does: then it is not asked there again.
    """

    keys: tuple[str, ...]
    command: tuple[Arg, ...]
    parse: Callable[[Any], T_co]
    script: Script | None = None
    repeatable: bool = True
    confirm: Confirm | None = None
    lasting: Callable[[Any], bool] | None = None

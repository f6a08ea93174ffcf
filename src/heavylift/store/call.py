"""A call: one command for Redis and how to read its reply. A value; nothing is sent here."""

from __future__ import annotations

from collections.abc import Callable
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
    """How to learn whether what a call wrote is kept: two commands behind it, on the same connection.

    Attributes:
        write: writes, so that the second speaks of all that was there before.
        wait: waits until it is kept.
        met: whether it is, by the reply to `wait`.
    """

    write: tuple[Arg, ...]
    wait: tuple[Arg, ...]
    met: Callable[[Any], bool]


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
    """

    keys: tuple[str, ...]
    command: tuple[Arg, ...]
    parse: Callable[[Any], T_co]
    script: Script | None = None
    repeatable: bool = True
    confirm: Confirm | None = None

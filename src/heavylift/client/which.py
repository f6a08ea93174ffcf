"""Which dead letters are meant: what can be said about them, and whether one fits. No I/O."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypedDict

from heavylift.errors import InvalidArgument
from heavylift.store.jobs import Letter


class WhichFailed(TypedDict, total=False):
    """What can be said about dead letters to choose some. All of it must hold; None is the same as not said.

    Attributes:
        reason: why they are dead letters: `exhausted`, `poison`, `expired` ...
        handler: of this handler.
        cause: what their last attempt came to: `error`, `timeout`, `killed:SIGSEGV` ...
        fingerprint: of the error of their last attempt, or the beginning of it. Equal for equal faults.
        tag: one of their tags.
        text: stands in the type or message of their last attempt's error; case does not matter.
        since, until: became dead letters in this time; with a time zone.
    """

    reason: str | None
    handler: str | None
    cause: str | None
    fingerprint: str | None
    tag: str | None
    text: str | None
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Which:
    """The same, checked, with the queue; times in ms."""

    queue: str | None = None
    reason: str | None = None
    handler: str | None = None
    cause: str | None = None
    fingerprint: str | None = None
    tag: str | None = None
    text: str | None = None
    since: int | None = None
    until: int | None = None

    @classmethod
    def of(cls, queue: str | None, said: Mapping[str, Any]) -> Which:
        """From what a caller says.

        Raises:
            InvalidArgument: a word is not known, or its value cannot be meant.
        """
        names = [field.name for field in fields(cls)]
        if unknown := said.keys() - set(names):
            name = min(unknown)
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise InvalidArgument(name, said[name], f"is nothing dead letters are chosen by; {hint}")
        return cls(queue, **{name: _checked(name, value) for name, value in said.items() if value is not None})

    @property
    def everything(self) -> bool:
        """Nothing was said."""
        return self == Which()

    @property
    def whole(self) -> bool:
        """To tell, tags and last attempts must be read."""
        return self.tag is not None or self.text is not None

    def fits(self, letter: Letter) -> bool:
        """True if this letter is meant. Its queue and time are looked at when it is read."""
        return (
            self.reason in (None, letter.reason)
            and self.handler in (None, letter.handler)
            and self.cause in (None, letter.cause)
            and letter.fingerprint.startswith(self.fingerprint or "")
            and (self.tag is None or self.tag in letter.tags)
            and (self.text is None or self.text.casefold() in _said(letter))
        )


def _said(letter: Letter) -> str:
    return "" if letter.last is None else f"{letter.last.error}: {letter.last.message}".casefold()


def _checked(name: str, value: Any) -> Any:
    if name in ("since", "until"):
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise InvalidArgument(name, value, "give a datetime with a time zone")
        ms = value.timestamp() * 1000
        return math.ceil(ms) if name == "since" else math.floor(ms)
    if not isinstance(value, str) or not value:
        raise InvalidArgument(name, value, "give a text")
    return str(value)

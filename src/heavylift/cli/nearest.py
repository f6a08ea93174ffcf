"""A name that nobody knows is allowed, and probably misspelt: say so, and what is spelt nearly like it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields

from rich.text import Text

from heavylift.cli.session import Session
from heavylift.settings import Settings

PREFIX = "HEAVYLIFT_"


def warn_if_unknown(session: Session, known: Sequence[str], queue: str) -> None:
    """Warn of a queue that is not among the `known` ones. What was asked for is done all the same."""
    if queue not in known:
        session.err.print(Text(f"no queue was called {queue} until now{meant(queue, known)}", style="yellow"))


def meant(name: str, known: Sequence[str]) -> str:
    """What may have been meant, to be added to a message; nothing if nothing is like it."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def warn_of_misspelt(session: Session, variables: Iterable[str]) -> None:
    """Warn of variables of the environment that are named nearly like a setting's. Others may be anybody's."""
    for name, setting in _misspelt(variables):
        session.err.print(Text(f"{name} is no setting, and is ignored; did you mean {setting}?", style="yellow"))


def _misspelt(variables: Iterable[str]) -> Iterator[tuple[str, str]]:
    known = [PREFIX + one.name.upper() for one in fields(Settings)]
    for name in sorted(variables):
        if name.startswith(PREFIX) and name not in known:
            for setting in difflib.get_close_matches(name, known, n=1, cutoff=0.85):
                yield name, setting

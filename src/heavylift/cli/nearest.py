"""A name that nobody knows is allowed, and probably misspelt: say so, and what is spelt nearly like it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from rich.text import Text

from heavylift.cli.session import Session


def warn_if_unknown(session: Session, known: Sequence[str], queue: str) -> None:
    """Warn of a queue that is not among the `known` ones. What was asked for is done all the same."""
    if queue not in known:
        session.err.print(Text(f"no queue was called {queue} until now{meant(queue, known)}", style="yellow"))


def meant(name: str, known: Sequence[str]) -> str:
    """What may have been meant, to be added to a message; nothing if nothing is like it."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""

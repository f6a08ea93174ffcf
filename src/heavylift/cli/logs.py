"""Where log lines go and how they look: for people in a terminal, as JSON lines everywhere else.

A line that cannot be written is lost, also for handlers that log on their own: that nobody reads what a worker says is
no reason for a job to fail.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import msgspec
import structlog
from rich.console import Console
from rich.text import Text


def configure(console: Console, level: str = "info") -> None:
    """Send structlog's and the standard library's log lines to the console, above whatever live display it has."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console.is_terminal else "iso", utc=not console.is_terminal),
    ]
    last: list[Any]
    write: _Above | _Lines
    if console.is_terminal:
        last = [structlog.dev.ConsoleRenderer(0, colors=not console.no_color)]
        write = _Above(console)
    else:
        last = [structlog.processors.format_exc_info, _ordered, structlog.processors.JSONRenderer(as_json)]
        write = _Lines()
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: write,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forward()], level=max(number, logging.WARNING), force=True)


def as_json(line: Any, **_: Any) -> str:
    """A line for each job is a lot of lines, and msgspec is quick; what it refuses, as broken text, is escaped."""
    try:
        return msgspec.json.encode(line, enc_hook=str).decode()
    except (UnicodeEncodeError, TypeError):
        return json.dumps(line, default=str)


def _ordered(logger: Any, method: str, line: MutableMapping[str, Any]) -> dict[str, Any]:
    """When, how grave and what first: people read JSON lines too."""
    return {name: line[name] for name in ("timestamp", "level", "event") if name in line} | dict(line)


class _Above:
    """Prints above the live display, so that bars and lines do not fight."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def msg(self, line: str) -> None:
        with suppress(Exception, SystemExit):  # rich ends the program where nobody reads any more
            self._console.print(Text.from_ansi(line), soft_wrap=True)

    debug = info = warning = error = critical = exception = fatal = warn = log = msg


class _Lines:
    """Writes each line whole and at once."""

    def msg(self, line: str) -> None:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except Exception:
            pass

    debug = info = warning = error = critical = exception = fatal = warn = log = msg


class _Forward(logging.Handler):
    """What libraries and handlers log through the standard library, as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on under its logger's name. A record that does not fit together is told on `stderr`, as is usual."""
        try:
            structlog.get_logger("heavylift").log(
                record.levelno,
                record.getMessage(),
                logger=record.name,
                **({"exc_info": record.exc_info} if record.exc_info else {}),
            )
        except Exception:
            self.handleError(record)

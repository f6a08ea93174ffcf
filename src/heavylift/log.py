"""The log of heavylift's own parts: a line that cannot be written is lost, and nothing else is.

Where lines go is said by others: by the command line, or by the application that a worker runs in. Their reader may go
away and their disk fill up, in the middle of anything that says something in passing.
"""

from __future__ import annotations

from typing import Any

import structlog

_LEVELS = frozenset(("debug", "info", "warning", "error", "exception", "critical"))


class Log:
    """A logger of structlog's, by its name, that does not raise."""

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = structlog.get_logger(name)

    def debug(self, event: str, **fields: Any) -> None:
        """A detail for whoever looks for a fault."""
        self.say("debug", event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        """What happened."""
        self.say("info", event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What somebody should look at."""
        self.say("warning", event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        """What went wrong."""
        self.say("error", event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        """What went wrong, with the exception that is being handled."""
        self.say("exception", event, **fields)

    def say(self, level: str, event: str, /, **fields: Any) -> None:
        """A line of a level by its name; one that is not known is `info`."""
        try:
            getattr(self._logger, level if level in _LEVELS else "info")(event, **fields)
        except (Exception, SystemExit):  # rich ends the program where nobody reads any more
            pass


log = Log("heavylift")
job_log = Log("heavylift.job")
"""What handlers say of themselves."""

"""Exit codes, and errors as the one line a user sees of them."""

from __future__ import annotations

from heavylift.errors import HeavyliftError, InvalidArgument, JobNotFound, Unavailable

OK = 0
FAILED = 1
"""A job failed, the worker crashed, or Redis refused."""

BAD_INPUT = 2
"""The command line, a setting or a handler will not do; nothing was done."""

UNAVAILABLE = 69
"""Redis cannot be reached (`EX_UNAVAILABLE` of sysexits.h)."""

HURRIED = 130
"""Interrupted: by Ctrl-C, in a worker by a second one, which does not let running attempts finish."""

AT_ONCE = 131
"""A worker ended by a third Ctrl-C: nothing was settled; its jobs come back when their locks expire."""


def code_of(error: HeavyliftError) -> int:
    """The exit code that goes with an error."""
    if isinstance(error, Unavailable):
        return UNAVAILABLE
    return BAD_INPUT if isinstance(error, InvalidArgument) else FAILED


def line_of(error: HeavyliftError) -> str:
    """An error as one sentence."""
    if isinstance(error, InvalidArgument):
        return f"{error.field} {_shown(error.value)}: {error.remedy}"
    if isinstance(error, JobNotFound):
        return f"{error} (`heavylift status` shows the queues; ended jobs are removed after a while)"
    return str(error)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 120 else text[:117] + "..."

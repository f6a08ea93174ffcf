"""Durations, as they are given: seconds, or a timedelta."""

from __future__ import annotations

from datetime import timedelta

from heavylift.errors import InvalidArgument


def seconds(field_name: str, value: float | timedelta) -> float:
    """A duration as seconds; refuses negatives, NaN and booleans by name."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < 1e10:
        raise InvalidArgument(field_name, value, "give seconds (zero or more) or a timedelta")
    return float(number)


def said_seconds(field_name: str, value: float | timedelta | None) -> float | None:
    """As `seconds`; None, not said, stays None."""
    return None if value is None else seconds(field_name, value)


def span(seconds: float) -> str:
    """A span of time in the two units that matter: `340 ms`, `4.2 s`, `3 min 5 s`, `2 h 4 min`."""
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    for big, small, size, unit in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if seconds >= big:
            rest = int(seconds % big // small)
            return f"{int(seconds // big)} {size}" + (f" {rest} {unit}" if rest else "")
    raise AssertionError(seconds)

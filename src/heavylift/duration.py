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

"""Sizes, as they are given: bytes, or a text with a unit."""

from __future__ import annotations

import re

from heavylift.errors import InvalidArgument

_TEXT = re.compile(r"(\d+(?:\.\d+)?) ?([kKMGT]?i?B)")
_POWERS = "KMGT"


def in_bytes(field_name: str, value: int | str) -> int:
    """A size in bytes: `512_000_000`, `"512MB"` (of 1,000,000 bytes), `"512MiB"` (of 1,048,576 bytes).

    Raises:
        InvalidArgument: it is none of these, or less than one byte.
    """
    size = _parsed(value) if isinstance(value, str) else value
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise InvalidArgument(field_name, value, 'give bytes above zero, or a text like "512MB" or "2GiB"')
    return int(size)


def _parsed(text: str) -> int:
    if not (found := _TEXT.fullmatch(text.strip())):
        return 0
    number, unit = found.groups()
    power = _POWERS.index(unit[0].upper()) + 1 if unit[0] != "B" else 0
    return int(float(number) * (1024 if "i" in unit else 1000) ** power)


def shown(size: float) -> str:
    """A size for people: `1.5 GB`, `512 MB`, `20 kB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:.0f} bytes"

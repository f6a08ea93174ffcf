"""Text and numbers of the user's, made plain where they come in.

A subclass of `str` or `float`, as `numpy.str_` and `numpy.float64` are, passes for one everywhere but where it is
encoded, and that may be in a thread that has other things to do.
"""

from __future__ import annotations

from numbers import Integral, Real


def text(value: str) -> str:
    """Exactly a `str` that can be written as UTF-8: half a surrogate pair, as in odd file names, is spelt out.

    Raises:
        TypeError: it is no text.
    """
    exact = str.__str__(value)
    return exact if exact.isascii() else exact.encode("utf-8", "backslashreplace").decode()


def number(value: object) -> int | float:
    """Exactly an `int` or a `float`.

    Raises:
        TypeError: it is no number.
        OverflowError: it is too large for a float, and no whole number.
    """
    if type(value) is float or type(value) is int:
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no number")

"""What a handler needs and what takes a while to get: a model, a font, a connection. Got once in each process."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, TypeVar

from heavylift.duration import seconds
from heavylift.errors import HandlerError, InvalidArgument

T_co = TypeVar("T_co", covariant=True)

TIMEOUT = 60.0
"""Seconds a setup may take unless it says otherwise."""


class Setup(Generic[T_co]):
    """A value that is loaded once in each process, when it is first needed.

        fonts = Setup(load_fonts, timeout=30)

        @handler(lane="cpu", setup=fonts)
        def render(text: str) -> str:
            return fonts.value.draw(text)

    With `setup=` a slot loads it before the first such attempt: in a time of its own, not that of the attempt, and a
    failure has the cause `setup`. A slot's new process loads it again. Anywhere else, in the io lane or a unit test,
    the first use of `value` loads it.
    """

    def __init__(self, load: Callable[[], T_co], *, timeout: float | timedelta = TIMEOUT) -> None:
        """Nothing is loaded yet.

        Args:
            load: makes the value; a plain function without parameters.
            timeout: seconds or timedelta that it may take in a slot, which is killed then.

        Raises:
            HandlerError: it is no such function, or the time is none.
        """
        if not callable(load) or inspect.iscoroutinefunction(load) or not _takes_nothing(load):
            raise HandlerError("load", load, "give a plain function that can be called without arguments")
        try:
            self.timeout = seconds("timeout", timeout)
        except InvalidArgument:
            self.timeout = 0.0
        if not self.timeout:
            raise HandlerError("timeout", timeout, "give seconds above zero, or a timedelta")
        self._load = load
        self._guard = threading.Lock()
        self._loaded: tuple[int, T_co] | None = None  # the process it was loaded in: what is forked is not its own

    @property
    def value(self) -> T_co:
        """The value; loads it if this process does not have it yet. Threads that come meanwhile wait for it."""
        if not self.ready:
            with self._guard:
                if not self.ready:
                    self._loaded = (os.getpid(), self._load())
        assert self._loaded is not None
        return self._loaded[1]

    @property
    def ready(self) -> bool:
        """This process has it."""
        return self._loaded is not None and self._loaded[0] == os.getpid()

    def __repr__(self) -> str:
        return f"<setup {getattr(self._load, '__qualname__', self._load)!s}>"


def listed(value: Any, lane: str) -> tuple[Setup[Any], ...]:
    """The setups of a handler, as `@handler(setup=...)` may say them.

    Raises:
        HandlerError: something else was given, or the lane has no slots.
    """
    setups = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not all(isinstance(setup, Setup) for setup in setups):
        raise HandlerError("setup", value, "give a Setup, or a list of them: fonts = Setup(load_fonts)")
    if setups and lane == "io":
        remedy = 'goes with lane="cpu"; leave it out here: the first use of its value loads it, once for the worker'
        raise HandlerError("setup", value, remedy)
    return setups


def _takes_nothing(load: Callable[..., Any]) -> bool:
    try:
        inspect.signature(load).bind()
    except TypeError:
        return False
    except ValueError:  # a built-in that does not say
        return True
    return True

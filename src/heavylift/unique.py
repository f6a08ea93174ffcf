"""Unique jobs: when two requests are the same, and for how long the second one is not needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import msgspec

from heavylift.duration import seconds
from heavylift.errors import InvalidArgument

UniqueMode = Literal["until_started", "until_finished"]
"""Until when a job holds its key."""

BY_ARGUMENTS = "arguments"


class Unique(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job is not enqueued while another one like it is there: `enqueue` then gives that one, as a duplicate.

    Two jobs are alike if they are of one handler, in one queue, and have the same arguments or the same key. For how
    long is said by `mode`, or by one of `window` and `debounce` instead. A job that is a duplicate changes nothing,
    but for `debounce`.

    Attributes:
        by: `"arguments"`, or a key of your own (1 to 1000 characters). On `@handler` also a function that makes the
            key of arguments: it takes those it names, and the producer calls it.
        mode: `"until_finished"` (the default): while the other job waits, runs or is to be tried again.
            `"until_started"`: only until it is first started; a retry of it is no hindrance.
        window: seconds or timedelta: at most one such job is enqueued in this time, whatever becomes of it (throttle).
        debounce: seconds or timedelta: the job runs once nothing like it has come for this time, with the arguments
            that came last. Until it has started, each further request puts it off.
        max_wait: seconds or timedelta: with `debounce`, put off no longer than this after the first request.

    Short forms, where `unique=` is given: `True` is `Unique()`, a string is `Unique(by=...)`, `False` takes the
    handler's default away.

    Raises:
        InvalidArgument: what is said makes no sense together, or is out of range.
    """

    by: str | Callable[..., str] = BY_ARGUMENTS
    mode: UniqueMode = "until_finished"
    window: float | timedelta | None = None
    debounce: float | timedelta | None = None
    max_wait: float | timedelta | None = None

    def __post_init__(self) -> None:
        if isinstance(self.by, str) and not 1 <= len(self.by) <= 1000:
            raise InvalidArgument("unique.by", self.by, "give a key of 1 to 1000 characters")
        if not isinstance(self.by, str) and not callable(self.by):
            raise InvalidArgument("unique.by", self.by, 'give "arguments", a key, or on @handler a function')
        if self.mode not in ("until_started", "until_finished"):
            raise InvalidArgument("unique.mode", self.mode, 'give "until_started" or "until_finished"')
        for name in ("window", "debounce", "max_wait"):
            value = getattr(self, name)
            if value is not None and seconds(f"unique.{name}", value) < 0.001:
                raise InvalidArgument(f"unique.{name}", value, "give a millisecond or more")
        self._check_together()

    def _check_together(self) -> None:
        if self.window is not None and self.debounce is not None:
            raise InvalidArgument("unique.window", self.window, "give either window or debounce, not both")
        timed = "window" if self.window is not None else "debounce" if self.debounce is not None else None
        if timed and self.mode != "until_finished":
            raise InvalidArgument("unique.mode", self.mode, f"leave it out: {timed} says how long")
        if self.max_wait is not None and self.debounce is None:
            raise InvalidArgument("unique.max_wait", self.max_wait, "goes with debounce")

    @classmethod
    def of(cls, value: Unique | bool | str | Callable[..., str]) -> Unique | Literal[False]:
        """A `Unique` of its short forms; False if there is to be none.

        Raises:
            InvalidArgument: it is none of these.
        """
        if isinstance(value, Unique):
            return value
        if isinstance(value, bool):
            return cls() if value else False
        if isinstance(value, str) or callable(value):
            return cls(by=value)
        raise InvalidArgument("unique", value, "give True, a key, or a Unique")

    @property
    def letter(self) -> str:
        """The mode in Redis: `s`, `f`, `w` or `d`."""
        if self.window is not None:
            return "w"
        if self.debounce is not None:
            return "d"
        return "s" if self.mode == "until_started" else "f"

    def digest(self, handler: str, args: bytes) -> str:
        """What stands for all jobs like it, in the name of a key: 32 hexadecimal characters.

        Args:
            handler: its name.
            args: its arguments, JSON.
        """
        if self.by == BY_ARGUMENTS:
            kind, what = b"args", canonical(args)
        elif isinstance(self.by, str):
            kind, what = b"key", self.by.encode(errors="surrogatepass")
        else:
            raise InvalidArgument("unique.by", self.by, "give a string here; a function belongs on @handler")
        return hashlib.sha256(b"\0".join((kind, handler.encode(), what))).hexdigest()[:32]


def canonical(data: bytes) -> bytes:
    """JSON in one form for all that is equal: names sorted, no spaces, `1.0` as `1`."""
    return msgspec.json.encode(_plain(msgspec.json.decode(data)), order="sorted")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value

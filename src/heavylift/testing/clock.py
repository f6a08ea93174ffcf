"""A clock that tests move: delays pass without waiting."""

from __future__ import annotations

from datetime import timedelta

from heavylift.duration import seconds
from heavylift.store.scripts import Scripts


class MovingClock(Scripts):
    """The store's verbs, which add an offset to Redis' own time; everyone who shares this sees the same time.

    Attributes:
        offset_ms: how far ahead of Redis' clock it is, in ms.
    """

    def advance(self, by: float | timedelta) -> None:
        """Let time pass.

        Args:
            by: seconds or a `timedelta`, zero or more.

        Raises:
            InvalidArgument: it would go back.
        """
        moved = Scripts(self.offset_ms + round(seconds("by", by) * 1000), self.single_node)
        self.offset_ms, self.verbs = moved.offset_ms, moved.verbs

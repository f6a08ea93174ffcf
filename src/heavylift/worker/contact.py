"""Contact to Redis that is always being repaired, for a loop that must never give up.

Reconnection waits are tenacity's, random and growing, so that a fleet does not come back in one stroke. The
log gets a line when contact is lost and one when it is back, not one per try.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import tenacity

from heavylift.errors import PermissionMissing, StoreError, Unavailable
from heavylift.log import log
from heavylift.store.call import Call
from heavylift.store.connection import Connection

_WAIT = tenacity.wait_random_exponential(multiplier=0.05, max=2.0)


class Contact:
    """A connection and its outages. Belongs to one thread.

    Attributes:
        down_since: monotonic time at which contact was lost; None while there is contact.
    """

    def __init__(self, role: str, connect: Callable[[str], Connection]) -> None:
        self.role = role
        self.down_since: float | None = None
        self._connect = connect
        self._connection: Connection | None = None
        self._failures = 0

    def round_trip(self, calls: Sequence[Call[Any]], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        """Send the calls together; refusals come back as `StoreError` values in their place.

        `meanwhile` is called once, while Redis works at them; it may not be if there is no contact.

        Raises:
            Unavailable: no contact; what was sent may or may not have run. Wait `pause()` and come again.
        """
        try:
            if self._connection is None:
                self._connection = self._connect(self.role)
            replies = self._connection.round_trip(calls, meanwhile)
        except (Unavailable, PermissionMissing) as lost:
            self.lost(lost)
            raise Unavailable(str(lost)) from None
        if self.down_since is not None:
            self._found()
        return replies

    def pause(self) -> float:
        """Seconds to wait before the next try; grows with each failure in a row."""
        state = tenacity.RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
        state.attempt_number = min(self._failures, 20)
        return max(0.01, _WAIT(state))

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def lost(self, why: StoreError) -> None:
        """Note that there is no contact, told once; `round_trip` does it by itself, this is for other tries."""
        self.close()
        self._failures += 1
        if self.down_since is None:
            self.down_since = time.monotonic()
            log.warning("lost contact to redis, trying again", contact=self.role, error=str(why))

    def _found(self) -> None:
        away = time.monotonic() - (self.down_since or time.monotonic())
        self.down_since, self._failures = None, 0
        log.info("redis is back", contact=self.role, away_s=round(away, 3))

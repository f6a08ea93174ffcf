"""Running a handler to an outcome. An attempt never raises: whatever the handler does becomes a value."""

from __future__ import annotations

import msgspec


class Start(msgspec.Struct, frozen=True):
    """All that one attempt needs. Crosses to a slot's process as bytes.

    Attributes:
        spec: the stored envelope, JSON.
        number: which start of the job this is, from 1.
        timeout: seconds the handler may run; None for ever.
        grace: seconds between asking it to stop and ending it.
        checkpoint: last state saved by an earlier attempt, JSON.
        attempts: failures of the handler so far.
    """

    id: str
    queue: str
    token: str
    spec: bytes
    number: int = 1
    timeout: float | None = None
    grace: float = 5.0
    checkpoint: bytes | None = None
    attempts: int = 0

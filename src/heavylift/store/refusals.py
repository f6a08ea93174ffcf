"""What Redis says no with, in one table: whose fault it is and what can be done about it."""

from __future__ import annotations

from heavylift.errors import (
    Busy,
    ParentsForgotten,
    PermissionMissing,
    ServerFull,
    ServerUnsupported,
    StoreError,
    Unavailable,
)


class Refusal(Exception):
    """An error reply, as it came over the wire. Never leaves the store."""

    @property
    def code(self) -> str:
        """The first word: `NOSCRIPT`, `MOVED`, `OOM` ..."""
        return str(self).partition(" ")[0]


GONE = frozenset({"LOADING", "READONLY", "MASTERDOWN", "UNKILLABLE", "BUSY", "NOREPLICAS"})
"""The server cannot take this now and another, or the same a little later, may: connect anew."""

_DENIED = ("user executing the script can't", "ACL failure in script")
"""So Redis 7.0 and Valkey, and Redis since 7.2, say it of a command inside a script."""

LATER = frozenset({"TRYAGAIN", "MOVING", "CLUSTERDOWN"})
"""Nothing was done; asking again soon helps."""


def is_denied(refusal: Refusal) -> bool:
    """Whether the user lacks a right."""
    return refusal.code == "NOPERM" or any(said in str(refusal) for said in _DENIED)


def explain(refusal: Refusal) -> StoreError:
    """The error to hand out for an error reply."""
    said, code = str(refusal), refusal.code
    if code == "OOM":
        return ServerFull(f"Redis is at maxmemory and takes no new jobs: {said}")
    if code == "CLUSTERDOWN" or code in GONE:
        return Unavailable(said)
    if code in LATER:
        return Busy(said)
    if code == "UNSTAGED":
        return ParentsForgotten("the parents of a job are not noted any more; nothing was enqueued: enqueue it again")
    if is_denied(refusal) or code in ("NOAUTH", "WRONGPASS"):
        return PermissionMissing(f"{said} (`heavylift acl` prints the rights that each role needs)")
    if code == "MISCONF":
        return StoreError(f"Redis cannot save to disk and refuses every write until it can: {said}")
    if "unknown command" in said.lower():
        return ServerUnsupported(f"the server lacks a command heavylift needs (Redis 7.0 or Valkey 7.2): {said}")
    return StoreError(said)

"""All verbs of the store in one place: arguments become calls, replies become values, nothing is sent here."""

from __future__ import annotations

from heavylift.store.call import Call
from heavylift.store.claiming import Claiming, ClaimReply, ExtendReply
from heavylift.store.producing import Enqueued, NewJob, Producing, batches
from heavylift.store.reading import QueueCounts, Reading
from heavylift.store.settling import SettleItem, Settling, Written

__all__ = [
    "Call",
    "ClaimReply",
    "Enqueued",
    "ExtendReply",
    "Jobs",
    "NewJob",
    "QueueCounts",
    "SettleItem",
    "Written",
    "batches",
]


class Jobs(Producing, Claiming, Settling, Reading):
    """Every verb there is. `Jobs(prefix, scripts)`; see the families for what each does."""

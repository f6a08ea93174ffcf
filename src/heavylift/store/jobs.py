"""All verbs of the store in one place: arguments become calls, replies become values, nothing is sent here."""

from __future__ import annotations

from heavylift.store.call import Call
from heavylift.store.claiming import Claiming, ClaimReply, ExtendReply
from heavylift.store.effects import Begun, EffectRecord, Effects
from heavylift.store.fleet import Fleet, WorkerSeen
from heavylift.store.flowing import Flowing
from heavylift.store.producing import BATCH_BYTES, Enqueued, NewJob, Producing, batches
from heavylift.store.reading import QueueCounts, Reading
from heavylift.store.repairing import CancelReply, Removed, Repairing, Replayed, SweepReply
from heavylift.store.settling import ProgressItem, SettleItem, Settling, Written

__all__ = [
    "BATCH_BYTES",
    "Begun",
    "Call",
    "CancelReply",
    "ClaimReply",
    "EffectRecord",
    "Enqueued",
    "ExtendReply",
    "Jobs",
    "NewJob",
    "ProgressItem",
    "QueueCounts",
    "Removed",
    "Replayed",
    "SettleItem",
    "SweepReply",
    "WorkerSeen",
    "Written",
    "batches",
]


class Jobs(Producing, Claiming, Settling, Repairing, Reading, Flowing, Effects, Fleet):
    """Every verb there is. `Jobs(prefix, scripts)`; see the families for what each does."""

"""All verbs of the store in one place: arguments become calls, replies become values, nothing is sent here."""

from __future__ import annotations

from heavylift.store.call import Call
from heavylift.store.claiming import Claiming, ClaimReply, ExtendReply
from heavylift.store.effects import Begun, EffectRecord, Effects
from heavylift.store.fleet import Fleet, WorkerSeen
from heavylift.store.flowing import Flowing
from heavylift.store.letters import Letter, LetterPage, Letters
from heavylift.store.limiting import Limiting
from heavylift.store.moving import Moving, Reprioritized, Rescheduled
from heavylift.store.producing import BATCH_BYTES, Enqueued, NewJob, Producing, Tick, batches
from heavylift.store.reading import Ended, QueueCounts, Reading
from heavylift.store.repairing import CancelReply, Removed, Repairing, SweepReply
from heavylift.store.retaining import Retaining
from heavylift.store.scheduling import NewSchedule, SchedulePage, Scheduling, StoredSchedule
from heavylift.store.settling import ProgressItem, SettleItem, Settling, Written
from heavylift.store.standing import Explaining

__all__ = [
    "BATCH_BYTES",
    "Begun",
    "Call",
    "CancelReply",
    "ClaimReply",
    "EffectRecord",
    "Ended",
    "Enqueued",
    "ExtendReply",
    "Jobs",
    "Letter",
    "LetterPage",
    "NewJob",
    "NewSchedule",
    "ProgressItem",
    "QueueCounts",
    "Removed",
    "Reprioritized",
    "Rescheduled",
    "SchedulePage",
    "SettleItem",
    "StoredSchedule",
    "SweepReply",
    "Tick",
    "WorkerSeen",
    "Written",
    "batches",
]


class Jobs(
    Producing,
    Claiming,
    Settling,
    Repairing,
    Retaining,
    Limiting,
    Scheduling,
    Letters,
    Moving,
    Reading,
    Explaining,
    Flowing,
    Effects,
    Fleet,
):
    """Every verb there is. `Jobs(prefix, scripts)`; see the families for what each does."""

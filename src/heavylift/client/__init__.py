"""The doors for producers: a client for threads and one for event loops, and the jobs they hand out."""

from heavylift.client.async_client import AsyncClient
from heavylift.client.client import Client
from heavylift.client.editing import NewArgs
from heavylift.client.flowhandle import AsyncFlow, Flow
from heavylift.client.handle import AsyncJob, Job
from heavylift.client.operations import HowCancelled
from heavylift.client.overview import WorkerStatus
from heavylift.client.repairing import FailedGroup, GroupBy, OnPage, Replayed
from heavylift.client.which import WhichFailed
from heavylift.request import EnqueueOptions
from heavylift.store.flowing import FlowJob
from heavylift.store.jobs import EffectRecord, Reprioritized, Rescheduled

__all__ = [
    "AsyncClient",
    "AsyncFlow",
    "AsyncJob",
    "Client",
    "EffectRecord",
    "EnqueueOptions",
    "FailedGroup",
    "Flow",
    "FlowJob",
    "GroupBy",
    "HowCancelled",
    "Job",
    "NewArgs",
    "OnPage",
    "Replayed",
    "Reprioritized",
    "Rescheduled",
    "WhichFailed",
    "WorkerStatus",
]

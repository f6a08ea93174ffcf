"""The doors for producers: a client for threads and one for event loops, and the jobs they hand out."""

from heavylift.client.async_client import AsyncClient
from heavylift.client.client import Client
from heavylift.client.flowhandle import AsyncFlow, Flow
from heavylift.client.handle import AsyncJob, Job
from heavylift.request import EnqueueOptions

__all__ = ["AsyncClient", "AsyncFlow", "AsyncJob", "Client", "EnqueueOptions", "Flow", "Job"]

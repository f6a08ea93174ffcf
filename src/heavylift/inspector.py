"""The door for readers: how queues, workers and server stand, single jobs, dead letters, and what is happening.

It reads only. `Inspector` is for threads, `AsyncInspector` for event loops; each looks through a client, whose
connection it uses and leaves open.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Unpack

from heavylift.client import AsyncClient, AsyncJob, Client, Job
from heavylift.client.overview import QueueStatus, Status, WorkerStatus
from heavylift.client.which import WhichFailed
from heavylift.event import Event
from heavylift.job import JobRecord
from heavylift.store.facts import ServerFacts
from heavylift.store.jobs import QueueCounts

__all__ = ["AsyncInspector", "Inspector", "QueueCounts", "QueueStatus", "ServerFacts", "Status", "WorkerStatus"]


class Inspector:
    """Reads how things stand.

    Args:
        client: whose Redis it reads.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def status(self) -> Status:
        """Queues, living workers and server, at one moment."""
        return self._client.shell.run(self._client.overview.status())

    def job(self, id: str, queue: str | None = None) -> JobRecord:
        """All that is known of a job, looked for in all queues unless its own is given.

        Raises:
            JobNotFound: no queue has it.
        """
        return self._client.job(id, queue).record()

    def failed(
        self, queue: str | None = None, *, offset: int = 0, limit: int = 100, **which: Unpack[WhichFailed]
    ) -> list[JobRecord]:
        """As `Client.failed`."""
        return self._client.failed(queue, offset=offset, limit=limit, **which)

    def watch(self, *jobs: Job[Any], queue: str | None = None, timeout: float | None = None) -> Iterator[Event]:
        """As `Client.watch`."""
        return self._client.watch(*jobs, queue=queue, timeout=timeout)


class AsyncInspector:
    """As `Inspector`, for an event loop."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def status(self) -> Status:
        """As `Inspector.status`."""
        return await self._client.shell.run(self._client.overview.status())

    async def job(self, id: str, queue: str | None = None) -> JobRecord:
        """As `Inspector.job`."""
        return await (await self._client.job(id, queue)).record()

    async def failed(
        self, queue: str | None = None, *, offset: int = 0, limit: int = 100, **which: Unpack[WhichFailed]
    ) -> list[JobRecord]:
        """As `Inspector.failed`."""
        return await self._client.failed(queue, offset=offset, limit=limit, **which)

    def watch(
        self, *jobs: AsyncJob[Any], queue: str | None = None, timeout: float | None = None
    ) -> AsyncIterator[Event]:
        """As `Inspector.watch`."""
        return self._client.watch(*jobs, queue=queue, timeout=timeout)

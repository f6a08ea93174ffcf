"""From a claim to a lane: each claimed job becomes a start, or the outcome it has come to already."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from heavylift.codec import decode_envelope, newer_version
from heavylift.errors import InvalidJob
from heavylift.job import ENVELOPE_VERSION, ClaimedJob
from heavylift.lanes.lane import Lane, LaneName, Start
from heavylift.outcome import Interrupted, Invalid, Malformed, Outcome, TooNew, UnknownHandler
from heavylift.registry import Registry
from heavylift.worker.attending import Attending
from heavylift.worker.queues import ServedQueue
from heavylift.worker.running import Running, RunningTable
from heavylift.worker.settler import Settler


class Starting:
    """What was claimed and is not in a lane yet. Belongs to the dispatcher's thread.

    Args:
        ending: says whether this worker shuts down; then nothing is started any more.
        grace: seconds of grace of an attempt whose job and handler say nothing of it.
        attending: tells middleware.
    """

    def __init__(
        self,
        registry: Registry,
        lanes: Mapping[LaneName, Lane],
        running: RunningTable,
        settler: Settler,
        ending: Callable[[], bool],
        attending: Attending,
        grace: float,
    ) -> None:
        self._registry = registry
        self._lanes = lanes
        self._running = running
        self._settler = settler
        self._ending = ending
        self._attending = attending
        self._grace = grace
        self._arrived: list[tuple[ServedQueue, list[Running]]] = []

    def __bool__(self) -> bool:
        return bool(self._arrived)

    def arrived(self, queue: ServedQueue, jobs: list[ClaimedJob], sent: float) -> None:
        """Take in what a claim that was sent then (monotonic) has brought."""
        wall = time.time_ns() // 1_000_000
        entries = [Running(job, None, None, renewed=sent, started_at=wall) for job in jobs]
        for entry in entries:
            self._running.add(entry)
        self._arrived.append((queue, entries))

    def waiting(self, lane: LaneName, size: int) -> int:
        """Places of this lane, which has so many, that are needed for what has arrived."""
        return sum(len(entries) * queue.needs(size) for queue, entries in self._arrived if queue.lane == lane)

    def start(self) -> None:
        """Hand all of it to the lanes."""
        arrived, self._arrived = self._arrived, []
        for queue, entries in arrived:
            self._start_all(queue, entries)

    def _start_all(self, queue: ServedQueue, entries: list[Running]) -> None:
        lane = self._lanes[queue.lane]
        starts: list[Start] = []
        started: list[Running] = []
        for entry in entries:
            start = Interrupted("shutdown") if self._ending() else self._prepare(entry, queue)
            if isinstance(start, Start):
                started.append(entry)
                starts.append(start)
            else:
                self._settler.put(entry, start)
        for entry in started:  # not before all are prepared, which middleware may draw out
            entry.lane = lane
        if starts:
            lane.submit(starts)

    def _prepare(self, entry: Running, queue: ServedQueue) -> Start | Outcome:
        """What the lane needs to run this job, or the outcome it has come to already."""
        job = entry.job
        try:
            envelope = entry.envelope = decode_envelope(job.spec)
        except InvalidJob as wrong:
            if version := newer_version(job.spec):  # of another shape, and for others to read
                return TooNew(version)
            return Malformed(f"the stored job cannot be read: {wrong}")
        if envelope.v > ENVELOPE_VERSION:
            return TooNew(envelope.v)
        if self._attending:
            self._attending.claimed(entry)
        handler = self._registry.get(envelope.handler)
        if handler is None:
            return UnknownHandler(envelope.handler)
        if handler.lane != queue.lane:
            return Invalid(
                f"queue {queue.name!r} is served by the {queue.lane} lane, but handler {handler.name!r} belongs to "
                f"the {handler.lane} lane; enqueue it on a queue of that lane"
            )
        entry.finish_alone = handler.on_lost_contact == "finish"
        return Start(
            id=job.id,
            queue=job.queue,
            token=job.token,
            spec=job.spec,
            counters=job.counters,
            timeout=self._registry.timeout(envelope),
            grace=self._registry.grace(envelope, self._grace),
            checkpoint=job.checkpoint,
            memory=handler.memory,
            carrier=None if entry.attempt is None else entry.attempt.carrier,
        )

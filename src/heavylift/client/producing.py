"""Putting jobs in, as plans: one, or many at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heavylift.client.operations import Operations
from heavylift.client.plan import Plan, or_raise
from heavylift.errors import InvalidArgument, NotAllEnqueued, StoreError
from heavylift.job import JobSpec, new_id
from heavylift.request import Requests, said
from heavylift.store.call import Call
from heavylift.store.jobs import Enqueued, NewJob, batches
from heavylift.store.producing import BATCH_BYTES

WINDOW_CALLS = 20
WINDOW_BYTES = 4 * BATCH_BYTES
"""What one round trip carries at most when many jobs are enqueued."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A job that is in the store: its queue and id, and whether it was there before."""

    queue: str
    id: str
    duplicate: bool


@dataclass(slots=True)
class _Batch:
    """One enqueue call, and which of the caller's requests it carries."""

    queue: str
    places: Sequence[int]
    jobs: Sequence[NewJob]

    def weight(self) -> int:
        return sum(len(job.spec) for job in self.jobs)


class Producing:
    """Plans that enqueue.

    Args:
        operations: the other plans, whose verbs and patience are used.
        requests: makes storable jobs.
    """

    def __init__(self, operations: Operations, requests: Requests) -> None:
        self._operations = operations
        self._requests = requests

    def enqueue(self, spec: JobSpec[Any], options: Mapping[str, Any]) -> Plan[Placed]:
        """Put one job in.

        Raises:
            InvalidArgument: the request will not do; nothing was sent.
            ServerFull, Unavailable, StoreError: Redis did not take it.
        """
        queue, job = self._requests.make(spec, said(options))
        call = self._call(queue, (job,))
        answers = yield from self._operations.ask_naming((call,), (queue,))
        answer: Enqueued = or_raise(answers[0])[0]
        return Placed(queue, answer.id, answer.duplicate)

    def enqueue_many(self, specs: Iterable[JobSpec[Any]], options: Mapping[str, Any]) -> Plan[list[Placed]]:
        """Put many jobs in, in as few round trips as their size allows. All are checked before the first is sent.

        Raises:
            InvalidArgument: one of the requests will not do; nothing was sent.
            NotAllEnqueued: some are in and some are not; says which.
            ServerFull, Unavailable, StoreError: none is in, as far as is known.
        """
        if options.get("id") is not None:
            raise InvalidArgument("id", options["id"], "is for one job; give each JobSpec its own")
        over = said(options)
        made = [self._requests.make(spec, over) for spec in specs]
        placed: list[Placed | None] = [None] * len(made)
        errors: dict[int, StoreError] = {}
        trouble: StoreError | None = None
        for window in _windows(_batched(made)):
            if trouble is None:
                trouble = yield from self._send(window, placed, errors)
            else:  # nothing more is sent after the first trouble: it would most likely meet the same
                errors.update((place, trouble) for batch in window for place in batch.places)
        if trouble is None:
            return [one for one in placed if one is not None]
        if not any(placed):
            raise trouble
        raise NotAllEnqueued(placed, errors, [job.id for _, job in made])

    def _send(
        self, window: Sequence[_Batch], placed: list[Placed | None], errors: dict[int, StoreError]
    ) -> Plan[StoreError | None]:
        """Send some batches together and note what became of each job; the first error, if there was one."""
        calls: list[Call[Any]] = [self._call(batch.queue, batch.jobs) for batch in window]
        answers = yield from self._operations.ask_naming(calls, {batch.queue for batch in window})
        for batch, answer in zip(window, answers, strict=True):
            if isinstance(answer, StoreError):
                errors.update((place, answer) for place in batch.places)
            else:
                for place, one in zip(batch.places, answer, strict=True):
                    placed[place] = Placed(batch.queue, one.id, one.duplicate)
        return next((answer for answer in answers if isinstance(answer, StoreError)), None)

    def _call(self, queue: str, jobs: Sequence[NewJob]) -> Call[list[Enqueued]]:
        return self._operations.jobs.enqueue(queue, jobs, new_id())


def _batched(made: Sequence[tuple[str, NewJob]]) -> Iterator[_Batch]:
    """The jobs of each queue in runs that fit one call."""
    places: dict[str, list[int]] = {}
    for place, (queue, _) in enumerate(made):
        places.setdefault(queue, []).append(place)
    for queue, mine in places.items():
        start = 0
        for jobs in batches([made[place][1] for place in mine]):
            yield _Batch(queue, mine[start : start + len(jobs)], jobs)
            start += len(jobs)


def _windows(all_batches: Iterable[_Batch]) -> Iterator[list[_Batch]]:
    """Batches in runs that fit one round trip."""
    window: list[_Batch] = []
    size = 0
    for batch in all_batches:
        weight = batch.weight()
        if window and (len(window) == WINDOW_CALLS or size + weight > WINDOW_BYTES):
            yield window
            window, size = [], 0
        window.append(batch)
        size += weight
    if window:
        yield window

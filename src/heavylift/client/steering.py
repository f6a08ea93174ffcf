"""One worker told to do more, less, or nothing for a while: said to it, then seen in what it says of itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from heavylift.client.operations import Operations
from heavylift.client.overview import Overview, WorkerStatus
from heavylift.client.plan import Pause, Plan, ask_all
from heavylift.errors import InvalidArgument, WorkerNotFound, WorkerSilent

AGAIN = 1.0
"""Seconds after which a worker that does not answer is told again: what is published may be lost."""

LOOK_EVERY = 0.05
"""Seconds between two looks at what it says of itself."""

MOST_PLACES = 100_000


class Steering:
    """Plans for single workers.

    Args:
        operations: the other plans, whose verbs and patience are used.
        overview: those that read what workers say of themselves.
    """

    def __init__(self, operations: Operations, overview: Overview) -> None:
        self._jobs = operations.jobs
        self._patience = operations.patience
        self._overview = overview

    def scale(self, worker: str, slots: int | None, places: int | None) -> Plan[WorkerStatus]:
        """Have it run so many attempts at once."""
        wanted = {"cpu": ("slots", slots), "io": ("places", places)}
        sizes = {lane: _checked(name, size) for lane, (name, size) in wanted.items() if size is not None}
        if not sizes:
            raise InvalidArgument("slots", slots, "say how many slots, or how many places")
        found = yield from self._find(worker)
        for lane in sizes:
            if lane not in found.lanes:
                raise InvalidArgument(wanted[lane][0], sizes[lane], f"worker {found.id} has no {lane} lane")
        return (
            yield from self._told(
                found.id,
                [f"scale {lane} {size}" for lane, size in sizes.items()],
                lambda seen: all(seen.lanes.get(lane, {}).get("places") == size for lane, size in sizes.items()),
            )
        )

    def pause(self, worker: str) -> Plan[bool]:
        """Have it claim nothing more. False if it did not."""
        return (yield from self._quiet(worker, True))

    def resume(self, worker: str) -> Plan[bool]:
        """Have it claim again. False if it did."""
        return (yield from self._quiet(worker, False))

    def _quiet(self, worker: str, on: bool) -> Plan[bool]:
        found = yield from self._find(worker)
        yield from self._told(found.id, [f"quiet {int(on)}"], lambda seen: seen.quiet == on)
        return found.quiet != on

    def _find(self, worker: str) -> Plan[WorkerStatus]:
        living = yield from self._overview.worker_states()
        found = [one for one in living if one.id == worker]
        found = found or [one for one in living if one.id.startswith(worker) or str(one.pid) == worker]
        if not found:
            raise WorkerNotFound(f"no worker {worker!r} is alive; `heavylift status` lists them")
        if len(found) > 1:
            fit = ", ".join(one.id for one in found[:5])
            raise InvalidArgument("worker", worker, f"fits several: {fit}; say more of its id")
        return found[0]

    def _told(self, id: str, messages: Sequence[str], seen: Callable[[WorkerStatus], bool]) -> Plan[WorkerStatus]:
        deadline = time.monotonic() + self._patience
        while True:
            yield from ask_all([self._jobs.tell(id, message) for message in messages], self._patience)
            again = time.monotonic() + AGAIN
            while time.monotonic() < again:
                yield Pause(LOOK_EVERY)
                if seen(found := (yield from self._find(id))):
                    return found
            if time.monotonic() >= deadline:
                raise WorkerSilent(id)


def _checked(name: str, size: int) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MOST_PLACES:
        raise InvalidArgument(name, size, f"give a whole number from 0 to {MOST_PLACES}")
    return size

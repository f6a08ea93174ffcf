"""Middleware around `enqueue`: told of each job before anything is sent, and of what became of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from heavylift.errors import NotAllEnqueued, NotDurable
from heavylift.middleware import Enqueuing, Middleware, overriding


class Announcer:
    """The middleware of a client, looked up when the first job is enqueued: other commands do without.

    Args:
        find: gives all of it.
    """

    def __init__(self, find: Callable[[], Iterable[Middleware]]) -> None:
        self._find = find
        self._told: set[tuple[str, str]] = set()
        self._guard = threading.Lock()

    def __call__(self) -> Announcements:
        """For the jobs of one call."""
        found = list(self._find())
        return Announcements(overriding(found, "enqueuing"), overriding(found, "enqueued")[::-1], self.failed)

    def failed(self, one: Middleware, wrong: BaseException) -> None:
        """What it raised after the job was in: told once for each kind."""
        kind = type(one).__qualname__, type(wrong).__qualname__
        with self._guard:
            if kind in self._told:
                return
            self._told.add(kind)
        from heavylift.log import log  # here: whoever only enqueues has no other use for it

        log.error("middleware failed after a job was enqueued (told once)", middleware=kind[0], exc_info=wrong)


class Announcements:
    """The jobs of one call of `enqueue`, in their order."""

    def __init__(
        self,
        before: Sequence[Middleware],
        after: Sequence[Middleware],
        failed: Callable[[Middleware, BaseException], None],
    ) -> None:
        self._before = before
        self._after = after
        self._failed = failed
        self._jobs: list[Enqueuing] = []

    def announce(self, job: Enqueuing) -> None:
        """It is about to be enqueued. Raises what middleware raises."""
        self._jobs.append(job)
        for one in self._before:
            one.enqueuing(job)

    def placed(self, placed: Sequence[Any]) -> None:
        """All are in, each in its place (`Placed`)."""
        for job, one in zip(self._jobs, placed, strict=True):
            self._end(job, one, None)

    def broke(self, wrong: BaseException) -> None:
        """The call ended with this. Some may be in all the same."""
        places = range(len(self._jobs))
        placed: Sequence[Any] = [None] * len(self._jobs)
        errors: dict[int, BaseException] = dict.fromkeys(places, wrong)
        if isinstance(wrong, NotAllEnqueued):
            placed, errors = wrong.jobs, dict(wrong.errors)
        elif isinstance(wrong, NotDurable):
            placed, errors = wrong.jobs, dict.fromkeys(wrong.unsure, wrong)
        for place, job in enumerate(self._jobs):
            self._end(job, placed[place], errors.get(place))

    def _end(self, job: Enqueuing, placed: Any, wrong: BaseException | None) -> None:
        if placed is not None:
            job.id, job.duplicate = placed.id, placed.duplicate
        for one in self._after:
            try:
                one.enqueued(job, wrong)
            except (Exception, SystemExit) as failed:
                self._failed(one, failed)

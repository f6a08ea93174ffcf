"""Middleware around the attempts of a worker. Whatever it raises, the job goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from heavylift.attempt import job_info
from heavylift.decide import Settlement
from heavylift.errors import InvalidArgument
from heavylift.log import log
from heavylift.middleware import Attempt, Middleware, check_carrier, overriding
from heavylift.outcome import Outcome
from heavylift.worker.running import Running


class Attending:
    """Tells middleware of attempts, the outermost first when they begin and last when they end.

    Args:
        worker: its id.
        middleware: all there is; those that want to know of nothing here cost nothing.
    """

    def __init__(self, worker: str, middleware: Sequence[Middleware]) -> None:
        self._worker = worker
        self._all = middleware
        self._claimed = overriding(middleware, "claimed")
        self._ended = overriding(middleware, "ended")[::-1]
        self._told: set[tuple[str, str, str]] = set()

    def __bool__(self) -> bool:
        return bool(self._claimed or self._ended)

    def claimed(self, entry: Running) -> None:
        """A job was claimed, and its envelope could be read."""
        entry.attempt = attempt = self._attempt(entry)
        for one in self._claimed:
            before = dict(attempt.carrier)
            self._guarded(one, "claimed", lambda one=one: one.claimed(attempt))  # type: ignore[misc]
            try:
                attempt.carrier = check_carrier(attempt.carrier)
            except InvalidArgument as wrong:
                attempt.carrier = before
                self._tell(one, "claimed", wrong)

    def ended(self, entry: Running, outcome: Outcome, settlement: Settlement) -> None:
        """An attempt has come to an outcome."""
        if entry.envelope is None:
            return
        attempt = entry.attempt or self._attempt(entry)
        for one in self._ended:
            self._guarded(one, "ended", lambda one=one: one.ended(attempt, outcome, settlement))  # type: ignore[misc]

    def flush(self) -> None:
        """The worker has ended."""
        for one in overriding(self._all, "flush"):
            self._guarded(one, "flush", one.flush)

    def _attempt(self, entry: Running) -> Attempt:
        assert entry.envelope is not None
        job = job_info(entry.job.id, entry.job.queue, entry.envelope)
        return Attempt(job, entry.job.counters.starts, entry.job.previous or self._worker, dict(job.carrier))

    def _guarded(self, one: Middleware, hook: str, call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as wrong:  # the thread is the worker's, and has other things to do
            self._tell(one, hook, wrong)

    def _tell(self, one: Middleware, hook: str, wrong: BaseException) -> None:
        """Once for each kind: what fails for one job most likely fails for all."""
        kind = type(one).__qualname__, hook, type(wrong).__qualname__
        if kind not in self._told:
            self._told.add(kind)
            log.error("middleware failed; the job goes on (told once)", middleware=kind[0], hook=hook, exc_info=wrong)

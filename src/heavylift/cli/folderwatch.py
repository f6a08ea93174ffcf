"""The loop that watches a folder and hands on what its scanner finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import watchfiles

from heavylift.cli.folder import Scanner, Watched
from heavylift.client import Client
from heavylift.errors import InvalidArgument, StoreError
from heavylift.job import JobSpec, State
from heavylift.log import log
from heavylift.service import Service

TICK = 100
"""Milliseconds between two looks while a file is being written."""

Enqueue = Callable[[JobSpec[Any], str], None]
"""Given a request and the id its job is to have."""


class FolderWatch(Service):
    """The loop: look whenever the system says that something changed, and again while a file is being written.

    Args:
        watched: the folder and its handler.
        enqueue: hands on one request.
    """

    def __init__(
        self, watched: Watched, enqueue: Enqueue, on_crash: Callable[[BaseException], None] | None = None
    ) -> None:
        super().__init__(f"watch-{watched.folder.name}", on_crash)
        self._scanner = Scanner(watched)
        self._enqueue = enqueue
        self._refused = False

    def look(self) -> None:
        """One look at the folder. Files that cannot be handed on now are kept for the next."""
        for reference, id in self._scanner.scan():
            try:
                self._enqueue(self._scanner.watched.request(reference), id)
            except StoreError as refused:
                if not self._refused:
                    log.warning("files found cannot be enqueued yet, trying again", file=reference, error=str(refused))
                self._refused = True
                return
            except InvalidArgument as wrong:
                log.warning("a file cannot be given to the handler", file=reference, error=str(wrong))
            self._refused = False
            self._scanner.done(reference)

    def look_until_still(self, patience: float = 2.0) -> None:
        """Look until no file is being written any more, at most `patience` seconds."""
        end = time.monotonic() + patience
        self.look()
        while self._scanner.waiting and time.monotonic() < end and not self.stopping.wait(TICK / 1000):
            self.look()

    def run(self) -> None:
        """Look, until stopped."""
        self.look()
        for changes in self._changes():
            if changes or self._scanner.waiting:
                self.look()

    def _changes(self) -> Iterator[Any]:
        """The folder's changes as they come, none every tick; by polling where the system does not tell of them."""
        for polling in (False, True):
            try:
                yield from watchfiles.watch(
                    self._scanner.watched.folder,
                    watch_filter=None,
                    debounce=200,
                    step=50,
                    rust_timeout=TICK,
                    yield_on_timeout=True,
                    stop_event=self.stopping,
                    raise_interrupt=False,
                    recursive=False,
                    force_polling=polling or None,
                )
                return
            except OSError as wrong:
                if polling:
                    raise
                log.warning("the system does not tell of changes, so they are polled for", error=str(wrong))


def enqueue_once(client: Client, spec: JobSpec[Any], id: str) -> None:
    """Enqueue under a given id, unless such a job waits, runs or has failed.

    One that has completed is run again: whoever asks has seen that its output is not there.
    """
    job = client.enqueue(spec, id=id)
    if job.duplicate and job.state() == State.COMPLETED:
        job.remove()
        client.enqueue(spec, id=id)

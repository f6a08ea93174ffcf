"""One run of a worker, from its handlers to its exit code. Loaded only by the command that needs it."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing import util
from typing import NoReturn

from rich.text import Text

from heavylift.cli import banner, exits, logs
from heavylift.cli.atwork import AtWork
from heavylift.cli.folder import Watched
from heavylift.cli.session import Session
from heavylift.cli.signals import Signals
from heavylift.errors import InvalidArgument
from heavylift.locate import Place
from heavylift.log import log
from heavylift.registry import Registry
from heavylift.service import Service
from heavylift.settings import Settings
from heavylift.worker.worker import Worker


class Run:
    """A worker, what it is shown with, and what feeds it.

    Args:
        session: of the command.
        settings: of the worker.
        modules: with handlers, beside the folder `handlers/`.
        watch: `FOLDER:HANDLER` of each folder to watch.
        level: of the log lines to show.
    """

    def __init__(
        self, session: Session, settings: Settings, modules: Sequence[str], watch: Sequence[str], level: str
    ) -> None:
        logs.configure(session.out, level)
        self._log_completed = not session.out.is_terminal and level in ("debug", "info")  # else the board shows them
        self._session = session
        self._settings = settings
        self._modules = modules
        self._registry = Registry.load(settings.root, modules)
        if not self._registry.handlers:
            raise InvalidArgument(
                "handlers/", str(settings.root), "has no handlers; `heavylift init .` writes two, or name a module"
            )
        self._feeders: list[Service] = []
        self._watched = [Watched.parse(text, self._registry, settings.root) for text in watch]

    def go(self, *, burst: bool) -> int:
        """Run until told to end, or drained; the exit code."""
        place = Place(self._settings)
        self._session.closing.callback(place.leave)
        worker = Worker(
            self._settings,
            self._registry,
            modules=self._modules,
            locate=place.find,
            log_completed=self._log_completed,
        )
        signals = Signals(
            stop=partial(self._end, worker), hurry=partial(self._hurry, worker), quiet=partial(self._quiet, worker)
        )
        signals.install()
        try:
            self._work(worker, burst)
        finally:
            ended = worker.stop()
        code = self._code(worker, signals, ended)
        if worker.left_behind:
            self._leave(worker, code)
        return code

    def _leave(self, worker: Worker, code: int) -> NoReturn:
        """End at once: the interpreter would wait for children that do not end, for ever."""
        log.warning("processes are left behind: they do not end though they were killed", pids=worker.left_behind)
        self._session.closing.close()
        shutil.rmtree(util.get_temp_dir(), ignore_errors=True)  # as the interpreter would have
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)

    def _work(self, worker: Worker, burst: bool) -> None:
        worker.start()
        if worker.done.is_set():
            return
        gc.collect()
        gc.freeze()  # what is loaded by now stays: not looking at it again and again is worth a tenth of the work
        self._greet(worker)
        with ExitStack() as running:
            if self._session.out.is_terminal:
                running.enter_context(started(AtWork(worker, self._session.out)))
            running.callback(worker.stop)
            self._feed(worker, running, burst)
            if burst:
                worker.wait_drained()
            else:
                worker.done.wait()

    def _feed(self, worker: Worker, running: ExitStack, burst: bool) -> None:
        """Let the watched folders fill the queues. A burst takes what is there now."""
        if not self._watched:
            return
        from heavylift.cli.folderwatch import FolderWatch, enqueue_once  # needs watchfiles
        from heavylift.client import Client

        client = running.enter_context(Client(settings=self._settings))
        for folder in self._watched:
            watch = FolderWatch(folder, partial(enqueue_once, client), lambda _: worker.done.set())
            self._feeders.append(watch)
            if burst:
                watch.look_until_still()
            else:
                running.enter_context(started(watch))

    def _greet(self, worker: Worker) -> None:
        lanes = {queue.name: queue.lane for queue in worker.queues.queues.values()}
        if self._session.out.is_terminal:
            said = self._session.said
            banner.show(self._session.out, self._settings, self._registry, lanes, self._watched, said)
        else:
            log.info(
                "worker ready",
                worker=worker.id,
                redis=banner.where(self._settings),
                queues=lanes,
                handlers=[handler.name for handler in self._registry.handlers],
                slots=self._settings.slots,
                places=self._settings.places,
                watches=[f"{folder.folder}:{folder.handler.name}" for folder in self._watched],
            )

    def _end(self, worker: Worker) -> None:
        running = len(worker.running)
        log.info("ending", running=running, deadline_s=self._settings.deadline if running else 0)
        worker.quiet()
        worker.done.set()

    def _hurry(self, worker: Worker) -> None:
        log.warning("not waiting for running jobs: they go back to their place")
        worker.hurry()

    def _quiet(self, worker: Worker) -> None:
        if worker.quiet(not worker.is_quiet):
            log.info("claiming nothing more" if worker.is_quiet else "claiming again")

    def _code(self, worker: Worker, signals: Signals, ended: bool) -> int:
        completed = worker.sink.outcomes.get("completed", 0)
        others = sum(worker.sink.outcomes.values()) - completed
        log.info("ended", completed=completed, others=others)
        crashes = [crash for crash in (worker.crashed, *(feeder.crashed for feeder in self._feeders)) if crash]
        if crashes:
            self._session.err.print(Text(f"the worker crashed: {crashes[0]!r}", style="red"))
            return exits.FAILED
        if not ended:
            log.warning("not everything could be written to redis: what is missing comes back when its locks expire")
        return exits.HURRIED if signals.hurried.is_set() else exits.OK


@contextmanager
def started(service: Service) -> Iterator[None]:
    """A service that runs while the block does."""
    service.start()
    try:
        yield
    finally:
        service.stop()

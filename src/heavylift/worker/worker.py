"""The worker: builds the parts, starts them in order, stops them in reverse. It has no loop of its own.

Threads of a worker, beside those of its lanes: `dispatcher` (command connection and mailbox), `heartbeat`,
`relay`, `answering`, `handover`, `scheduler` and `janitor`, each with its own connection to Redis.

Shutdown: claim no more; let running attempts finish until the deadline; ask the rest to stop and put their jobs
back at no cost; write what is left to write; go. With Redis away it ends all the same, within 2 s of the deadline and
the grace: what could not be written comes back by itself when the locks expire.
"""

from __future__ import annotations

import itertools
import os
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from heavylift.errors import Unavailable
from heavylift.files import Roots
from heavylift.lanes.cpu import CpuLane
from heavylift.lanes.io import IoLane
from heavylift.lanes.lane import Lane, LaneName
from heavylift.log import log
from heavylift.middleware import Middleware, checked, load
from heavylift.registry import Registry
from heavylift.request import Requests
from heavylift.service import Service
from heavylift.settings import Settings
from heavylift.store.channel import Channel
from heavylift.store.connection import Connection, Target
from heavylift.store.jobs import Jobs
from heavylift.store.scripts import Scripts
from heavylift.store.server import check_server
from heavylift.worker.announcing import Announcing
from heavylift.worker.answering import Answering
from heavylift.worker.answers import ANSWERS
from heavylift.worker.attending import Attending
from heavylift.worker.contact import Contact
from heavylift.worker.dispatcher import Dispatcher
from heavylift.worker.drained import drained
from heavylift.worker.handover import HandOver
from heavylift.worker.heartbeat import Heartbeat
from heavylift.worker.janitor import Janitor
from heavylift.worker.mailbox import Mailbox
from heavylift.worker.queues import ServedQueues
from heavylift.worker.relay import Relay
from heavylift.worker.running import RunningTable, ask_to_stop
from heavylift.worker.scheduler import Scheduler
from heavylift.worker.settler import Settler
from heavylift.worker.sink import WorkerSink


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


FLUSH = 1.0
"""Seconds, after the last attempt has ended, to get the last settlements to Redis."""


class Worker:
    """One worker process: claims from its queues, runs in its lanes, settles what comes of it.

    Args:
        settings: see `Settings`.
        registry: the handlers. Their queues are served unless the settings say which.
        modules: the modules the handlers are in, by name; the cpu lane's processes import them.
        locate: says where Redis is, asked at every connect (an embedded server may have to be started again).
        log_completed: have a log line for each attempt that completed, too; others always have one.
        middleware: objects instead of those that the settings name; the cpu lane's processes have none of these.

    Raises:
        InvalidArgument: a middleware of the settings cannot be loaded.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        *,
        modules: Sequence[str],
        locate: Callable[[], Target] | None = None,
        log_completed: bool = False,
        middleware: Sequence[Middleware] | None = None,
    ) -> None:
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.settings = settings
        self.registry = registry
        self.middleware = load(settings.middleware, settings.root) if middleware is None else checked(middleware)
        self.queues = ServedQueues.build(registry.lanes, settings.queues, settings.strict, settings.costs)
        self.done = threading.Event()
        self._roots = Roots.of(settings)
        self.crashed: BaseException | None = None
        self._locate = locate or (lambda: Target.from_settings(settings))
        self._started_at = time.time()
        self._version = version("heavylift")  # it is in a file, which a beat might be unable to open
        self._guard = threading.Lock()  # held by the start, then by the stop
        self._started = self._stopped = self._asked_to_stop = False
        self._hurried = False
        self._build(modules)
        self.settler.log_completed = log_completed

    def _build(self, modules: Sequence[str]) -> None:
        """Make the parts, each after those that it is given."""
        jobs, crashed = Jobs(self.settings.prefix, Scripts(single_node=not self.settings.cluster)), self._crashed
        self.jobs = jobs
        self.running = RunningTable()
        self.relay = Relay(jobs, self._contact("relay"), crashed)
        self.attending = Attending(self.id, self.middleware)
        self.settler = Settler(self.id, self.registry, self.relay, self.attending, ready=self._nudge)
        self.answering = Answering(jobs, self._contact("answering"), ANSWERS, on_crash=crashed)
        self.sink = WorkerSink(self.running, self.settler, self.relay, self.answering, nudge=self._nudge)
        self.lanes = self._lanes(modules)
        self.handover = HandOver(jobs, self._contact("handover"), crashed)
        self.scheduler = self._scheduler()
        self.announcing = Announcing(jobs, list(self.queues.queues), self.registry, self.scheduler.declare)
        numbers = itertools.count(1)  # of the calls that are numbered, whoever makes them
        self.dispatcher = self._dispatcher(numbers)
        self.heartbeat = self._heartbeat()
        self.janitor = self._janitor(numbers)
        self._services: list[Service] = [
            self.relay,
            self.answering,
            self.heartbeat,
            self.handover,
            self.dispatcher,
            self.janitor,
            self.scheduler,
        ]

    def _scheduler(self) -> Scheduler:
        return Scheduler(
            self.jobs,
            self._contact("scheduler"),
            self.registry,
            queues=list(self.queues.queues),
            requests=Requests(self.settings.max_payload),
            poll=self.settings.poll,
            on_crash=self._crashed,
        )

    def _dispatcher(self, numbers: Iterator[int]) -> Dispatcher:
        return Dispatcher(
            self.id,
            self.jobs,
            self._contact("dispatcher"),
            Mailbox(self._open_channel),
            numbers=numbers,
            registry=self.registry,
            lanes=self.lanes,
            queues=self.queues,
            running=self.running,
            settler=self.settler,
            handover=self.handover,
            scheduler=self.scheduler,
            attending=self.attending,
            lock=self.settings.lock,
            poll=self.settings.poll,
            grace=self.settings.grace,
            changed=lambda: self.heartbeat.wake(),
            on_crash=self._crashed,
        )

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(
            self.id,
            self.jobs,
            self._contact("heartbeat"),
            self.running,
            lock=self.settings.lock,
            interval=self.settings.heartbeat,
            facts=self.facts,
            on_crash=self._crashed,
        )

    def _janitor(self, numbers: Iterator[int]) -> Janitor:
        contact = self._contact("janitor")
        return Janitor(
            self.id,
            self.jobs,
            contact,
            numbers=numbers,
            running=self.running,
            settler=self.settler,
            handover=self.handover,
            queues=list(self.queues.queues),
            settings=self.settings,
            in_doubt=self.heartbeat.in_doubt,
            on_sweep=lambda queue, epoch: self.announcing.swept(queue, epoch, contact),
            on_crash=self._crashed,
        )

    def _lanes(self, modules: Sequence[str]) -> dict[LaneName, Lane]:
        wanted = {queue.lane for queue in self.queues.queues.values()}
        lanes: dict[LaneName, Lane] = {}
        if "io" in wanted:
            lanes["io"] = IoLane(self.registry, self.settings, self.sink, self.middleware, self._crashed)
        if "cpu" in wanted:
            lanes["cpu"] = CpuLane(self.settings, modules, self.sink)
        return lanes

    # --- life -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Wait for Redis, then start everything. Returns when jobs can be claimed.

        Raises:
            ServerUnsupported: the server is too old or would lose jobs; says what to do.
        """
        with self._guard:
            self._wait_for_redis()
            if self._leaving():
                return
            self._started = True
            self._roots.install()
            for lane in self.lanes.values():
                lane.start(self._leaving)
            for service in self._services:
                if not self._leaving():
                    service.start()

    def stop(self, deadline: float | None = None) -> bool:
        """Shut down gracefully; `deadline` seconds for running attempts. True if everything ended.

        May be called from any thread and more than once; a second caller waits for the first. A start that is under way
        is given up.
        """
        self._asked_to_stop = True
        allowed = self.settings.deadline if deadline is None else deadline
        if self.crashed is not None:
            allowed = 0.0  # without one of its loops it can finish nothing
        with self._guard:
            if not self._stopped:
                self._stopped = True
                if self._started:
                    self._shut_down(allowed)
                    self._roots.uninstall()
            self.done.set()
        return not any(service.running for service in self._services)

    @property
    def is_quiet(self) -> bool:
        """It claims nothing more, whoever has said so."""
        return self.dispatcher.quiet

    def quiet(self, on: bool = True) -> bool:
        """Claim nothing more (or again); running attempts go on. False if it is to end, and so stays quiet."""
        if self._leaving() and not on:
            return False
        self.dispatcher.quiet = on
        self.dispatcher.nudge()
        return True

    def hurry(self) -> None:
        """Do not wait for running attempts any longer: ask all to stop now."""
        self._hurried = True
        for entry in self.running.entries():
            ask_to_stop(entry, "shutdown")

    def wait_drained(self, horizon: float = 60.0) -> None:
        """Wait until no job of the served queues is waiting, running or due within `horizon` seconds."""
        contact = self._contact("drain")
        try:
            while not self.done.wait(0.1):
                idle = not len(self.running) and self.handover.idle()  # asked first: either may make jobs ready
                if idle and drained(self.jobs, contact, self.queues.queues, horizon) and not len(self.running):
                    return
        finally:
            contact.close()

    # --- facts ------------------------------------------------------------------------------------------

    def facts(self) -> dict[str, str | int | float]:
        """What is shown of this worker to others: a flat record; what has parts is JSON."""
        return {
            "id": self.id,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": self._version,
            "started_at": int(self._started_at * 1000),
            "quiet": int(self.dispatcher.quiet),
            "queues": _json({queue.name: queue.lane for queue in self.queues.queues.values()}),
            "costs": _json({queue.name: queue.cost for queue in self.queues.queues.values() if queue.cost > 1}),
            "handlers": _json([handler.name for handler in self.registry.handlers]),
            "lanes": _json({name: lane.snapshot() for name, lane in self.lanes.items()}),
            "running": _json([entry.job.id for entry in self.running.entries()[:100]]),
            "claimed": self.dispatcher.claimed,
            "settled": self.dispatcher.settled,
            "locks_lost": self.heartbeat.lost,
            "recovered": self.janitor.recovered,
            "forgotten": self.announcing.forgotten,
        }

    @property
    def left_behind(self) -> list[int]:
        """Processes that `stop` could not end: they hang in the system. What ends this one must not wait for them."""
        return [pid for lane in self.lanes.values() if isinstance(lane, CpuLane) for pid in lane.left_behind]

    # --- inside -----------------------------------------------------------------------------------------

    def _contact(self, role: str) -> Contact:
        return Contact(role, self._connect)

    def _connect(self, role: str) -> Connection:
        return Connection(self._locate(), name=f"heavylift:{role}")

    def _open_channel(self) -> Channel:
        channel = Channel(self._locate(), name="heavylift:mailbox")
        try:
            channel.subscribe([self.jobs.common.worker_channel(self.id)])
            poll = select.poll()  # takes no descriptor
            poll.register(channel.fileno(), select.POLLIN)
            poll.poll(self.settings.connect_timeout * 1000)  # confirmed by then
            channel.read()
        except BaseException:
            channel.close()
            raise
        return channel

    def _nudge(self) -> None:
        self.dispatcher.nudge()

    def _leaving(self) -> bool:
        """It is to end, so what still starts need not."""
        return self._asked_to_stop or self.done.is_set()

    def _crashed(self, crash: BaseException) -> None:
        """A loop has died of a defect: a worker without it must not go on."""
        self.crashed = self.crashed or crash
        self.done.set()

    def _wait_for_redis(self) -> None:
        contact = self._contact("start")
        try:
            while not self._leaving():
                try:
                    self._check_server()
                except Unavailable as away:
                    contact.lost(away)
                    self.heartbeat.doubt()
                    self.done.wait(contact.pause())
                    continue
                try:
                    if self.announcing.over(contact):
                        break
                except Unavailable:
                    pass
                self.done.wait(contact.pause())
        finally:
            contact.close()

    def _check_server(self) -> None:
        connection = self._connect("check")
        try:
            for warning in check_server(connection):
                log.warning(warning)
        finally:
            connection.close()

    def _shut_down(self, allowed: float) -> None:
        self.dispatcher.ending = True
        self.quiet()
        self.janitor.stop(0.0)
        self.scheduler.stop(0.0)
        deadline = time.monotonic() + allowed
        while not (self.running.wait_empty(0.05) or self._hurried or time.monotonic() >= deadline):
            pass
        closing = self._close_lanes()
        self.dispatcher.give_up_at = time.monotonic() + FLUSH
        self.answering.stop(FLUSH)  # what waits for it is to be settled
        written = self.dispatcher.stop(FLUSH)
        for thread in closing:
            thread.join()
        for service in self._services:
            service.stop(0.0)
        until = time.monotonic() + (FLUSH if written and self.dispatcher.in_contact else 0.1)
        for service in self._services:
            service.stop(max(0.0, until - time.monotonic()))
        self.attending.flush()

    def _close_lanes(self) -> list[threading.Thread]:
        """Close all lanes at once, so that there is one grace; returns when their attempts have ended."""
        closing = [
            threading.Thread(
                target=lane.close, args=(self.settings.grace,), name=f"heavylift-close-{name}", daemon=True
            )
            for name, lane in self.lanes.items()
        ]
        for thread in closing:
            thread.start()
        while any(thread.is_alive() for thread in closing) and any(
            entry.lane is not None and not entry.over for entry in self.running.entries()
        ):
            time.sleep(0.005)
        return closing

"""The dispatcher: one thread, one command connection; claims jobs, hands them to the lanes, writes what they came to.

A round trip carries, for every queue that has something to say, one batch of settlements and one claim. There
is no timer in between: what has gathered while one round trip was under way goes out with the next, so batches
grow by themselves under load, and a completion waits at most one round trip.

What a round trip has claimed is handed to the lanes while Redis works at the next one: the dispatcher's part of
the work and Redis' go on at the same time. For the same reason a claim takes no more than half of the usual places,
so that one half runs while the other is written and claimed anew.

**Numbered calls.** Claims and settlements carry a number. If a reply is lost, the very same calls are sent again
under the same numbers until they are answered; Redis then gives the stored answer and changes nothing. Until then
no new call of that kind goes to that queue, and the places of an unanswered claim stay reserved.

**Nothing is claimed without a free place.** See `queues.ServedQueues`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from heavylift.errors import StoreError, Unavailable
from heavylift.lanes.lane import Lane, LaneName
from heavylift.log import log
from heavylift.registry import Registry
from heavylift.service import Service
from heavylift.store.call import Call
from heavylift.store.claiming import ClaimReply
from heavylift.store.jobs import BATCH_BYTES, Jobs
from heavylift.store.settling import SettleItem
from heavylift.worker.attending import Attending
from heavylift.worker.contact import Contact
from heavylift.worker.handover import HandOver
from heavylift.worker.mailbox import Mailbox
from heavylift.worker.queues import ServedQueue, ServedQueues
from heavylift.worker.running import RunningTable, ask_to_stop
from heavylift.worker.scheduler import Scheduler
from heavylift.worker.settler import Settler
from heavylift.worker.starting import Starting

MOST_CLAIMED = 50
MOST_SETTLED = 50
"""Bounds of one script call, beside `BATCH_BYTES`, so that no call holds Redis up for long."""

REFUSED_PAUSE = 0.05
"""Seconds before a refused call is sent again (a key is moving, a right is missing)."""

Kind = Literal["settle", "claim", "pass_on"]


@dataclass(slots=True)
class _Pending:
    """A call that has not been answered yet. `sent` is when it was first sent: the lock counts from there."""

    kind: Kind
    queue: str
    call: Call[Any]
    items: list[SettleItem] = field(default_factory=list)
    credits: int = 0
    sent: float = 0.0
    not_before: float = 0.0


class Dispatcher(Service):
    """See the module. All but `quiet`, `nudge` and the counters belongs to its own thread."""

    def __init__(
        self,
        worker: str,
        jobs: Jobs,
        contact: Contact,
        mailbox: Mailbox,
        *,
        numbers: Iterator[int],
        registry: Registry,
        lanes: Mapping[LaneName, Lane],
        queues: ServedQueues,
        running: RunningTable,
        settler: Settler,
        handover: HandOver,
        scheduler: Scheduler,
        attending: Attending,
        lock: float,
        poll: float,
        grace: float,
        changed: Callable[[], None],
        on_crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`numbers` are the worker's: shared by all who make numbered calls, so that no token comes twice; `changed` is
        called when something was, that is shown of the worker.
        """
        super().__init__("dispatcher", on_crash)
        self.quiet = self.ending = False
        self.claimed = 0
        self.settled = 0
        self.rounds = 0
        self.give_up_at: float | None = None
        self._worker = worker
        self._jobs = jobs
        self._contact = contact
        self._mailbox = mailbox
        self._lanes = lanes
        self._queues = queues
        self._running = running
        self._settler = settler
        self._handover = handover
        self._scheduler = scheduler
        self._lock = lock
        self._poll = poll
        self._numbers = numbers
        self._changed = changed
        self._unanswered: dict[tuple[Kind, str], _Pending] = {}
        self._pass_on: set[str] = set()
        self._retry_at = 0.0
        self._starting = Starting(registry, lanes, running, settler, self.stopping.is_set, attending, grace)

    # --- from any thread --------------------------------------------------------------------------------

    def nudge(self) -> None:
        """Something has changed: an outcome is in, a place is free."""
        self._mailbox.nudge()

    wake = nudge

    @property
    def in_contact(self) -> bool:
        """False while Redis cannot be reached."""
        return self._contact.down_since is None

    # --- the loop ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Gather, exchange, listen; until stopped and all that was claimed or ended is answered for, or given up."""
        try:
            while not self._finished():
                if self._mailbox.open():  # before any claim: an empty one says that this worker can be woken
                    self._queues.flag_all()
                now = time.monotonic()
                calls = self._gather(now) if now >= self._retry_at else []
                if calls:
                    self._exchange(calls, now)
                else:
                    self._starting.start()
                self._listen(0.0 if calls else self._sleep(time.monotonic()))
        finally:
            self._contact.close()
            self._mailbox.close()

    def _finished(self) -> bool:
        if not self.stopping.is_set():
            return False
        if self.give_up_at is not None and time.monotonic() >= self.give_up_at:
            return True
        unanswered = any(kind != "pass_on" for kind, _ in self._unanswered)
        return not unanswered and not self._starting and not self._settler.backlog()

    def _gather(self, now: float) -> list[_Pending]:
        """All calls of the next round trip: repeats first, then settlements, then claims."""
        self._queues.flag_due(now)
        calls = [pending for pending in self._unanswered.values() if pending.not_before <= now]
        calls += [self._settle(queue) for queue in self._settler.pending() if ("settle", queue) not in self._unanswered]
        if not self.quiet and not self.stopping.is_set():
            for name, lane in self._lanes.items():
                calls += self._claims(name, lane)
        calls += [_Pending("pass_on", queue, self._jobs.pass_on(queue)) for queue in self._pass_on]
        self._pass_on.clear()
        return calls

    def _settle(self, queue: str) -> _Pending:
        items = self._settler.take(queue, MOST_SETTLED, BATCH_BYTES)
        call = self._jobs.settle(queue, self._worker, next(self._numbers), items)
        return _Pending("settle", queue, call, items=items)

    def _claims(self, name: LaneName, lane: Lane) -> list[_Pending]:
        inflight = {p.queue: p for p in self._unanswered.values() if p.kind == "claim"}
        asked = ((self._queues.queues[p.queue], p.credits) for p in inflight.values())
        size = lane.size
        reserved = sum(credits * queue.needs(size) for queue, credits in asked if queue.lane == name)
        reserved += self._starting.waiting(name, size)
        if self._queues.costly:
            reserved += sum(needs - 1 for needs in self._in_lane(lane, size))
        allotted = self._queues.allot(name, lane.free() - reserved, inflight, size=size, most=MOST_CLAIMED)
        self._pass_on_unserved(name, {queue.name for queue, _ in allotted})
        return [self._claim(queue, credits) for queue, credits in allotted]

    def _in_lane(self, lane: Lane, size: int) -> Iterator[int]:
        """Places that each attempt in this lane takes."""
        for entry in self._running.entries():
            if entry.lane is lane and not entry.over and (queue := self._queues.queues.get(entry.job.queue)):
                yield queue.needs(size)

    def _pass_on_unserved(self, lane: LaneName, asked: set[str]) -> None:
        """Wake-ups for queues that get no place now are for somebody else."""
        for queue in self._queues.queues.values():
            if queue.woken and queue.lane == lane:
                queue.woken = False
                if queue.name not in asked:
                    self._pass_on.add(queue.name)

    def _claim(self, queue: ServedQueue, credits: int) -> _Pending:
        call = self._jobs.claim(
            queue.name,
            self._worker,
            next(self._numbers),
            credits,
            lease_ms=int(self._lock * 1000),
            sleep_ms=int(self._poll * 1000) + 1000,
        )
        return _Pending("claim", queue.name, call, credits=credits)

    def _exchange(self, calls: list[_Pending], now: float) -> None:
        """One round trip. What is not answered stays, and goes again."""
        for pending in calls:
            pending.sent = pending.sent or now
            self._unanswered[pending.kind, pending.queue] = pending
        try:
            replies = self._contact.round_trip([pending.call for pending in calls], self._starting.start)
        except Unavailable:
            self._retry_at = time.monotonic() + self._contact.pause()
            for pending in calls:
                if pending.kind == "pass_on":  # a hint only; the poll makes up for it
                    del self._unanswered[pending.kind, pending.queue]
            return
        self.rounds += 1
        for pending, reply in zip(calls, replies, strict=True):
            if isinstance(reply, StoreError):
                self._was_refused(pending, reply)
                continue
            del self._unanswered[pending.kind, pending.queue]
            if pending.kind == "claim":
                self._was_claimed(pending, reply)
            elif pending.kind == "settle":
                self._was_settled(pending, reply)

    def _was_refused(self, pending: _Pending, why: StoreError) -> None:
        if pending.kind == "pass_on":
            del self._unanswered[pending.kind, pending.queue]
            return
        if pending.not_before == 0.0:
            log.warning("redis refused a call, trying again", call=pending.kind, queue=pending.queue, error=str(why))
        pending.not_before = time.monotonic() + REFUSED_PAUSE

    # --- what the answers mean --------------------------------------------------------------------------

    def _was_claimed(self, pending: _Pending, reply: ClaimReply) -> None:
        queue = self._queues.queues[pending.queue]
        looked = pending.credits == 0
        queue.flagged = reply.more or (not looked and len(reply.jobs) >= pending.credits)
        if not (looked and reply.more):
            queue.seen = -1
        if len(reply.jobs) < pending.credits:
            self._queues.unused(queue, pending.credits - len(reply.jobs), self._lanes[queue.lane].size)
        due = self._poll * random.uniform(0.8, 1.0)
        if reply.next_due_ms is not None:
            due = min(due, reply.next_due_ms / 1000 + 0.001)
        queue.due = None if queue.flagged else time.monotonic() + due
        if reply.jobs:
            self.claimed += len(reply.jobs)
            self._starting.arrived(queue, reply.jobs, pending.sent)

    def _was_settled(self, pending: _Pending, answers: list[str]) -> None:
        if "outbox" in answers:
            self._handover.filled(pending.queue)  # before the attempts are forgotten: see `Worker.wait_drained`
        for item, answer in zip(pending.items, answers, strict=True):
            self._running.remove(item.id, item.token)
            if answer in ("ok", "outbox"):
                self.settled += 1
            else:
                log.warning("a late settlement was refused", job=item.id, queue=pending.queue, answer=answer)

    # --- waiting ----------------------------------------------------------------------------------------

    def _sleep(self, now: float) -> float:
        """Seconds until there is something to do without being told."""
        times = [pending.not_before for pending in self._unanswered.values()]
        if not self.quiet and (due := self._queues.next_due()) is not None:
            times.append(due)
        if self.give_up_at is not None:
            times.append(self.give_up_at)
        until = min(times, default=now + self._poll)
        return max(0.0, min(max(until, self._retry_at) - now, self._poll))

    def _listen(self, timeout: float) -> None:
        if messages := self._mailbox.wait(timeout):
            self._starting.start()  # a cancel may be about one of these
        for message in messages:
            self._heed(message)

    def _heed(self, message: bytes) -> None:
        """A message on this worker's channel: `wake <queue>`, `cancel <queue> <job>`, `schedules`, `scale <lane>
        <places>`, `quiet <0 or 1>`; no others.
        """
        word, _, rest = message.decode("utf-8", "replace").partition(" ")
        if word == "wake":
            self._woken(rest)
        elif word == "cancel":
            queue, _, job = rest.partition(" ")
            for entry in self._running.of_queue(queue, {job}):
                ask_to_stop(entry, "cancelled")
        elif word == "schedules":
            self._scheduler.changed()
        elif word in ("scale", "quiet"):
            self._steer(word, rest)

    def _steer(self, word: str, rest: str) -> None:
        name, _, number = rest.rpartition(" ")
        if not (number.isascii() and number.isdigit()):
            return
        if word == "quiet":
            if self.ending:
                return  # it stays quiet
            self.quiet = number != "0"
            self._queues.flag_all()
            log.info("claiming nothing more" if self.quiet else "claiming again")
        else:
            for lane in self._lanes.values():
                if lane.name == name:
                    lane.resize(int(number))
                    log.info("the lane was resized", lane=name, places=int(number))
        self._changed()

    def _woken(self, name: str) -> None:
        queue = self._queues.queues.get(name)
        if queue is None:
            return
        queue.flagged = True
        if self.quiet or self.stopping.is_set():
            self._pass_on.add(name)
        else:
            queue.woken = True

"""The settler: a buffer and a rule, not a thread.

Whoever has an outcome (a lane, the janitor, the dispatcher for a job it cannot start) puts it here. The rule,
`decide`, runs at once; the settlement waits in the buffer until the dispatcher's next round trip takes it.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable

from msgspec.structs import replace

from heavylift.codec import encode_progress
from heavylift.decide import Policy, Settlement, decide
from heavylift.errorinfo import error_info
from heavylift.job import AttemptRecord, Progress
from heavylift.log import log
from heavylift.outcome import Completed, ErrorInfo, Outcome, Raised, cause_of, error_of
from heavylift.registry import Registry
from heavylift.store.settling import SettleItem
from heavylift.worker.attending import Attending
from heavylift.worker.relay import Relay
from heavylift.worker.report import report
from heavylift.worker.running import Running

_NOTHING = ErrorInfo("", "")
_NO_POLICY = Policy()


class Settler:
    """Turns outcomes into settlements and keeps them, by queue, until they are taken.

    Attributes:
        log_completed: attempts that completed get a log line, too.
    """

    log_completed = False

    def __init__(
        self, worker: str, registry: Registry, relay: Relay, attending: Attending, ready: Callable[[], None]
    ) -> None:
        """`ready` is called, from the thread that brought it, when a settlement can be taken."""
        self._attending = attending
        self._worker = worker
        self._registry = registry
        self._relay = relay
        self._ready = ready
        self._buffers: dict[str, deque[SettleItem]] = {}
        self._guard = threading.Lock()

    def put(self, entry: Running, outcome: Outcome, lines: tuple[str, ...] = ()) -> Settlement:
        """Decide what an outcome means and keep it for the next round trip. Does not raise.

        Middleware is told first: who sees that a job has ended finds that it knows.
        """
        job = entry.job
        progress, checkpoint = self._relay.take(job.id, job.token)
        try:
            item = self._item(entry, outcome, lines, progress, checkpoint)
        except Exception as defect:  # there is something in it that cannot be written
            log.exception("what an attempt came to cannot be written; it has failed", job=job.id, queue=job.queue)
            outcome = Raised(error_info(defect))
            item = self._item(entry, outcome, (), None, checkpoint)
        try:
            self._tell(entry, outcome, item.settlement)
        finally:
            with self._guard:
                self._buffers.setdefault(job.queue, deque()).append(item)
            entry.ended = True
            self._ready()
        return item.settlement

    def drop(self, entry: Running, outcome: Outcome) -> None:
        """Note the end of an attempt whose lock is another's: there is nothing to settle."""
        self._relay.take(entry.job.id, entry.job.token)
        if self._attending:
            self._attending.ended(entry, outcome, self._decide(entry, outcome))

    def take(self, queue: str, count: int, size: int) -> list[SettleItem]:
        """Take the oldest settlements of a queue, at most `count` of them and about `size` bytes, but always one."""
        buffer = self._buffers.get(queue)
        taken: list[SettleItem] = []
        while buffer and len(taken) < count:
            weight = _weight(buffer[0])
            if taken and weight > size:
                break
            size -= weight
            taken.append(buffer.popleft())
        return taken

    def pending(self) -> list[str]:
        """Queues that have something to settle."""
        return [queue for queue, buffer in list(self._buffers.items()) if buffer]

    def backlog(self) -> int:
        """Settlements not yet taken."""
        return sum(len(buffer) for buffer in list(self._buffers.values()))

    def _tell(self, entry: Running, outcome: Outcome, settlement: Settlement) -> None:
        if settlement.to is not None and (self.log_completed or not isinstance(outcome, Completed)):
            report(entry, outcome, settlement)
        if self._attending:
            self._attending.ended(entry, outcome, settlement)

    def _item(
        self,
        entry: Running,
        outcome: Outcome,
        lines: tuple[str, ...],
        progress: Progress | None,
        checkpoint: bytes | None,
    ) -> SettleItem:
        return SettleItem(
            id=entry.job.id,
            token=entry.job.token,
            settlement=self._decide(entry, outcome),
            record=self._record(entry, outcome, lines),
            progress=None if progress is None else encode_progress(progress),
            checkpoint=checkpoint,
        )

    def _decide(self, entry: Running, outcome: Outcome) -> Settlement:
        if isinstance(outcome, Completed):  # nearly all of them, and no policy has a say in it
            return decide(outcome, entry.job.counters, _NO_POLICY, 0.0)
        policy = Policy() if entry.envelope is None else self._registry.policy(entry.envelope)
        counters = entry.job.counters
        if entry.got_on:
            counters = replace(counters, overcome=counters.crashes)
        try:
            return decide(outcome, counters, policy, random.random())
        except Exception:  # a backoff function is the user's code
            log.exception("the backoff of a handler raised; using the default", job=entry.job.id)
            return decide(outcome, counters, Policy(retries=policy.retries), random.random())

    def _record(self, entry: Running, outcome: Outcome, lines: tuple[str, ...]) -> AttemptRecord:
        error = error_of(outcome) or _NOTHING
        return AttemptRecord(
            number=entry.job.counters.starts,
            worker=entry.job.previous or self._worker,
            started_at=entry.started_at,
            ended_at=time.time_ns() // 1_000_000,
            cause=cause_of(outcome),
            error=error.type,
            message=error.message,
            traceback=error.traceback,
            fingerprint=error.fingerprint,
            log=lines,
        )


def _weight(item: SettleItem) -> int:
    """About how many bytes it takes to write this."""
    return 100 + sum(map(len, item.args))

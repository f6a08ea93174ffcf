"""What a client can do with single jobs and queues, each as a plan. See `plan` for what that is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar

from heavylift.client.jobwatch import JobWatch
from heavylift.client.plan import Plan, ask, ask_all, ask_in_parts, or_raise
from heavylift.client.queuewatch import QueueWatch
from heavylift.client.watching import Clock, JobKey, Watching, listen_until
from heavylift.codec import decode_result
from heavylift.errors import (
    InvalidArgument,
    JobCancelled,
    JobFailed,
    JobNotFound,
    ResultTimeout,
    StoreError,
)
from heavylift.job import JobRecord, Progress, State
from heavylift.options import ID, NAME, JobRef
from heavylift.store.call import Call
from heavylift.store.glance import ending, glance
from heavylift.store.jobs import Jobs

T = TypeVar("T")

HowCancelled: TypeAlias = Literal["cancelled", "asked", "ended"]
"""`cancelled`: nobody ran it. `asked`: it runs, its worker was told to stop it. `ended`: it was too late."""

AT_ONCE = 100
"""Reads sent together."""

OUTAGE = 60.0
"""Seconds without Redis that a wait without a time limit sits out."""

REGISTER_AFTER = 60.0
"""Seconds until a queue's name is written again, in case it was lost with everything else."""

AGAIN = 5.0
"""Seconds until it is tried again, if it was refused."""


class Operations:
    """Plans for single jobs and queues.

    Args:
        jobs: the store's verbs.
        patience: seconds a call is sent again while Redis cannot be reached.
        reread: longest pause between two reads of a job that is waited for, in seconds.
        max_payload: the largest size of a job's encoded arguments in bytes.
    """

    def __init__(self, jobs: Jobs, patience: float, reread: float, max_payload: int) -> None:
        self.jobs = jobs
        self.max_payload = max_payload
        self.patience = patience
        self.reread = reread
        self._registered: dict[str, float] = {}

    # --- finding ----------------------------------------------------------------------------------------

    def queues(self) -> Plan[list[str]]:
        """Names of all queues, sorted."""
        return (yield from ask(self.jobs.queues(), self.patience))

    def find(self, id: str, queue: str | None) -> Plan[str]:
        """The queue a job is in; looked for only if not given.

        Raises:
            JobNotFound: no queue has it.
        """
        check_id(id)
        if queue is not None:
            return check_queue(queue)
        return (yield from self.find_all([id]))[id]

    def find_all(self, ids: Iterable[str]) -> Plan[dict[str, str]]:
        """The queue that each of these jobs is in; all are looked for together.

        Raises:
            JobNotFound: no queue has one of them.
        """
        wanted = list(dict.fromkeys(ids))
        for id in wanted:
            check_id(id)
        names = (yield from self.queues()) if wanted else []
        asked = [(id, name) for id in wanted for name in names]
        calls = [ending(self.jobs.keys(name), id) for id, name in asked]
        endings = yield from ask_in_parts(calls, self.patience, AT_ONCE)
        found: dict[str, str] = {}
        for (id, name), there in zip(asked, endings, strict=True):
            if there is not None:
                found.setdefault(id, name)
        if missing := [id for id in wanted if id not in found]:
            raise JobNotFound(f"no queue has a job {missing[0]}")
        return found

    # --- one job ----------------------------------------------------------------------------------------

    def record(self, queue: str, id: str) -> Plan[JobRecord]:
        """All that is known of a job."""
        record = yield from ask(self.jobs.job(queue, id), self.patience)
        return there(record, queue, id)

    def glance(self, queue: str, id: str) -> Plan[JobRecord]:
        """What is known of a job but for its arguments, result and attempts."""
        record = yield from ask(glance(self.jobs.keys(queue), id), self.patience)
        return there(record, queue, id)

    def state(self, queue: str, id: str) -> Plan[State]:
        """Where a job is."""
        found = yield from ask(ending(self.jobs.keys(queue), id), self.patience)
        return there(found, queue, id).state

    def progress(self, queue: str, id: str) -> Plan[Progress | None]:
        """How far a job has said it is."""
        return (yield from self.glance(queue, id)).progress

    def result(self, queue: str, id: str, kind: Any, timeout: float | None) -> Plan[Any]:
        """Wait until a job has completed; what it returned.

        Raises:
            JobFailed, JobCancelled: that is how it ended. JobNotFound: it is not there, or not any more.
            ResultTimeout: it had not ended in time. Unavailable: Redis was away for too long to wait.
        """
        check_timeout(timeout)
        end = None if timeout is None else time.monotonic() + timeout
        look = partial(self._ended, queue, id, end)
        found = yield from look()  # it may have ended already: then there is nothing to listen for
        if found is None and (end is None or time.monotonic() < end):
            found = yield from listen_until([self.jobs.keys(queue).event_channel(id)], look, self.reread, end)
        if found is None:
            raise ResultTimeout(f"job {id} had not ended after {timeout:g} s; it goes on")
        return decode_result(found, kind)

    def _ended(self, queue: str, id: str, end: float | None) -> Plan[bytes | None]:
        """The result as stored, if the job has completed; None if it has not ended."""
        patience = OUTAGE if end is None else max(0.0, end - time.monotonic())
        found = there((yield from ask(ending(self.jobs.keys(queue), id), patience)), queue, id)
        if found.state is State.COMPLETED:
            return b"null" if found.result is None else found.result
        if found.state is State.CANCELLED:
            raise JobCancelled(id)
        if found.state is State.FAILED:
            raise _failure((yield from self.record(queue, id)))
        return None

    def waits_for(self, queue: str, id: str, most: int) -> Plan[list[JobRef]]:
        """Parents that a blocked job waits for."""
        state = yield from self.state(queue, id)
        return (yield from ask(self.jobs.pending(queue, id, most), self.patience)) if state is State.BLOCKED else []

    def cancel(self, queue: str, id: str) -> Plan[HowCancelled]:
        """Cancel a job, or have it stopped."""
        reply = yield from ask(self.jobs.cancel(queue, id), self.patience)
        return there(reply, queue, id).how

    def remove(self, queue: str, id: str) -> Plan[bool]:
        """Delete a job. False if it runs."""
        how = yield from ask(self.jobs.remove(queue, id), self.patience)
        if how == "gone":
            raise missing(queue, id)
        return how == "removed"

    # --- watching ---------------------------------------------------------------------------------------

    def watch(self, jobs: Iterable[JobKey], timeout: float | None) -> Plan[None]:
        """Tell what happens to jobs until all have ended, or time is up."""
        check_timeout(timeout)
        watches = {(queue, id): JobWatch(queue, id) for queue, id in jobs}
        clock = Clock(None if timeout is None else time.monotonic() + timeout, self.reread)
        watching = Watching(watches, self._glance, clock, min(self.patience, 1.0))
        yield from watching.until_ended([self.jobs.keys(queue).event_channel(id) for queue, id in watches])

    def watch_queues(self, queue: str | None, timeout: float | None) -> Plan[None]:
        """Tell what happens in a queue, or in all, until time is up."""
        check_timeout(timeout)
        clock = Clock(None if timeout is None else time.monotonic() + timeout, self.reread)
        place = self.jobs.common if queue is None else self.jobs.keys(check_queue(queue))
        watch = QueueWatch(self.jobs, place.event_pattern(), partial(self.named, queue), clock, min(self.patience, 1.0))
        yield from watch.run()

    def named(self, queue: str | None) -> Plan[Sequence[str]]:
        """The named queue, or all there are."""
        return (yield from self.queues()) if queue is None else [check_queue(queue)]

    def _glance(self, key: JobKey) -> Call[JobRecord | None]:
        return glance(self.jobs.keys(key[0]), key[1])

    # --- queues -----------------------------------------------------------------------------------------

    def pause(self, queue: str) -> Plan[None]:
        """Give out no more jobs of a queue."""
        answers = yield from self.ask_naming([self.jobs.pause(check_queue(queue))], [queue])
        or_raise(answers[0])

    def resume(self, queue: str) -> Plan[bool]:
        """Give them out again. False if it was not paused."""
        return (yield from ask(self.jobs.resume(check_queue(queue)), self.patience))

    def ask_naming(self, calls: Sequence[Call[Any]], queues: Iterable[str]) -> Plan[list[Any]]:
        """The calls' answers; once in a while the queues' names go along, for those who list queues."""
        now = time.monotonic()
        due = [queue for queue in queues if now - self._registered.get(queue, -REGISTER_AFTER) >= REGISTER_AFTER]
        if not due:
            return (yield from ask_all(calls, self.patience))
        naming = map(self.jobs.register_queue, due)
        answers = yield from ask_all([*calls, *naming], self.patience, needed=len(calls))
        for queue, answer in zip(due, answers[len(calls) :], strict=True):
            # In a Cluster another node may be away: that must not hold up each call to this one.
            self._registered[queue] = now - (REGISTER_AFTER - AGAIN if isinstance(answer, StoreError) else 0)
        return answers[: len(calls)]


def check_timeout(timeout: float | None) -> None:
    """Refuse a time that is none.

    Raises:
        InvalidArgument: it is not None and not zero or more seconds.
    """
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout >= 0):
        raise InvalidArgument("timeout", timeout, "give seconds, zero or more, or None to wait for ever")


def check_id(id: str, name: str = "id") -> str:
    """The id, if a job or a flow can have it.

    Raises:
        InvalidArgument: none can; it is called `name` there.
    """
    if not isinstance(id, str) or not ID.fullmatch(id):
        raise InvalidArgument(name, id, "use 1 to 200 letters, digits and _ . : @ -")
    return id


def check_queue(queue: str) -> str:
    """The name, if a queue can have it.

    Raises:
        InvalidArgument: none can.
    """
    if not isinstance(queue, str) or not NAME.fullmatch(queue):
        raise InvalidArgument("queue", queue, "use 1 to 100 letters, digits and _ . -")
    return queue


def missing(queue: str, id: str) -> JobNotFound:
    """What to raise when a job is not there."""
    return JobNotFound(f"queue {queue} has no job {id}: it was never there, or has been removed")


def there(found: T | None, queue: str, id: str) -> T:
    """What was found of a job.

    Raises:
        JobNotFound: nothing was.
    """
    if found is None:
        raise missing(queue, id)
    return found


NO_ATTEMPT = {
    "expired": "it had not started by the time given as expires",
    "malformed": "what is stored of it cannot be read",
    "parent_failed": "a job it waited for has failed",
}


def _failure(record: JobRecord) -> JobFailed:
    """How a failed job says so to whoever asks for its result."""
    reason = record.reason or "unknown"
    if not record.attempts or reason in NO_ATTEMPT:
        return JobFailed(record.id, reason, NO_ATTEMPT.get(reason, "no attempt is on record"))
    last = record.attempts[-1]
    message = ": ".join(part for part in (last.error, last.message) if part) or last.cause
    return JobFailed(record.id, reason, message, last.cause, last.traceback or None)

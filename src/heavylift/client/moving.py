"""What can be done with a single job by hand, as plans: run it again, now, at another time, before others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from heavylift.client.editing import Edit, NewArgs
from heavylift.client.linking import Blocked
from heavylift.client.operations import Operations, missing, there
from heavylift.client.plan import Plan, ask
from heavylift.duration import seconds
from heavylift.errors import InvalidArgument, UniqueHeld
from heavylift.job import new_id
from heavylift.options import JobOptions, check_options
from heavylift.store.flowing import RELIVED
from heavylift.store.jobs import Reprioritized, Rescheduled


def again(
    operations: Operations,
    queue: str,
    id: str,
    args: NewArgs | None,
    change: Mapping[str, Any] | None,
    *,
    any_end: bool,
) -> Plan[bool]:
    """Put an ended job back in line, with other arguments if they are given. False if it has not ended so.

    Raises:
        JobNotFound: there is no such job.
        InvalidArgument: both `args` and `change` were given.
        InvalidJob, PayloadTooLarge: the arguments are not those of its handler, or too large.
        UniqueHeld: another job holds its unique key.
    """
    envelope = b""
    if edit := Edit(args, change, operations.max_payload):
        stored = yield from ask(operations.jobs.raw(queue, id), operations.patience)
        if not stored:
            raise missing(queue, id)
        envelope = edit.envelope(stored.get(b"spec"))
    call = operations.jobs.replay(queue, [id], new_id(), envelope=envelope, any_end=any_end)
    word = (yield from ask(call, operations.patience))[0]
    if word == "gone":
        raise missing(queue, id)
    if word == "held":
        raise UniqueHeld(id)
    blocked = Blocked()
    blocked.note(queue, [id], [word])
    yield from blocked.link(operations.jobs, operations.patience)
    return word in RELIVED


def promote(operations: Operations, queue: str, id: str) -> Plan[bool]:
    """Run a delayed job now. False if it is not delayed."""
    if (yield from ask(operations.jobs.promote(queue, id), operations.patience)):
        return True
    yield from operations.state(queue, id)
    return False


def reschedule(
    operations: Operations, queue: str, id: str, delay: float | timedelta | None, at: datetime | None
) -> Plan[Rescheduled]:
    """Run a waiting or delayed job at another time."""
    if (delay is None) == (at is None):
        raise InvalidArgument("delay", delay, "give either delay or at")
    check_options(JobOptions(delay=delay, at=at))
    due = seconds("delay", delay or 0) if at is None else at.timestamp()
    call = operations.jobs.reschedule(queue, id, math.ceil(due * 1000), relative=at is None, nonce=new_id())
    return there((yield from ask(call, operations.patience)), queue, id)


def reprioritize(operations: Operations, queue: str, id: str, priority: int) -> Plan[Reprioritized]:
    """Give a job that has not been started another priority."""
    if priority is None:
        raise InvalidArgument("priority", priority, "give a whole number")
    check_options(JobOptions(priority=priority))
    return there((yield from ask(operations.jobs.reprioritize(queue, id, priority), operations.patience)), queue, id)

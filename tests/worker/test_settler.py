"""What has gathered for a queue is settled in calls that Redis can take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heavylift.errorinfo import ErrorInfo
from heavylift.errors import Unavailable
from heavylift.job import ClaimedJob, Counters
from heavylift.outcome import Completed, Outcome, Raised
from heavylift.registry import Registry
from heavylift.store.jobs import BATCH_BYTES, Jobs
from heavylift.worker.attending import Attending
from heavylift.worker.contact import Contact
from heavylift.worker.dispatcher import MOST_SETTLED
from heavylift.worker.relay import Relay
from heavylift.worker.running import Running
from heavylift.worker.settler import Settler

MANY = 200
LARGE = 50_000
"""Bytes of what one attempt brings along: 200 of them are 10 MB."""


def nobody(role: str) -> Iterator[None]:
    raise Unavailable(role)


def ended(settler: Settler, relay: Relay, kind: str) -> None:
    """200 attempts end, each with something large of this kind."""
    for number in range(MANY):
        job = ClaimedJob(f"job{number}", "q", "token", b"{}", Counters(starts=1))
        outcome: Outcome = Completed(b"7" * LARGE if kind == "result" else b"null")
        if kind == "traceback":
            outcome = Raised(ErrorInfo("ValueError", "no", "x" * LARGE))
        if kind == "checkpoint":
            relay.checkpointed("q", job.id, job.token, b"7" * LARGE)
        lines = ("x" * 1000,) * (LARGE // 1000) if kind == "log" else ()
        settler.put(Running(job, None, None, 0.0, 0), outcome, lines)


@pytest.mark.parametrize("kind", ["result", "checkpoint", "log", "traceback"])
def test_a_call_is_bounded_by_all_that_attempts_bring_along(kind: str) -> None:
    relay = Relay(Jobs(), Contact("relay", nobody))
    settler = Settler("w", Registry([]), relay, Attending("w", ()), ready=lambda: None)
    ended(settler, relay, kind)
    calls, taken = [], 0
    while settler.pending():
        items = settler.take("q", MOST_SETTLED, BATCH_BYTES)
        assert items, "always one at least: nothing stays behind"
        taken += len(items)
        calls.append(Jobs().settle("q", "w", len(calls) + 1, items))
    assert taken == MANY
    assert len(calls) >= MANY * LARGE // BATCH_BYTES
    assert all(sum(len(str(part)) for part in call.command) < 2 * BATCH_BYTES for call in calls)


def test_one_that_is_larger_than_a_call_goes_alone() -> None:
    relay = Relay(Jobs(), Contact("relay", nobody))
    settler = Settler("w", Registry([]), relay, Attending("w", ()), ready=lambda: None)
    for number in range(2):
        job = ClaimedJob(f"job{number}", "q", "token", b"{}", Counters(starts=1))
        settler.put(Running(job, None, None, 0.0, 0), Completed(b"7" * (BATCH_BYTES + 1)))
    assert [len(settler.take("q", MOST_SETTLED, BATCH_BYTES)) for _ in range(3)] == [1, 1, 0]

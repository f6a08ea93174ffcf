"""One log line for each attempt that has ended, graver the worse it is for the job."""

from __future__ import annotations

import time
from typing import Any

from heavylift.decide import Settlement
from heavylift.log import log
from heavylift.outcome import Cancelled, Completed, Interrupted, Outcome, cause_of, error_of
from heavylift.states import State
from heavylift.worker.running import Running


def report(entry: Running, outcome: Outcome, settlement: Settlement) -> None:
    """Say what an attempt came to: what was expected is `info`, a failure `warning`, a dead letter `error`."""
    error = error_of(outcome)
    facts: dict[str, Any] = {
        "job": entry.job.id,
        "queue": entry.job.queue,
        "handler": entry.envelope.handler if entry.envelope else None,
        "attempt": entry.job.counters.starts,
        "duration_s": round(time.time() - entry.started_at / 1000, 3),
        "outcome": cause_of(outcome),
        "error": error.message if error else None,
        "becomes": str(settlement.to),
        "reason": str(settlement.reason) if settlement.reason else None,
        "again_in_s": round(settlement.delay, 3) if settlement.delay else None,
        "correlation_id": entry.envelope.correlation_id if entry.envelope else None,
    }
    said = {name: fact for name, fact in facts.items() if fact is not None}
    if isinstance(outcome, (Completed, Cancelled, Interrupted)):
        log.info("attempt ended", **said)
    elif settlement.to is State.FAILED:
        log.error("attempt ended", **said)
    else:
        log.warning("attempt ended", **said)

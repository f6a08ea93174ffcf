"""Middleware for the tests of workers: it writes what it sees into a file, in whichever process it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from heavylift import Context, Middleware
from heavylift.decide import Settlement
from heavylift.middleware import Attempt, Enqueuing
from heavylift.outcome import Outcome, cause_of

TRAIL = "HEAVYLIFT_TEST_TRAIL"
"""The file, told by the environment as children have it too."""

here: ContextVar[str] = ContextVar("here", default="nowhere")


def note(**what: Any) -> None:
    with open(os.environ[TRAIL], "a") as file:
        file.write(json.dumps({**what, "pid": os.getpid()}) + "\n")


def trail(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Trail(Middleware):
    """Notes each hook and what it is told; sets `here` around the call."""

    def enqueuing(self, job: Enqueuing) -> None:
        note(hook="enqueuing", job=job.id, queue=job.queue)
        job.carrier["from"] = "producer"

    def enqueued(self, job: Enqueuing, wrong: BaseException | None) -> None:
        note(hook="enqueued", job=job.id, duplicate=job.duplicate, wrong=wrong and type(wrong).__name__)

    def claimed(self, attempt: Attempt) -> None:
        note(hook="claimed", job=attempt.job.id, number=attempt.number, carrier=attempt.carrier)
        attempt.carrier["by"] = attempt.worker

    def ended(self, attempt: Attempt, outcome: Outcome, settlement: Settlement) -> None:
        note(
            hook="ended", job=attempt.job.id, number=attempt.number, cause=cause_of(outcome), to=str(settlement.to),
            seconds=attempt.seconds,
        )  # fmt: skip

    @contextmanager
    def call(self, ctx: Context) -> Iterator[None]:
        here.set(ctx.job.id)  # not reset, on purpose
        note(hook="call", job=ctx.job.id, number=ctx.attempt, carrier=ctx.job.carrier, was=here.get())
        try:
            yield
        except BaseException as raised:
            note(hook="raised", job=ctx.job.id, raised=type(raised).__name__)
            raise
        finally:
            note(hook="returned", job=ctx.job.id)

    def flush(self) -> None:
        note(hook="flush")


class Inner(Middleware):
    """Shows who is outside."""

    def claimed(self, attempt: Attempt) -> None:
        note(hook="inner claimed", carrier=attempt.carrier)

    def ended(self, attempt: Attempt, outcome: Outcome, settlement: Settlement) -> None:
        note(hook="inner ended")

    @contextmanager
    def call(self, ctx: Context) -> Iterator[None]:
        note(hook="inner call", here=here.get())
        yield


class Broken(Middleware):
    """Fails wherever it does not matter for the job."""

    def enqueued(self, job: Enqueuing, wrong: BaseException | None) -> None:
        raise ZeroDivisionError("enqueued")

    def claimed(self, attempt: Attempt) -> None:
        attempt.carrier["n"] = 1  # type: ignore[assignment]
        raise ZeroDivisionError("claimed")

    def ended(self, attempt: Attempt, outcome: Outcome, settlement: Settlement) -> None:
        raise SystemExit("ended")

    def flush(self) -> None:
        raise ZeroDivisionError("flush")

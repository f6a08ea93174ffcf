"""What is named as secret is in Redis where the arguments are, and nowhere else that anybody looks."""

from __future__ import annotations

import io
from typing import Any

import pytest
import structlog

from heavylift.job import JobSpec, State
from heavylift.options import JobOptions
from tests.worker import handlers
from tests.worker.conftest import StartWorker, Store

PASSWORD, NUMBER = 'Hunter2\'s "pass"\n', "4111-1111"
CARD = {"number": NUMBER, "holder": "Ada"}


def shown(store: Store, job: str, queue: str) -> str:
    """All that Redis has of the job but the envelope, and all that a reader is given."""
    raw = store.connection.ask(store.jobs.raw(queue, job))
    assert b"Hunter2" in raw.pop(b"spec"), "the handler needs it"
    return repr(raw) + repr(store.record(job, queue))


@pytest.mark.parametrize("declared", [handlers.leak_here, handlers.leak_there], ids=["io", "cpu"])
def test_a_handler_gets_its_secrets_and_nobody_else_sees_them(
    start_worker: StartWorker, store: Store, declared: Any
) -> None:
    written = io.StringIO()
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(written), cache_logger_on_first_use=False)
    try:
        start_worker(queues={"light": 1, "heavy": 1})
        job = store.enqueue(declared.job(PASSWORD, CARD), queue=declared.queue)
        record = store.ended(job, declared.queue, timeout=20.0)
    finally:
        structlog.reset_defaults()
    assert record.state == State.FAILED
    (attempt,) = record.attempts[-1:]
    assert "[secret]" in attempt.message
    assert "[secret]" in attempt.traceback
    assert any("[secret]" in line for line in attempt.log), attempt.log
    assert record.args == {"password": "[secret]", "card": {"number": "[secret]", "holder": "Ada"}}
    for secret in ("Hunter2", NUMBER):
        assert secret not in shown(store, job, declared.queue)
        assert secret not in written.getvalue()
    assert record.progress is not None
    assert record.progress.message == "with [secret]"


def test_a_rejection_is_hushed(start_worker: StartWorker, store: Store) -> None:
    start_worker()
    job = store.enqueue(handlers.leak_here.job("keep-me-out", CARD))
    assert store.ended(job).attempts[-1].message == "cannot use '[secret]'"


def test_a_producer_without_the_code_names_them(start_worker: StartWorker, store: Store) -> None:
    start_worker()
    options = JobOptions(secret=("password",))
    job = store.enqueue(JobSpec("leaky", {"password": "Hunter2"}, queue="light", options=options), keep_ms=60_000)
    record = store.ended(job, timeout=20.0)
    assert record.attempts[-1].message == "no secret of its own: [secret]"
    assert "Hunter2" not in shown(store, job, "light")


def test_stored_arguments_that_do_not_fit_are_not_quoted(start_worker: StartWorker, store: Store) -> None:
    start_worker()
    args = {"password": 7777777, "card": {"number": NUMBER}, "Hunter2": "pasword"}
    job = store.enqueue(JobSpec("leak_here", args, queue="light"))
    record = store.ended(job)
    assert record.reason == "invalid"
    assert "7777777" not in record.attempts[-1].message

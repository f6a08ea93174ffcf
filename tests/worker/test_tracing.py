"""One trace from `enqueue` over the worker to the handler, in whichever process it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel

from heavylift import Client
from heavylift.worker.worker import Worker
from tests.waiting import wait_until
from tests.worker import handlers
from tests.worker.conftest import StartWorker
from tests.worker.tracing import SPANS, spans

TRACING = ("tests.worker.tracing:Tracing",)
BOTH = {"light": 1, "heavy": 1}

Wait = Callable[[int], list[dict[str, Any]]]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(SPANS, str(tmp_path / "spans"))
    return tmp_path / "spans"


@pytest.fixture
def wait(path: Path) -> Wait:
    """`wait(n)` gives the spans once there are n, in the order they ended."""

    def wait(count: int) -> list[dict[str, Any]]:
        wait_until(f"{count} spans", lambda: len(spans(path)) >= count)
        assert len(spans(path)) == count
        return spans(path)

    return wait


@pytest.fixture
def worker(start_worker: StartWorker, path: Path) -> Worker:
    return start_worker(queues=BOTH, middleware=TRACING)


@pytest.fixture
def client(worker: Worker) -> Iterator[Client]:
    with Client(settings=worker.settings) as client:
        yield client


def _kinds(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(span["kind"].partition(".")[2], span["name"]) for span in found]


@pytest.mark.parametrize("name", ["where_plain", "where_async", "where_heavy"])
def test_a_job_is_one_trace_in_either_lane(name: str, client: Client, wait: Wait) -> None:
    handler = getattr(handlers, name)
    job = client.enqueue(handler.job(), correlation_id="request-7")
    job.result(timeout=10)
    found = {span["name"].partition(" ")[0]: span for span in wait(3)}
    enqueue, process, run = found["enqueue"], found["process"], found["run"]
    assert enqueue["parent_id"] is None
    assert process["parent_id"] == enqueue["context"]["span_id"]
    assert run["parent_id"] == process["context"]["span_id"]
    assert len({span["context"]["trace_id"] for span in found.values()}) == 1
    assert sorted(_kinds(wait(3))) == [
        ("CONSUMER", f"process {handler.queue}"),
        ("INTERNAL", f"run {name}"),
        ("PRODUCER", f"enqueue {handler.queue}"),
    ]
    assert (run["pid"] == os.getpid()) is (handler.lane == "io")
    for span in (enqueue, process):
        assert (
            span["attributes"].items()
            >= {
                "messaging.system": "heavylift",
                "messaging.destination.name": handler.queue,
                "messaging.message.id": job.id,
                "messaging.message.conversation_id": "request-7",
                "heavylift.handler": name,
            }.items()
        )
    assert process["attributes"]["heavylift.outcome"] == "completed"
    assert run["attributes"]["messaging.message.id"] == job.id


def test_each_try_of_a_job_is_seen_in_its_trace_with_its_error(client: Client, wait: Wait) -> None:
    client.enqueue(handlers.fails.job("no luck"))
    found = wait(7)
    assert len({span["context"]["trace_id"] for span in found}) == 1
    tries = [span for span in found if span["name"] == "process light"]
    assert [span["attributes"]["heavylift.attempt"] for span in tries] == [1, 2, 3]
    assert [span["attributes"]["heavylift.becomes"] for span in tries] == ["delayed", "delayed", "failed"]
    assert tries[-1]["attributes"]["heavylift.reason"] == "exhausted"
    assert {span["status"]["status_code"] for span in tries} == {"ERROR"}
    assert {span["events"][0]["attributes"]["exception.message"] for span in tries} == {"no luck"}
    runs = [span for span in found if span["name"] == "run fails"]
    assert [span["parent_id"] for span in runs] == [span["context"]["span_id"] for span in tries]
    assert {span["attributes"]["error.type"] for span in runs} == {"ValueError"}


def test_of_a_process_that_was_killed_the_workers_span_tells(client: Client, wait: Wait) -> None:
    client.enqueue(handlers.die_once.job()).result(timeout=10)
    found = wait(4)  # the span of the handler that was killed is not among them
    assert len({span["context"]["trace_id"] for span in found}) == 1
    first, second = (span for span in found if span["name"] == "process heavy")
    assert first["attributes"]["heavylift.outcome"] == "killed:SIGKILL"
    assert (first["status"]["status_code"], second["status"]["status_code"]) == ("ERROR", "UNSET")


@pytest.mark.parametrize("handler", [handlers.leak_here, handlers.leak_there])
def test_no_span_holds_an_argument_or_a_secret(handler: Any, client: Client, wait: Wait, path: Path) -> None:
    client.enqueue(handler.job("keep-me-hidden", {"number": "4111-1111"}))
    wait(3)
    text = path.read_text()
    assert "Reject" in text
    assert "keep-me-hidden" not in text
    assert "4111-1" not in text


def test_what_a_handler_enqueues_is_in_the_same_trace(
    client: Client, wait: Wait, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEAVYLIFT_REDIS_URL", str(worker.settings.redis_url))
    monkeypatch.setenv("HEAVYLIFT_MIDDLEWARE", TRACING[0])
    client.enqueue(handlers.passes_on.job()).result(timeout=10)
    found = wait(6)
    assert len({span["context"]["trace_id"] for span in found}) == 1
    run = next(span for span in found if span["name"] == "run passes_on")
    assert [span["name"] for span in found if span["parent_id"] == run["context"]["span_id"]] == ["enqueue light"]


@pytest.mark.parametrize("fits", [True, False])
def test_baggage_reaches_the_handler_and_is_left_out_where_it_is_too_large(fits: bool, client: Client) -> None:
    held = baggage.set_baggage("tenant", "x" * 4070)
    token = otel.attach(held if fits else baggage.set_baggage("more", "x" * 4070, held))
    try:
        job = client.enqueue(handlers.carried_baggage.job())
    finally:
        otel.detach(token)
    assert job.result(timeout=10) == ("x" * 4070 if fits else None)


def test_a_batch_that_is_held_back_is_sent_when_the_process_ends(
    start_worker: StartWorker, path: Path, wait: Wait
) -> None:
    worker = start_worker(queues=BOTH, middleware=("tests.worker.tracing:Batched",), recycle_jobs=1)
    with Client(settings=worker.settings) as client:
        client.enqueue(handlers.where_heavy.job()).result(timeout=10)
    assert [span["name"] for span in wait(1)] == ["run where_heavy"]
    assert worker.stop()
    assert len(wait(3)) == 3

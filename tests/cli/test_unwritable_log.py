"""A worker whose log cannot be written: its reader has gone away, or the disk is full. Its jobs do not care."""

from __future__ import annotations

import os
import signal

import pytest

from tests.cli.harness import Program, Project
from tests.waiting import wait_until

WORKER = ("worker", "--slots", "1", "--poll", "1", "--deadline", "10", "--grace", "1")


HANDLERS = """
import logging
import structlog
from heavylift import handler

@handler(retries=0)
def tell(text: str) -> None:
    logging.getLogger("handlers").error(text)
    logging.getLogger("handlers").error("%d", text)
    structlog.get_logger().error(text)
"""


def ended(project: Project, job: str) -> str:
    """The state that a job has ended in."""

    def look() -> str | None:
        (record,) = project.json("job", job)
        return str(record["state"]) if record["state"] in ("completed", "failed") else None

    return wait_until(f"{job} has ended", look, 20) or ""


def reader_gone(project: Project) -> Program:
    reading, writing = os.pipe()
    worker = project.start(*WORKER, into=writing)
    os.close(writing)
    with os.fdopen(reading) as lines:
        assert any("worker ready" in line for line in lines)
    return worker


def disk_full(project: Project) -> Program:
    full = os.open("/dev/full", os.O_WRONLY)
    worker = project.start(*WORKER, into=full)
    os.close(full)
    return worker


@pytest.fixture(params=[reader_gone, disk_full])
def worker(request: pytest.FixtureRequest, project: Project) -> Program:
    if request.param is disk_full and not os.path.exists("/dev/full"):
        pytest.skip("this system has no device that is always full")
    (project.folder / "handlers" / "telling.py").write_text(HANDLERS)
    return request.param(project)  # type: ignore[no-any-return]


def test_jobs_end_and_the_worker_ends_with_0(project: Project, worker: Program) -> None:
    project.touch("held.go")
    for handler, word, state in (
        ("fail", "x", "failed"),
        ("echo", "x", "completed"),
        ("hold", "held", "completed"),
        ("tell", "x", "completed"),
    ):
        project.json("enqueue", handler, word, "--id", handler)
        assert ended(project, handler) == state
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0

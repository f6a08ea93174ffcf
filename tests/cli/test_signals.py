"""Signals of a worker, sent to a real one. The third Ctrl-C is in `test_terminal`, with its keys."""

from __future__ import annotations

import signal

import pytest

from tests.cli.harness import Program, Project
from tests.waiting import wait_until


def holding(project: Project) -> Program:
    """A worker with one job under way."""
    worker = project.worker()
    project.json("enqueue", "hold", "job", "--id", "held")
    wait_until("the job has begun", lambda: project.exists("job.began"), timeout=10)
    return worker


def state(project: Project) -> str:
    (record,) = project.json("job", "held")
    return str(record["state"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_ends_with_0(project: Project, number: signal.Signals) -> None:
    worker = project.worker()
    worker.signal(number)
    assert worker.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_once_lets_running_jobs_finish(project: Project, number: signal.Signals) -> None:
    worker = holding(project)
    worker.signal(number)
    worker.wait_for("ending")
    project.touch("job.go")
    assert worker.wait() == 0
    assert state(project) == "completed"


def test_a_second_interrupt_puts_running_jobs_back(project: Project) -> None:
    worker = holding(project)
    worker.signal(signal.SIGINT)
    worker.wait_for("ending")
    worker.signal(signal.SIGINT)
    assert worker.wait() == 130
    assert state(project) == "waiting"


def test_a_storm_of_terms_is_one(project: Project) -> None:
    worker = holding(project)
    for _ in range(200):
        worker.signal(signal.SIGTERM)
    worker.wait_for("ending")
    project.touch("job.go")
    assert worker.wait() == 0
    assert worker.text.count('"ending"') == 1
    assert state(project) == "completed"


def test_quiet_claims_nothing_until_it_is_told_again(project: Project) -> None:
    worker = project.worker()
    worker.signal(signal.SIGUSR1)
    worker.wait_for("claiming nothing more")
    (job,) = project.json("enqueue", "echo", "later")
    worker.signal(signal.SIGTSTP)
    worker.wait_for("claiming again")
    (record,) = project.json("watch", job["id"])[-1:]
    assert record["event"] == "completed"


def test_a_worker_that_ends_is_not_told_to_claim_again(project: Project) -> None:
    worker = holding(project)
    worker.signal(signal.SIGTERM)
    worker.wait_for("ending")
    worker.signal(signal.SIGUSR1)
    worker.signal(signal.SIGUSR2)
    worker.wait_for("Thread heavylift-dispatcher")  # so the one before was heeded too
    (job,) = project.json("enqueue", "echo", "late")
    project.touch("job.go")
    assert worker.wait() == 0
    assert "claiming again" not in worker.text
    (record,) = project.json("job", job["id"])
    assert record["state"] == "waiting"


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTTIN])
def test_stacks_of_all_threads_are_shown(project: Project, number: signal.Signals) -> None:
    worker = project.worker()
    worker.signal(number)
    worker.wait_for("Thread heavylift-dispatcher")
    worker.wait_for("dispatcher.py")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0

"""What is drawn in a terminal: seen through a pseudo-terminal, whose keys we press."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.harness import Project
from tests.waiting import wait_until


def test_a_worker_says_where_redis_is_and_what_to_type(project: Project) -> None:
    worker = project.terminal("worker", width=200)
    worker.wait_for("Ctrl-C ends it")
    assert project.url
    assert project.url.split("://")[1] in worker.text
    for text in (
        "cpu (cpu lane)",
        "copy, hold, stubborn",
        "default (io lane)",
        "enqueue echo hello --times 2 --wait",
        "status",
    ):
        assert text in worker.text


def test_what_it_says_to_type_can_be_typed(project: Project) -> None:
    worker = project.terminal("worker", width=200)
    worker.wait_for("Ctrl-C ends it")
    (line,) = [line.strip() for line in worker.text.splitlines() if "enqueue echo" in line]
    typed = project.terminal(shell=line, width=200)
    assert typed.wait() == 0
    assert "said: hello hello" in typed.text


def test_a_worker_draws_a_bar_for_what_runs_and_a_line_for_what_has_ended(project: Project) -> None:
    worker = project.terminal("worker", "--poll", "1")
    worker.wait_for("0 running")
    project.run("enqueue", "hold", "job")
    worker.wait_for("hold job ━")
    worker.wait_for("50 %")
    worker.wait_for("1 running")
    project.touch("job.go")
    worker.wait_for("✓ hold job")
    worker.wait_for("1 completed")


def test_log_lines_stand_above_the_bars(project: Project) -> None:
    worker = project.terminal("worker", "--poll", "1", width=200)
    worker.wait_for("0 running")
    project.run("enqueue", "hold", "job")
    worker.wait_for("hold job ━")
    project.run("enqueue", "refuse", "no good")
    worker.wait_for("attempt ended")
    (line,) = {line for line in worker.text.splitlines() if "attempt ended" in line}
    assert "no good" in line
    assert "━" not in line
    project.touch("job.go")


def test_ctrl_c_ends_a_worker_and_its_processes(project: Project) -> None:
    worker = project.terminal("worker", "--poll", "1")
    worker.wait_for("0 running")
    project.run("enqueue", "hold", "job")
    wait_until("the job has begun", lambda: project.exists("job.began"))
    worker.type(b"\x03")
    worker.wait_for("ending")
    project.touch("job.go")
    assert worker.wait() == 0
    assert "\x1b[?25h" in worker.raw  # the cursor is back


def test_ctrl_c_thrice_ends_at_once_and_gives_the_cursor_back(project: Project) -> None:
    worker = project.terminal("worker", "--poll", "1", "--grace", "20", "--deadline", "60")
    worker.wait_for("0 running")
    project.run("enqueue", "stubborn", "job")
    wait_until("the job has begun", lambda: project.exists("job.began"))
    worker.type(b"\x03")
    worker.wait_for("ending")
    worker.type(b"\x03")
    worker.wait_for("not waiting")
    worker.type(b"\x03")
    assert worker.wait(5) == 131
    for left in Path(os.environ["TMPDIR"]).glob("pymp-*"):  # a process that ends at once does not tidy up
        shutil.rmtree(left)
    assert worker.raw.rfind("\x1b[?25h") > worker.raw.rfind("\x1b[?25l")


@pytest.mark.parametrize("width", [40, 100])
def test_waiting_draws_a_bar_for_each_job_and_a_table(project: Project, width: int) -> None:
    project.worker()
    waiting = project.terminal("enqueue", "hold", "a", "b", "--wait", width=width)
    waiting.wait_for("50 %")
    waiting.wait_for("━")
    project.touch("a.go")
    project.touch("b.go")
    assert waiting.wait() == 0
    assert "✓" in waiting.text
    assert "completed" in waiting.text


def test_waiting_for_many_draws_one_bar_for_all(project: Project) -> None:
    project.worker()
    waiting = project.terminal("enqueue", "echo", *map(str, range(50)), "--wait")
    assert waiting.wait() == 0
    assert "of 50" in waiting.text


def test_whoever_leaves_does_not_stop_the_jobs(project: Project) -> None:
    project.worker()
    waiting = project.terminal("enqueue", "hold", "job", "--wait", "--id", "held")
    waiting.wait_for("50 %")
    waiting.type(b"\x03")
    assert waiting.wait() == 130
    assert project.json("job", "held")[0]["state"] == "active"
    project.touch("job.go")


def test_watching_draws_what_happens(project: Project) -> None:
    project.worker()
    watching = project.terminal("watch", "--timeout", "20")
    project.run("enqueue", "hold", "job")
    watching.wait_for("active")
    project.touch("job.go")
    watching.wait_for("completed")
    watching.type(b"\x03")
    assert watching.wait() == 130

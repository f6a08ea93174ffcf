"""What went wrong is one line, with an exit code; never a traceback."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.harness import COMMAND, Project, environment


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_redis_that_cannot_be_reached_is_69(project: Project) -> None:
    done = project.run("status", "--redis", "redis://127.0.0.1:1")
    assert done.returncode == 69
    assert "127.0.0.1:1" in complaint(done)


def test_a_url_that_is_none_is_2(project: Project) -> None:
    done = project.run("status", "--redis", "nonsense://x")
    assert done.returncode == 2
    complaint(done)


def test_a_password_is_not_shown(project: Project) -> None:
    done = project.run("status", "--redis", "redis://user:secret@127.0.0.1:1")
    assert "secret" not in done.stderr + done.stdout


def test_a_setting_out_of_range_is_2(project: Project) -> None:
    done = project.run("worker", "--lock", "0.01")
    assert done.returncode == 2
    assert "lock" in complaint(done)


def test_a_root_that_is_none_is_2(project: Project) -> None:
    done = project.run("status", "--root", "nowhere")
    assert done.returncode == 2
    assert "nowhere" in complaint(done)


def test_a_handler_that_cannot_be_loaded_is_2_and_named(project: Project) -> None:
    (project.folder / "handlers" / "broken.py").write_text("import nothing_of_this_name\n")
    done = project.run("worker", "--burst")
    assert done.returncode == 2
    assert "broken.py" in complaint(done)
    assert "nothing_of_this_name" in done.stderr


def test_a_folder_without_handlers_is_2(tmp_path: Path, url: str) -> None:
    done = subprocess.run(
        [*COMMAND, "worker"], cwd=tmp_path, env=environment({"REDIS_URL": url}), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "heavylift init" in complaint(done)


def test_a_queue_that_no_handler_is_of_is_2(project: Project) -> None:
    assert project.run("worker", "--queues", "nowhere").returncode == 2


@pytest.mark.parametrize("queues", ["a=b", "=1", "default=0"])
def test_weights_that_are_none_are_2(project: Project, queues: str) -> None:
    assert project.run("worker", "--queues", queues).returncode == 2


def test_a_job_that_is_nowhere_is_1(project: Project) -> None:
    done = project.run("job", "nobody")
    assert done.returncode == 1
    assert "nobody" in complaint(done)


def test_an_unknown_command_is_2(project: Project) -> None:
    assert project.run("lift").returncode == 2


def test_debug_shows_the_traceback(project: Project) -> None:
    done = project.run("status", "--root", "nowhere", "--debug")
    assert done.returncode != 0
    assert "Traceback" in done.stderr

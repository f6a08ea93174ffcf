"""`heavylift init`: what it writes works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.cli.harness import COMMAND, environment


def run(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, env=environment(env), capture_output=True, text=True, timeout=60)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    done = run(tmp_path, *COMMAND, "init", "myapp")
    assert done.returncode == 0, done.stderr
    return tmp_path / "myapp"


def test_it_writes_a_minimal_project(project: Path) -> None:
    files = sorted(str(path.relative_to(project)) for path in project.rglob("*") if path.is_file())
    assert files == [".gitignore", "Makefile", "README.md", "handlers/hello.py", "heavylift.toml"]
    assert "# myapp" in (project / "README.md").read_text()


def test_its_makefile_installs_the_heavylift_that_has_written_it(project: Path) -> None:
    """Which no index may have."""
    (line,) = (line for line in (project / "Makefile").read_text().splitlines() if line.startswith("HEAVYLIFT"))
    name, _, origin = line.removeprefix("HEAVYLIFT ?= ").partition(" @ ")
    assert name == "heavylift[embedded,watch]"
    said = distribution("heavylift").read_text("direct_url.json")
    assert origin == (json.loads(said)["url"] if said else "")


def test_it_overwrites_nothing(project: Path) -> None:
    (project / "Makefile").unlink()
    before = (project / "README.md").read_text()
    done = run(project.parent, *COMMAND, "init", "myapp")
    assert done.returncode == 2
    assert not (project / "Makefile").exists()
    assert (project / "README.md").read_text() == before


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "afile").write_text("")
    done = run(tmp_path, *COMMAND, "init", "afile")
    assert (done.returncode, "cannot be written" in done.stderr) == (2, True), done.stderr


def test_a_folder_with_other_files_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    assert run(tmp_path, *COMMAND, "init", ".").returncode == 0
    assert (tmp_path / "handlers" / "hello.py").exists()


def test_its_handlers_run_with_a_server_of_the_projects_own(project: Path) -> None:
    for words in (("greet", "Ada"), ("primes", "1000")):
        done = run(project, *COMMAND, "enqueue", *words, "--json")
        assert done.returncode == 0, done.stderr
    worked = run(project, *COMMAND, "worker", "--burst")
    assert worked.returncode == 0, worked.stdout + worked.stderr
    (status,) = [json.loads(line) for line in run(project, *COMMAND, "status", "--json").stdout.splitlines()]
    assert sum(queue["counts"]["completed"] for queue in status["queues"]) == 2


def test_its_makefile_runs_a_worker(project: Path, url: str) -> None:
    venv = Path(sys.executable).parent.parent
    done = run(project, "make", "run-worker", f"VENV={venv}", "ARGS=--burst", REDIS_URL=url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "worker ready" in done.stdout


def test_its_settings_file_names_settings_that_exist(project: Path) -> None:
    text = (project / "heavylift.toml").read_text()
    (project / "heavylift.toml").write_text(
        "\n".join(
            line.removeprefix("# ")
            for line in text.splitlines()
            if "=" in line and line.startswith("# ") and "HEAVYLIFT" not in line
        )
    )
    done = run(project, *COMMAND, "settings", "--json")
    assert done.returncode == 0, done.stderr
    said = {line["name"] for line in map(json.loads, done.stdout.splitlines()) if line["source"] == "heavylift.toml"}
    assert said == {"redis_url", "slots", "places", "deadline"}


def test_its_readme_example_is_right(project: Path, url: str) -> None:
    code = (project / "README.md").read_text().split("```python\n")[1].split("```")[0]
    worker = subprocess.Popen(
        [*COMMAND, "worker"], cwd=project, env=environment({"REDIS_URL": url}), stdout=subprocess.DEVNULL
    )
    try:
        done = run(project, sys.executable, "-c", code, REDIS_URL=url, PYTHONPATH=os.fspath(project))
        assert done.stdout == "Hello, Ada!\n", done.stderr
    finally:
        worker.terminate()
        worker.wait(20)

"""The plugin as a project without any fixtures of its own gets it: each test here is a pytest run of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HANDLERS = """
from heavylift import handler

@handler(queue="mail")
def greet(name: str) -> str:
    return f"hello {name}"

@handler(queue="heavy", lane="cpu")
def heavy(n: int) -> int:
    return n * 2
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "mail.py").write_text(HANDLERS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def run(project: Path, text: str, *more: str) -> str:
    (project / "test_it.py").write_text(text)
    source = os.pathsep.join([str(Path(__file__).parents[2] / "src"), str(project)])
    env = {**os.environ, "PYTHONPATH": source, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "heavylift.pytest_plugin",
        "-p",
        "no:cacheprovider",
        "-q",
        "--basetemp=tmp",
        *more,
    ]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_project_gets_a_server_its_handlers_and_a_worker(project: Path) -> None:
    said = run(
        project,
        """
from handlers.mail import greet, heavy
from heavylift import Client
from heavylift.testing import Drained

def test_drain(jobs):
    job = Client().enqueue(greet.job("ada"))
    jobs.assert_enqueued(greet, {"name": "ada"})
    assert jobs.drain() == Drained(completed=1)
    assert job.result(timeout=0) == "hello ada"

def test_each_test_begins_with_nothing(jobs, heavylift_client):
    jobs.refute_enqueued()
    assert jobs.ended() == []
    assert heavylift_client.queues() == []

def test_worker(heavylift_worker, heavylift_client):
    assert heavylift_client.enqueue(heavy.job(21)).result(timeout=30) == 42
""",
    )
    assert "3 passed" in said


def test_processes_of_xdist_have_servers_of_their_own(project: Path) -> None:
    test = """
import pytest

@pytest.mark.parametrize("n", range(4))
def test_it(jobs, n, heavylift_url):
    with open("urls", "a") as urls:
        urls.write(heavylift_url + "\\n")
"""
    assert "8 passed" in run(project, test, "-p", "xdist", "-n", "2", "--dist", "each")
    urls = set((project / "urls").read_text().split())
    assert len(urls) == 2
    assert [url for url in urls if Path(url.removeprefix("unix://")).exists()] == []


def test_a_server_that_is_there_already_is_used(project: Path, url: str) -> None:
    test = f"""
def test_it(jobs):
    assert jobs.settings.redis_url == {url!r}
    assert jobs.client.queues() == []
"""
    assert "1 passed" in run(project, test, f"--heavylift-url={url}")


def test_without_its_fixtures_it_starts_nothing_and_loads_next_to_nothing(project: Path) -> None:
    run(
        project,
        """
import sys

def test_it():
    heavy = {"redis", "heavylift.testing.harness", "heavylift.client", "heavylift.store"}
    assert not heavy & set(sys.modules)
""",
    )


def test_heavylift_does_not_load_pytest() -> None:
    code = "import sys, heavylift, heavylift.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

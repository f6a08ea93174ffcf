"""Planted secrets are looked for everywhere that anybody looks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from heavylift import Client, JobFailed
from tests.faults import hostile
from tests.faults.harness import WorkerProcess
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

PASSWORD, TOKEN = "pl4nted-passw0rd", "pl4nted-t0ken"


@pytest.fixture
def any_server() -> Iterator[Server]:
    """Asks for a password."""
    with Server(tcp=True, config={"requirepass": PASSWORD}) as server:
        yield server


def shown(url: str, folder: Path, *words: str) -> str:
    """What a command prints, whether it succeeds or not."""
    env = {**os.environ, "HEAVYLIFT_REDIS_URL": url}
    ran = subprocess.run(
        [sys.executable, "-m", "heavylift", *words], env=env, cwd=folder, capture_output=True, text=True, check=False
    )
    return ran.stdout + ran.stderr


def test_neither_the_servers_password_nor_a_jobs_secret_is_shown_anywhere(
    start_worker: Callable[..., WorkerProcess], client: Client, any_server: Server, tmp_path: Path
) -> None:
    worker = start_worker(module="tests.faults.hostile", slots=1)
    job = client.enqueue(hostile.leaks.job(TOKEN))
    with pytest.raises(JobFailed) as failed:
        job.result(20)
    worker.family()
    commands = [" ".join(process.cmdline()) for process in (psutil.Process(worker.pid), *worker.family())]
    any_server.kill9()
    wait_until("it has noticed that redis is away", lambda: "lost contact" in worker.log.read_text(), timeout=10)
    any_server.start()
    wrong = any_server.url.replace(PASSWORD, PASSWORD + "x")
    seen = {
        "error": f"{failed.value} {failed.value.traceback}",
        "ps": "\n".join(commands),
        "log": worker.log.read_text(),
        "settings": shown(any_server.url, tmp_path, "settings"),
        "refused": shown(wrong, tmp_path, "status", "--debug"),
        "not a url": shown(f"http://:{PASSWORD}@h", tmp_path, "status", "--debug"),
        "nobody there": shown(f"redis://:{PASSWORD}@127.0.0.1:1", tmp_path, "status", "--debug"),
        "client": repr(client) + repr(client.settings) + repr(client.place.find()),
    }
    for where, text in seen.items():
        assert text, where
        assert PASSWORD not in text, where
        assert TOKEN not in text, where


def test_a_jobs_secret_is_not_in_what_commands_show_of_it(
    start_worker: Callable[..., WorkerProcess], client: Client, any_server: Server, tmp_path: Path
) -> None:
    with any_server.client() as listener:  # events, as anybody may hear them
        heard = listener.pubsub()
        heard.psubscribe("*")
        start_worker(module="tests.faults.hostile", slots=1)
        job = client.enqueue(hostile.leaks.job(TOKEN))
        with pytest.raises(JobFailed):
            job.result(20)
        messages = []
        while message := heard.get_message(timeout=0.2):
            messages.append(str(message))
        heard.close()
    assert any("failed" in message for message in messages)
    texts = [*messages, *(shown(any_server.url, tmp_path, *words) for words in (["job", job.id, "--json"], ["failed"]))]
    assert all(TOKEN not in text for text in texts)
    assert any("[secret]" in text for text in texts)

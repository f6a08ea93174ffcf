"""Real workers as processes.

Locks are short here (2 s, swept every second), so that a row takes seconds; the code paths are the same.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from heavylift import Client
from heavylift.settings import Settings
from tests.waiting import wait_until

LOCK, SWEEP = 2.0, 1.0
BOTH_KINDS = pytest.mark.parametrize("any_server", ["redis", "valkey"], indirect=True)
"""A row that is played with Redis and with Valkey, because the server has a say in it."""

APART = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
"""How a program is started for which process numbers are counted anew. Takes the rights of root, and Linux."""

REPOSITORY = Path(__file__).resolve().parents[2]


class WorkerProcess:
    """`heavylift worker` as a user runs it. `module`: one, or several with spaces between.

    `source`: where its package is; the working tree if not said. `extra`: for its environment, beside the settings.
    `apart`: process numbers are counted anew for it, as in a container: by its own account it is number 1.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        module: str = "tests.faults.jobs",
        source: Path | None = None,
        extra: Mapping[str, str] | None = None,
        apart: bool = False,
        **settings: object,
    ) -> None:
        self.log = folder / f"worker-{os.urandom(3).hex()}.log"
        chosen = {"lock": LOCK, "sweep": SWEEP, "poll": 1, "slots": 2, "deadline": 10, "grace": 1, **settings}
        env = {key: value for key, value in os.environ.items() if not key.startswith(("HEAVYLIFT_", "REDIS_URL"))}
        env |= {
            "HEAVYLIFT_REDIS_URL": url,
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{source or REPOSITORY / 'src'}",
            "HEAVYLIFT_ROOT": str(folder),
            **(extra or {}),
        }
        env |= {f"HEAVYLIFT_{name.upper()}": str(value) for name, value in chosen.items()}
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [*(APART if apart else ()), sys.executable, "-m", "heavylift", "worker", *module.split()],
                cwd=folder,
                env=env,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._apart = apart
        self._family: list[psutil.Process] = []

    @property
    def pid(self) -> int:
        return self.process.pid

    def family(self) -> list[psutil.Process]:
        """The worker's children, grandchildren ..., as far as they live."""
        try:
            self._family = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            pass
        return [member for member in self._family if is_alive(member)]

    def signal(self, what: signal.Signals) -> None:
        self.family()
        if self._apart:  # what has started it does not pass signals on
            for worker in psutil.Process(self.pid).children():
                worker.send_signal(what)
        else:
            self.process.send_signal(what)

    def kill9(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait(10)

    def wait(self, timeout: float = 15.0) -> int:
        return self.process.wait(timeout)

    def await_ready(self, client: Client) -> None:
        """Wait until Redis knows this worker."""
        wait_until(f"worker {self.pid} says it is there\n", lambda: self._known(client), timeout=20)

    def _known(self, client: Client) -> bool:
        assert self.process.poll() is None, f"the worker has ended:\n{self.log.read_text()}"
        return any(worker["pid"] == self.pid for worker in client.workers())

    def end(self) -> None:
        """End it whatever state it is in, with all that belongs to it."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
                raise AssertionError(f"the worker did not end:\n{self.log.read_text()}") from None
        wait_until("no process of the worker is left", lambda: not self.family(), timeout=15)


def is_alive(process: psutil.Process) -> bool:
    """Running, and not merely waiting to be reaped."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def settings(url: str) -> Settings:
    """Settings of the client under test."""
    return Settings.load(env={}, redis_url=url)

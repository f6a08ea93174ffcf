"""The command line as a user has it: a program that is started in a folder, with or without a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ
from typing import Any

from tests.waiting import wait_until

COMMAND = [sys.executable, "-m", "heavylift"]
SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[=>]|\r")

HANDLERS = '''
"""Handlers of the tests. What they do is seen in files below the project's root."""

import asyncio
import os
import time
from typing import Literal

from heavylift import Context, Reject, handler


@handler
async def echo(
    text: str, times: int = 1, shout: bool = False, timeout: str = "none", mode: Literal["a", "b"] = "a"
) -> dict:
    """Say it again.

    Example: heavylift enqueue echo hello --times 2 --wait

    Args:
        text: what to say.
        times: how often.
    """
    said = " ".join([text] * times)
    return {"said": said.upper() if shout else said, "timeout": timeout, "mode": mode}


@handler(lane="cpu")
def hold(ctx: Context, name: str, seconds: float = 30.0) -> str:
    """Hold a slot until `<name>.go` is there."""
    end = time.monotonic() + seconds
    with open(f"{name}.began", "w") as file:
        file.write(str(os.getpid()))
    while not os.path.exists(f"{name}.go") and time.monotonic() < end:
        ctx.progress(0.5, message="holding")
        time.sleep(0.01)
    return name


@handler(lane="cpu", retries=0)
def stubborn(name: str) -> None:
    """Does not stop when it is told to."""
    with open(f"{name}.began", "w"):
        pass
    while True:
        try:
            time.sleep(10)
        except BaseException:
            pass


@handler(retries=0)
def fail(ctx: Context, text: str) -> None:
    """Never works."""
    ctx.log.info("about to fail")
    raise ValueError(text)


@handler
def refuse(text: str) -> None:
    """Is not tried again."""
    raise Reject(text)


@handler
def add(numbers: list[int], extra: dict[str, int] | None = None) -> int:
    """Add numbers."""
    return sum(numbers) + sum((extra or {}).values())


def copy_target(source: str) -> str:
    """Where `copy` writes."""
    if not source.endswith((".txt", ".jpg")):
        raise Reject("no text")
    return os.path.join(os.path.dirname(source), "out", os.path.basename(source))


@handler(lane="cpu")
def copy(source: str) -> str:
    """Copy a file."""
    target = copy_target(source)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(source, "rb") as old, open(target + ".part", "wb") as new:
        new.write(old.read())
    os.replace(target + ".part", target)
    with open("copied", "a") as log:
        log.write(source + "\\n")
    return target
'''


def environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """That of the tests, without anybody's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEAVYLIFT_", "REDIS_URL"))}
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "VIRTUAL_ENV"):
        kept.pop(name, None)
    return {**kept, "TERM": "xterm-256color", **more}


class Project:
    """A folder with handlers, and heavylift in it."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self.folder = folder
        self.url = url
        (folder / "handlers").mkdir(parents=True)
        (folder / "handlers" / "work.py").write_text(HANDLERS)
        self.started: list[Program | Terminal] = []

    @property
    def env(self) -> dict[str, str]:
        return environment({"HEAVYLIFT_REDIS_URL": self.url} if self.url else {})

    def run(self, *args: str, cwd: Path | None = None, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """One command, to its end."""
        return subprocess.run(
            [*COMMAND, *args],
            cwd=cwd or self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def json(self, *args: str, code: int = 0) -> list[Any]:
        """The JSON lines of one command."""
        done = self.run(*args, "--json")
        assert done.returncode == code, done.stderr + done.stdout
        return [json.loads(line) for line in done.stdout.splitlines()]

    def worker(self, *args: str) -> Program:
        """A worker without a terminal, ready to claim."""
        program = self.start("worker", "--slots", "1", "--poll", "1", "--deadline", "10", "--grace", "1", *args)
        program.wait_for("worker ready")
        return program

    def start(self, *args: str, into: int | None = None) -> Program:
        """A command that runs on; its output goes into this descriptor, or into a file."""
        self.started.append(program := Program(self, *args, into=into))
        return program

    def terminal(self, *args: str, width: int = 100, shell: str | None = None) -> Terminal:
        """A command in a terminal; or, with `shell`, a line typed there."""
        terminal = Terminal(self, ["sh", "-c", shell] if shell else [*COMMAND, *args], width)
        self.started.append(terminal)
        return terminal

    def exists(self, name: str) -> bool:
        return (self.folder / name).exists()

    def touch(self, name: str) -> None:
        (self.folder / name).touch()

    def end(self) -> None:
        for program in self.started:
            program.end()


class Program:
    """A command that runs on, its output in a file if it is to go nowhere else."""

    def __init__(self, project: Project, *args: str, into: int | None = None) -> None:
        self.output = project.folder / f"output-{os.urandom(3).hex()}"
        with self.output.open("w") as out:
            self.process = subprocess.Popen(
                [*COMMAND, *args],
                cwd=project.folder,
                env=project.env,
                stdout=out if into is None else into,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str, timeout: float = 20) -> None:
        def there() -> bool:
            assert self.process.poll() is None or text in self.text, f"ended without {text!r}:\n{self.text}"
            return text in self.text

        wait_until(f"{text!r} in the output", there, timeout)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 20) -> int:
        return self.process.wait(timeout)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)


class Terminal:
    """A command whose terminal we are: what it draws is collected, what we type it gets."""

    def __init__(self, project: Project, words: list[str], width: int) -> None:
        self._ours, theirs = pty.openpty()
        ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 30, width, 0, 0))
        self.process = subprocess.Popen(
            words, cwd=project.folder, env=project.env, preexec_fn=lambda: os.login_tty(theirs)
        )
        os.close(theirs)
        self._drawn = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._ours, 65536):
                self._drawn += data

    @property
    def raw(self) -> str:
        return bytes(self._drawn).decode("utf-8", "replace")

    @property
    def text(self) -> str:
        """All that was drawn so far, one frame after the other, without the sequences that place and colour it."""
        return SEQUENCE.sub("", self.raw)

    def wait_for(self, text: str, timeout: float = 20) -> None:
        def there() -> bool:
            assert self.process.poll() is None or text in self.text, f"ended without {text!r}:\n{self.text}"
            return text in self.text

        wait_until(f"{text!r} on the screen", there, timeout)

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def wait(self, timeout: float = 20) -> int:
        code = self.process.wait(timeout)
        self._reader.join(2)
        return code

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self._reader.join(2)
        os.close(self._ours)

"""What the rows and the long programs write down: a JSON object a line, so that no figure of the page is typed by hand.

Which record is filled says `FAULTS_RECORD` in the environment; without it nothing is written.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec

RECORD = "FAULTS_RECORD"
REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = Path("docs/reliability.md")
"""The page of figures, in the repository."""

PROCESSORS_TAKEN = "Processors taken"
"""The long form of row 69."""


class Facts(msgspec.Struct, tag="row"):
    """What a row came to in one run. Times in seconds.

    Attributes:
        name: of the test, with its parameters.
        recovery: from the end of the fault to the first finish after it; where processes died or froze, from then until
            all that they ran was started again.
        rate_back: from the end of the fault until the rate was back at 90 % of the one before it.
        held: the test has passed; if not, `wrong` says why.
        skipped: why it could not be played on this machine, if so.
        figures: what else was measured, by what it is of.
    """

    row: int
    name: str
    injected: list[str] = []
    jobs: int = 0
    lost: int = 0
    doubled: int = 0
    double_completions: int = 0
    recovery: float | None = None
    rate_back: float | None = None
    held: bool = True
    wrong: str = ""
    skipped: str = ""
    figures: dict[str, float] = {}


class Long(msgspec.Struct, tag="long"):
    """What a program that runs for minutes came to.

    Attributes:
        seconds: how long it went on.
        injected: how often each fault was.
        flat: what must not grow: its figure early and late in the run.
        wrong: what the judge found, a sentence each.
    """

    name: str
    date: str
    seconds: float
    injected: dict[str, int] = {}
    jobs: int = 0
    lost: int = 0
    doubled: int = 0
    double_completions: int = 0
    flat: dict[str, tuple[float, float]] = {}
    figures: dict[str, float] = {}
    wrong: list[str] = []


class Machine(msgspec.Struct, tag="machine", frozen=True):
    """Where a record was filled.

    Attributes:
        commit: what was played, in short, with a `+` if it was changed; empty if nobody knows.
    """

    date: str
    cores: int
    system: str
    python: str
    servers: tuple[str, ...]
    commit: str = ""


Line = Facts | Long | Machine


def write(line: Line, path: Path | None = None) -> None:
    """Add a line to a record: to `path`, else to that of the environment, if there is one."""
    if found := path or os.environ.get(RECORD):
        with Path(found).open("ab") as record:
            record.write(msgspec.json.encode(line) + b"\n")


def read(path: Path) -> list[Line]:
    """All lines of a record; none if it is not there. Half a line, of a run that was killed, is left out."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [msgspec.json.decode(line, type=Line) for line in lines if line.endswith(b"\n")]


def recorded(path: Path) -> list[Facts]:
    """The rows of a record."""
    return [line for line in read(path) if isinstance(line, Facts)]


def today() -> str:
    """The day, as the page says it."""
    return datetime.now(UTC).date().isoformat()


def machine(*binaries: str) -> Machine:
    """This one, with the versions of these servers."""
    versions = [_version(binary) for binary in binaries if shutil.which(binary)]
    cores = os.cpu_count() or 1
    system = f"{platform.system()} {platform.machine()}"
    return Machine(today(), cores, system, platform.python_version(), (*versions,), commit())


def commit() -> str:
    """Of the working tree. That the page of figures is another than committed is no change of what is played."""
    found = _git("rev-parse", "--short", "HEAD")
    if found is None:
        return ""
    changed = _git("diff", "--quiet", "HEAD", "--", ".", f":!{PAGE}") is None
    return found + "+" * changed


def _git(*words: str) -> str | None:
    """What git says; None if there is none, or it says no."""
    if not shutil.which("git"):
        return None
    said = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return None if said.returncode else said.stdout.strip()


def _version(binary: str) -> str:
    """`Redis 7.0.15`, of `Redis server v=7.0.15 sha=...`."""
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()
    return f"{said[0]} {next(word[2:] for word in said if word.startswith('v='))}"

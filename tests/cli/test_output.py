"""How values and boards look."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from heavylift.cli import logs, output
from heavylift.cli.banner import next_commands
from heavylift.cli.bars import Board
from heavylift.cli.invocation import program
from heavylift.cli.session import Said
from heavylift.cli.settings import without_password
from heavylift.handler import handler
from heavylift.job import Progress, State
from heavylift.registry import Registry
from heavylift.settings import Settings


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, ""),
        (0, "0 ms"),
        (0.34, "340 ms"),
        (4.21, "4.2 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (7500, "2 h 5 min"),
        (90000, "1 d 1 h"),
        (-1, "0 ms"),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert output.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("text", "text"),
        ("two\nlines", "two lines"),
        ({"a": 1, "b": [1, "x"]}, 'a: 1, b: [1,"x"]'),
        ({"target": "out/a.jpg", "width": 8, "notes": []}, "→ out/a.jpg (width: 8)"),
        ("x" * 100, "x" * 59 + "…"),
    ],
)
def test_results_on_one_line(value: Any, shown: str) -> None:
    assert output.result(value) == shown


def test_times_to_come_are_told_from_times_gone() -> None:
    assert output.ago(int(time.time() * 1000) + 90_000).startswith("in 1 min")
    assert output.ago(int(time.time() * 1000) - 90_000).endswith("ago")


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@host:1/0",
        "rediss://me:secret@host,other/0",
        "redis://me:se/cr@et@host",
        "unix:///a/b.sock?password=secret&db=1",
    ],
)
def test_passwords_are_hidden(url: str) -> None:
    shown = without_password(url)
    assert "secret" not in shown
    assert "cr@et" not in shown
    assert "***" in shown


def frame(board: Board, width: int = 100, height: int = 30) -> str:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=False)
    console.print(board)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 300])
def test_a_board_never_breaks_a_line(width: int) -> None:
    board = Board()
    for number in range(3):
        board.add(str(number), f"resize some/very/long/path/to/an/image-{number}.jpeg")
    board.enter("0", State.ACTIVE)
    board.progress("0", Progress(fraction=0.4, message="a message that is long too, so that it has to be cut"))
    board.enter("1", State.FAILED, "rejected")
    lines = frame(board, width).splitlines()
    assert len(lines) == 3
    assert all(len(line) <= width for line in lines)


def test_a_board_of_many_shows_what_runs_and_one_bar_for_all() -> None:
    board = Board(most=5, total=100)
    for number in range(100):
        board.add(str(number), f"job {number}")
    for number in range(30):
        board.enter(str(number), State.ACTIVE)
    for number in range(10):
        board.enter(str(number), State.FAILED if number == 0 else State.COMPLETED)
    lines = frame(board).splitlines()
    assert len(lines) == 5 + 1 + 1
    assert "15 more running" in lines[5]
    assert "10 of 100" in lines[6]
    assert "1 failed" in lines[6]


def test_a_board_fits_a_low_terminal() -> None:
    board = Board()
    for number in range(20):
        board.add(str(number), f"job {number}")
    assert len(frame(board, height=10).splitlines()) < 10


def test_a_board_says_how_far_a_job_is() -> None:
    board = Board()
    board.add("1", "count")
    board.enter("1", State.ACTIVE)
    board.progress("1", Progress(fraction=0.25, done=1, total=4))
    assert "25 %" in frame(board)
    assert "1 of 4" in frame(board)


def test_what_ended_stays_ended() -> None:
    board = Board()
    board.add("1", "job")
    board.enter("1", State.COMPLETED)
    board.enter("1", State.ACTIVE)
    board.progress("1", Progress(fraction=0.1))
    assert board.rows["1"].state == State.COMPLETED


def test_the_program_is_named_as_it_can_be_started_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "my env" / "bin" / "heavylift"
    script.parent.mkdir(parents=True)
    script.touch(mode=0o755)
    monkeypatch.setattr("sys.argv", [str(script), "worker"])
    assert program(tmp_path) == "'my env/bin/heavylift'"
    assert program(tmp_path / "elsewhere") == f"'{script}'"
    monkeypatch.setenv("PATH", str(script.parent))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert program(tmp_path) == "heavylift"
    monkeypatch.setenv("VIRTUAL_ENV", str(script.parent.parent))
    assert program(tmp_path) == "'my env/bin/heavylift'"


def test_the_commands_to_type_say_again_what_was_said_but_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [str(tmp_path / "bin" / "heavylift")])

    @handler
    def greet(name: str) -> None: ...

    def lines(redis: str) -> list[str]:
        settings = Settings(root=tmp_path, redis_url=redis)
        return next_commands(settings, Registry([greet]), [], Said(redis=redis, prefix="p"), tmp_path)

    assert lines("unix:///a?db=1")[0] == "bin/heavylift enqueue greet --help --prefix p --redis 'unix:///a?db=1'"
    assert lines("redis://:secret@host") == [
        "export HEAVYLIFT_REDIS_URL='redis://:***@host'  # with its password",
        "bin/heavylift enqueue greet --help --prefix p",
        "bin/heavylift status --prefix p",
    ]


def test_a_log_line_is_json_whatever_it_says() -> None:
    broken = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    said = {"event": "odd", "name": broken, "folder": Path("/tmp")}
    line = json.loads(logs.as_json(said))
    assert (line["event"], line["name"], line["folder"]) == ("odd", broken, "/tmp")

"""The page of figures says what the record has, and nothing else; a record is gone on with where it was."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from tests.faults import records
from tests.faults.page import page
from tests.faults.records import Facts, Line, Long, Machine, read, recorded, write
from tests.faults.report import PROGRAMS, programs_missing

RUNS = [
    Facts(32, "test_jobs_go_on[redis]", ["all killed"], 10, doubled=1, recovery=0.02, figures={"wait, s": 0.25}),
    Facts(32, "test_jobs_go_on[valkey]", ["all killed"], 10, recovery=0.04, rate_back=0.5),
    Facts(32, "test_jobs_go_on[redis]", ["all killed"], 10, recovery=1.26, held=False, wrong="it | broke"),
    Facts(37, "test_refused", ["an evicting policy"]),
    Facts(45, "test_a_slot_moves", skipped="no Cluster here"),
]


def test_a_line_per_row_with_sums_median_and_worst() -> None:
    lines = page(RUNS).splitlines()
    assert [line for line in lines if line.startswith(("| 32", "| 37", "| 45", "## C"))] == [
        "## C. Redis",
        "| 32 | jobs go on | all killed | **2 of 3** | 30 | 0 | 1 | 0 | 40 ms (1.3 s) | 500 ms (500 ms) "
        "| wait, s: 0.25 (0.25) |",
        "| 37 | refused | an evicting policy | 1 of 1 | 0 | 0 | 0 | 0 |  |  |  |",
    ]
    assert "* Row 32, `test_jobs_go_on[redis]`: it \\| broke" in lines
    assert "* Row 45, `test_a_slot_moves`: no Cluster here" in lines
    assert not any(line.startswith("## A") for line in lines), "no row of this group was played"


def test_a_record_is_read_as_it_was_written_and_half_a_line_is_left_out(tmp_path: Path) -> None:
    record = tmp_path / "record"
    chaos = Long("Chaos", "2026-01-01", 120.0, {"kill -9 Redis": 3}, 9, flat={"keys": (10, 11)}, wrong=["a is lost"])
    written = [Machine("2026-01-01", 2, "Linux", "3.13.1", ("Redis 7.0.15",)), *RUNS, chaos]
    for line in written:
        write(line, record)
    with record.open("a") as half:
        half.write('{"type":"row","row":1')
    assert read(record) == written
    assert recorded(record) == RUNS
    said = page(written)
    assert "| kill -9 Redis | 3 |" in said
    assert "| keys | 10 | 11 |" in said
    assert "**1 things were wrong**" in said
    assert "Played on 2026-01-01: 2 cores, Linux, Python 3.13.1, Redis 7.0.15." in said


def test_a_record_without_a_line_of_every_long_program_lacks_it() -> None:
    lines: list[Line] = [*RUNS]
    assert programs_missing(lines) == [*PROGRAMS]
    lines += [Long(name, "2026-01-01", 1.0) for name in PROGRAMS]
    assert programs_missing(lines) == []
    assert programs_missing(lines[:-1]) == [PROGRAMS[-1]]


def test_the_page_says_which_commit_was_played_and_whether_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        own = ["git", "-c", "user.name=a", "-c", "user.email=a@localhost", *words]
        return subprocess.run(own, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(records, "REPOSITORY", tmp_path)
    assert records.commit() == "", "no repository"
    git("init", "--quiet")
    (tmp_path / "code").write_text("one")
    git("add", "code")
    git("commit", "--quiet", "--message", "one")
    head = git("rev-parse", "--short", "HEAD")
    assert records.commit() == head
    (tmp_path / "code").write_text("two")
    assert records.commit() == f"{head}+"
    here = records.machine()
    assert here.commit == f"{head}+"
    assert f"Played on {here.date}, at commit `{head}+`: " in page([here])


def test_a_record_of_before_there_was_a_commit_in_it_is_still_read(tmp_path: Path) -> None:
    record = tmp_path / "record"
    old = msgspec.to_builtins(Machine("2026-01-01", 2, "Linux", "3.13.1", ("Redis 7.0.15",)))
    del old["commit"]
    record.write_bytes(msgspec.json.encode(old) + b"\n")
    (line,) = read(record)
    assert isinstance(line, Machine)
    assert line.commit == ""

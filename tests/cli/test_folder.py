"""Which files of a watched folder become jobs."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from heavylift.cli.folder import Scanner, Watched
from heavylift.errors import InvalidArgument
from heavylift.registry import Registry
from tests.cli.harness import HANDLERS


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a folder `in`, whose handlers are those of the tests."""
    name = f"work_{tmp_path.name}".replace("-", "_")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / f"{name}.py").write_text(HANDLERS)
    (tmp_path / "in" / "out").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def registry(root: Path) -> Registry:
    return Registry.load(root, [f"work_{root.name}".replace("-", "_")])


@pytest.fixture
def scanner(root: Path, registry: Registry) -> Scanner:
    return Scanner(Watched.parse("in:copy", registry, root))


def put(path: Path, text: str = "text", age: float = 10.0) -> None:
    path.write_text(text)
    then = time.time() - age
    os.utime(path, (then, then))


def found(scanner: Scanner) -> list[str]:
    return [reference for reference, _ in scanner.scan()]


def test_a_file_without_an_output_is_found_by_its_path_from_the_root(root: Path, scanner: Scanner) -> None:
    put(root / "in" / "a.txt")
    assert found(scanner) == ["in/a.txt"]


def test_a_file_whose_output_is_newer_is_left_alone(root: Path, scanner: Scanner) -> None:
    put(root / "in" / "a.txt", age=20)
    put(root / "in" / "out" / "a.txt", age=10)
    assert found(scanner) == []


def test_a_file_whose_output_is_older_is_found(root: Path, scanner: Scanner) -> None:
    put(root / "in" / "a.txt", age=10)
    put(root / "in" / "out" / "a.txt", age=20)
    assert found(scanner) == ["in/a.txt"]


@pytest.mark.parametrize("name", [".a.txt", "a.txt.part", "a.txt.tmp", "a.txt~", "a.txt.crdownload", "A.PART"])
def test_hidden_and_temporary_files_are_left_alone(root: Path, scanner: Scanner, name: str) -> None:
    put(root / "in" / name)
    assert found(scanner) == []
    assert not scanner.waiting


def test_what_the_handler_rejects_is_left_alone(root: Path, scanner: Scanner) -> None:
    put(root / "in" / "notes.doc")
    assert found(scanner) == []
    assert not scanner.waiting


def test_folders_and_pipes_are_left_alone(root: Path, scanner: Scanner) -> None:
    (root / "in" / "folder.txt").mkdir()
    os.mkfifo(root / "in" / "pipe.txt")
    assert found(scanner) == []


def test_a_half_written_file_is_waited_for(root: Path, scanner: Scanner) -> None:
    (root / "in" / "a.jpg").write_bytes(b"\xff\xd8\xff" + b"x" * 100)
    os.utime(root / "in" / "a.jpg", (time.time() - 5, time.time() - 5))
    assert found(scanner) == []
    assert scanner.waiting
    with (root / "in" / "a.jpg").open("ab") as file:
        file.write(b"\xff\xd9")
    assert found(scanner) == []  # it has just changed
    scanner._seen["a.jpg"].since -= 1
    assert found(scanner) == ["in/a.jpg"]


def test_a_file_is_found_until_it_is_dealt_with(root: Path, scanner: Scanner) -> None:
    put(root / "in" / "a.txt")
    assert found(scanner) == found(scanner) == ["in/a.txt"]
    scanner.done("in/a.txt")
    assert found(scanner) == []


def test_a_file_that_changes_is_found_again_as_another_job(root: Path, scanner: Scanner) -> None:
    put(root / "in" / "a.txt", age=10)
    ((_, first),) = scanner.scan()
    scanner.done("in/a.txt")
    put(root / "in" / "a.txt", "longer", age=5)
    assert found(scanner) == []
    scanner._seen["a.txt"].since -= 1
    ((_, second),) = scanner.scan()
    assert first != second


def test_two_workers_give_a_file_the_same_job(root: Path, registry: Registry, scanner: Scanner) -> None:
    put(root / "in" / "a.txt")
    other = Scanner(Watched.parse(f"{root}/in:copy", registry, root))
    assert list(scanner.scan()) == list(other.scan())


def test_a_handler_that_says_nothing_of_its_output_gets_each_version_once(root: Path, registry: Registry) -> None:
    scanner = Scanner(Watched.parse("in:echo", registry, root))
    put(root / "in" / "any.thing")
    assert found(scanner) == ["in/any.thing"]


@pytest.mark.parametrize("text", ["in", "in:", ":copy", "nowhere:copy", "in:unknown", "/:copy", "in:hold2"])
def test_what_cannot_be_watched_is_refused(root: Path, registry: Registry, text: str) -> None:
    with pytest.raises(InvalidArgument, match="--watch"):
        Watched.parse(text, registry, root)

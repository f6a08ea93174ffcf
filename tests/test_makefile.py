"""What make says before there is anything but make: its list of targets, and what is wrong with the Python it found."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parent.parent / "Makefile"
NEEDED = ("sh", "awk", "rm", "touch")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing but the Makefile, and a `bin` with the few commands it may use."""
    shutil.copy(MAKEFILE, tmp_path / "Makefile")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "bin").mkdir()
    for name in NEEDED:
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    return tmp_path


def python(folder: Path, name: str, version: str, *, recent: bool) -> None:
    """A stand-in for an interpreter: it tells its version, whether that will do, and cannot make an environment."""
    script = folder / "bin" / name
    script.write_text(
        f'#!/bin/sh\ncase "$1" in --version) echo "Python {version}";; -c) exit {0 if recent else 1};; '
        '-m) mkdir .venv; echo "no ensurepip here" >&2; exit 7;; esac\n'
    )
    script.chmod(0o755)


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(shutil.which("make")), *words],
        cwd=folder,
        env={"PATH": str(folder / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_is_the_default_and_names_every_target(folder: Path) -> None:
    shown = make(folder)
    targets = re.findall(r"^\.PHONY: (.*)$", MAKEFILE.read_text(), re.MULTILINE)[0].split()
    assert shown.returncode == 0
    assert [target for target in targets if not re.search(rf"^  {target} ", shown.stdout, re.MULTILINE)] == []


def test_too_old_a_python_is_named_with_its_version(folder: Path) -> None:
    python(folder, "python3", "3.9.2", recent=False)
    shown = make(folder, "test")
    assert shown.returncode
    assert "needs Python 3.11 or newer, and here is Python 3.9.2." in shown.stderr
    assert "make test PYTHON=" in shown.stderr


def test_no_python_at_all_is_said(folder: Path) -> None:
    shown = make(folder, "run-worker", "PYTHON=snake")
    assert shown.returncode
    assert "no working snake" in shown.stderr


def test_a_newer_python_beside_an_old_one_is_found(folder: Path) -> None:
    python(folder, "python3", "3.9.2", recent=False)
    python(folder, "python3.12", "3.12.1", recent=True)
    assert "Creating .venv/ with Python 3.12.1" in make(folder, "test").stdout


def test_an_environment_that_cannot_be_made_leaves_no_half_of_it_and_the_reason_is_shown(folder: Path) -> None:
    python(folder, "python3", "3.11.2", recent=True)
    (folder / "bin" / "mkdir").symlink_to(str(shutil.which("mkdir")))
    shown = make(folder, "test")
    assert shown.returncode
    assert "no ensurepip here" in shown.stderr
    assert not (folder / ".venv").exists()

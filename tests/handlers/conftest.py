"""A project's root for handlers that read and write files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the only one handlers may use."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.setenv("HEAVYLIFT_ROOT", str(folder))
    monkeypatch.delenv("HEAVYLIFT_ALLOWED_ROOTS", raising=False)
    return folder


def listing(folder: Path) -> list[str]:
    """All files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def run_elsewhere(root: Path, code: str, *args: str) -> str:
    """What a process of its own prints."""
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env=here).stdout

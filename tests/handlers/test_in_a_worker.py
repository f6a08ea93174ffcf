"""The handlers as jobs, run by a worker that was started in another folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from pypdf import PdfReader

from handlers.documents import report
from handlers.images import resize
from heavylift import Client

PROJECT = Path(__file__).parents[2]


def work(url: str, root: Path, elsewhere: Path) -> None:
    """Run all jobs that wait."""
    command = [sys.executable, "-m", "heavylift", "worker", "--burst", "--redis", url, "--root", str(root)]
    ran = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_files_are_found_below_the_projects_root_wherever_the_worker_was_started(url: str, tmp_path: Path) -> None:
    root = tmp_path / "project"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(PROJECT / "handlers", root / "handlers")
    shutil.copytree(PROJECT / "samples", root / "samples", ignore=shutil.ignore_patterns("out"))
    with Client(url) as client:
        photo = client.enqueue(resize.job("samples/lighthouse.jpg", width=400))
        paper = client.enqueue(report.job("samples/sales.csv"))
        work(url, root, elsewhere)
        assert photo.result(timeout=5)["height"] == 533
        pages = paper.result(timeout=5)["pages"]
    assert (root / "samples" / "out" / "lighthouse-400.jpg").is_file()
    assert len(PdfReader(root / "samples" / "out" / "sales.pdf").pages) == pages
    assert list(elsewhere.iterdir()) == []

"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.harness import Project


@pytest.fixture
def project(tmp_path: Path, url: str) -> Iterator[Project]:
    """A project whose Redis is the tests' own."""
    made = Project(tmp_path / "project", url)
    yield made
    made.end()

"""The handlers that come with heavylift, tested as a user tests theirs: with the fixture `jobs`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from handlers.documents import report
from handlers.images import resize
from heavylift import Settings
from heavylift.testing import Drained, Harness

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def heavylift_url(url: str) -> str:
    return url


@pytest.fixture
def heavylift_settings(url: str, root: Path) -> Settings:
    shutil.copytree(PROJECT / "samples", root / "samples", ignore=shutil.ignore_patterns("out"))
    return Settings.load(env={}, redis_url=url, prefix="test-handlers", root=root)


@pytest.fixture
def heavylift_handlers() -> list[object]:
    return [resize, report]


def test_photographs_and_papers_are_made_by_one_drain(jobs: Harness, root: Path) -> None:
    photo = jobs.client.enqueue(resize.job("samples/lighthouse.jpg", width=400))
    paper = jobs.client.enqueue(report.job("samples/sales.csv"), delay=3600)
    jobs.assert_enqueued(resize, {"source": "samples/lighthouse.jpg", "width": 400})
    jobs.assert_enqueued(report, delay=3600)
    assert jobs.drain(with_delayed=True, strict=True) == Drained(completed=2)
    made = root / "samples" / "out" / "lighthouse-400.jpg"
    with Image.open(made) as image:
        assert image.width == 400
    assert photo.result(timeout=0)["height"] == 533
    assert paper.result(timeout=0)["pages"] > 1


def test_a_photograph_that_is_not_there_ends_as_a_dead_letter(jobs: Harness) -> None:
    job = jobs.client.enqueue(resize.job("samples/nobody.jpg", width=400))
    drained = jobs.drain(with_delayed=True)
    assert drained.failed == 1
    assert "nobody.jpg" in job.record().attempts[-1].message
    jobs.refute_enqueued(resize)


def test_a_result_is_what_a_client_gets(jobs: Harness) -> None:
    ran = jobs.run_job(resize.job("samples/lighthouse.jpg", width=200))
    assert ran.result["width"] == 200
    assert ran.progress[-1].fraction == 1.0

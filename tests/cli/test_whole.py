"""Complete files are told from half-written ones."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from heavylift.cli.whole import PATIENCE, is_whole

STILL = 1.0


def picture(format: str) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((200, 150), 40).convert("RGB").save(file, format)
    return file.getvalue()


FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_whole_image_is_whole(tmp_path: Path, format: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(picture(format))
    assert is_whole(path, STILL)


@pytest.mark.parametrize("part", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("format", FORMATS)
def test_the_beginning_of_an_image_is_not_whole_however_still_it_is(tmp_path: Path, format: str, part: float) -> None:
    data = picture(format)
    path = tmp_path / "image"
    path.write_bytes(data[: int(len(data) * part)])
    assert not is_whole(path, STILL)


def test_an_empty_file_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.touch()
    assert not is_whole(path, STILL)


def test_a_file_that_has_just_changed_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(picture("PNG"))
    assert not is_whole(path, 0.1)


def test_a_damaged_image_is_passed_on_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(picture("PNG")[:-20])
    assert is_whole(path, PATIENCE)


def test_of_an_unknown_format_any_end_is_good(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2")
    assert is_whole(path, STILL)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has leases")
def test_a_file_that_somebody_has_open_for_writing_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with path.open("wb") as writer:
        writer.write(picture("PNG"))
        writer.flush()
        assert not is_whole(path, STILL)
    assert is_whole(path, STILL)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has leases")
def test_a_file_that_somebody_reads_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(picture("PNG"))
    with path.open("rb"):
        assert is_whole(path, STILL)

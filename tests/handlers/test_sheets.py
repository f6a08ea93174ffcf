"""`contact_sheet`: every picture, upright, on as many pages as it takes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from pypdf import PdfReader

from handlers.sheets import contact_sheet
from heavylift import Context, Reject, State
from heavylift.parents import Parent


def picture(root: Path, name: str, colour: str = "red", size: tuple[int, int] = (400, 300), turn: int = 1) -> str:
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.new("RGB", size, colour).save(root / name, exif=exif)
    return name


def sheet(root: Path) -> PdfReader:
    return PdfReader(io.BytesIO((root / "contact-sheet.pdf").read_bytes()))


def test_every_image_is_shown_with_its_name(root: Path) -> None:
    names = [picture(root, f"{n}.jpg", f"rgb({n * 12}, 80, 80)") for n in range(20)]
    made = contact_sheet(Context(), names, title="Holidays")
    assert (made["images"], made["pages"]) == (20, 2)
    pages = sheet(root).pages
    text = "\n".join(page.extract_text() for page in pages)
    assert "Holidays" in text
    assert all(name in text for name in names)
    assert sum(len(page.images) for page in pages) == 20


def test_pictures_are_small_upright_and_keep_their_shape(root: Path) -> None:
    contact_sheet(Context(), [picture(root, "a.jpg", size=(3000, 1500), turn=6)])
    (shown,) = sheet(root).pages[0].images
    width, height = shown.image.size  # type: ignore[union-attr]
    assert height == pytest.approx(2 * width, abs=2)
    assert height < 500


def test_without_sources_it_shows_what_its_parents_have_written(root: Path) -> None:
    parents = [
        Parent("images", "1", State.COMPLETED, b'{"target":"a.jpg"}'),
        Parent("images", "2", State.FAILED, None),
        Parent("images", "3", State.COMPLETED, b"[1]"),
    ]
    picture(root, "a.jpg")
    assert contact_sheet(Context(parents=parents))["images"] == 1


def test_twice_gives_the_same_file(root: Path) -> None:
    names = [picture(root, "a.jpg"), picture(root, "b.jpg", "blue")]
    contact_sheet(Context(), names)
    first = (root / "contact-sheet.pdf").read_bytes()
    contact_sheet(Context(), names)
    assert (root / "contact-sheet.pdf").read_bytes() == first


def test_what_cannot_be_shown_is_rejected_and_writes_nothing(root: Path) -> None:
    (root / "no.jpg").write_bytes(b"no image")
    for sources, target in ((["no.jpg"], "x.pdf"), ([], "x.pdf"), (["gone.jpg"], "x.pdf"), (["no.jpg"], "x.txt")):
        with pytest.raises(Reject):
            contact_sheet(Context(), sources, target)
    assert not (root / "x.pdf").exists()

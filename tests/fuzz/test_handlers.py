"""Real files, damaged: a handler makes something whole of them or refuses them, in bounded time, and leaves nothing."""

from __future__ import annotations

import csv
import functools
import io
import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfReader

from handlers.documents import report
from handlers.images import resize
from handlers.sheets import contact_sheet
from heavylift import Context, Reject
from tests.fuzz.mutating import fuzzed, mutated
from tests.handlers.conftest import listing
from tests.handlers.test_documents import SALES
from tests.handlers.test_images import exif, profile_of, quarters

SEEDS = st.integers(0, 2**32)
FORMATS = st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])


@functools.cache
def picture(kind: str) -> bytes:
    """A small one, with all that a file of this format can have beside its pixels."""
    made = io.BytesIO()
    more: dict[str, Any] = {"exif": exif(x0112=6, x8298="me")} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}
    if kind in ("JPEG", "PNG", "WEBP"):
        more["icc_profile"] = profile_of("sRGB")
    quarters((60, 40)).effect_spread(5).save(made, kind, **more)
    return made.getvalue()


@functools.cache
def table(kind: str) -> bytes:
    lines = SALES.read_text().splitlines()[:20]
    records = list(csv.DictReader(lines))
    if kind == "csv":
        return "\n".join(lines).encode()
    return (json.dumps(records) if kind == "json" else "\n".join(map(json.dumps, records))).encode()


@fuzzed(300)
@given(
    kind=FORMATS,
    seed=SEEDS,
    hits=st.integers(1, 12),
    target=st.sampled_from(["out.jpg", "out.png", "out.webp", "out.gif"]),
)
def test_a_damaged_image_is_resized_or_refused(root: Path, kind: str, seed: int, hits: int, target: str) -> None:
    (root / "a.bin").write_bytes(mutated(picture(kind), seed, hits))
    try:
        done = resize(Context(), "a.bin", width=20, target=target)
    except Reject:
        assert not (root / target).exists()
    else:
        with Image.open(root / target) as made:
            assert made.size == (done["width"], done["height"])
        (root / target).unlink()
    assert listing(root) == ["a.bin"]


@fuzzed(150)
@given(kind=FORMATS, seed=SEEDS, hits=st.integers(1, 12))
def test_a_damaged_image_is_on_the_sheet_or_there_is_none(root: Path, kind: str, seed: int, hits: int) -> None:
    (root / "a.bin").write_bytes(mutated(picture(kind), seed, hits))
    try:
        contact_sheet(Context(), ["a.bin"], "sheet.pdf")
    except Reject:
        assert not (root / "sheet.pdf").exists()
    else:
        (page,) = PdfReader(io.BytesIO((root / "sheet.pdf").read_bytes())).pages
        assert len(page.images) == 1
        (root / "sheet.pdf").unlink()
    assert listing(root) == ["a.bin"]


WORDS = [
    b'"',
    b",",
    b"\n",
    b"\r",
    b"\0",
    b"{",
    b"[" * 2000,
    b"\xc3\xa9",
    b"\xff",
    b"\xff\xfe",
    b"9999999",
    b"-",
    b"1e308",
    b"\\ud800",
]


@fuzzed(150)
@given(kind=st.sampled_from(["csv", "json", "jsonl"]), seed=SEEDS, hits=st.integers(1, 30))
def test_a_damaged_table_becomes_a_document_or_is_refused(root: Path, kind: str, seed: int, hits: int) -> None:
    (root / f"a.{kind}").write_bytes(mutated(table(kind), seed, hits, WORDS))
    try:
        done = report(Context(), f"a.{kind}", "out.pdf")
    except Reject:
        assert not (root / "out.pdf").exists()
    else:
        assert len(PdfReader(io.BytesIO((root / "out.pdf").read_bytes())).pages) == done["pages"]
        (root / "out.pdf").unlink()
    assert listing(root) == [f"a.{kind}"]
    (root / f"a.{kind}").unlink()

"""Images: `resize`.

The work is ordered so that few pixels are touched: the size is planned from the head of the file alone, a JPEG is
decoded at the smallest of its scales that still has enough detail, and what has to be turned is turned when
it is small. The result is encoded in memory and written whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, BinaryIO, Literal, TypedDict

from msgspec import Meta
from PIL import Image

from handlers import _pixels
from heavylift import Context, files, handler

Mode = Literal["fit", "fill", "exact"]
Pixels = Annotated[int, Meta(ge=1, le=65_535)]
Quality = Annotated[int, Meta(ge=1, le=100)]

DRAFT_GAP = 2.0
REDUCING_GAP = 3.0
"""How much larger than its result an image is before the last, careful step; below, the cheap steps show."""


class Resized(TypedDict):
    """What `resize` returns.

    Attributes:
        target: the file that was written.
        width, height: of it, in pixels.
        bytes: its size.
        format: JPEG, PNG, WEBP ...
        source_width, source_height: of the source, turned upright.
        notes: what did not go without saying: not enlarged, laid on white, first frame only.
    """

    target: str
    width: int
    height: int
    bytes: int
    format: str
    source_width: int
    source_height: int
    notes: list[str]


def resize_target(source: str, width: int = 800) -> str:
    """Where `resize` writes if it is not told: `samples/out/harbour-800.jpg` for `samples/harbour.jpg`.

    Raises:
        Reject: the source has no suffix of an image; a watcher leaves such files alone.
    """
    _pixels.format_of(source)
    path = PurePosixPath(source)
    return str(path.parent / "out" / f"{path.stem}-{width}{path.suffix}")


@handler(lane="cpu", queue="images", timeout=60, retries=3)
def resize(
    ctx: Context,
    source: str,
    width: Pixels = 800,
    height: Pixels | None = None,
    target: str | None = None,
    mode: Mode = "fit",
    quality: Quality = 85,
    enlarge: bool = False,
) -> Resized:
    """Resize an image. Running it twice gives the same file.

    The orientation is applied, the colour profile kept, transparency kept where the target's format has it (else
    the image is laid on white). Of the other metadata only author and copyright stay. Of several frames the first
    is taken.

    Example: heavylift enqueue resize samples/*.jpg --width 800 --wait

    Args:
        source: the image, relative to the project's root.
        width: in pixels.
        height: in pixels; by the proportions if not given (for fill: as the width).
        target: the file to write, its format by its suffix; <folder>/out/<name>-<width>.<suffix> if not given.
        mode: fit into the box, fill it and crop what stands over, or exact: stretch to it.
        quality: 1 to 100, for JPEG, WebP and AVIF.
        enlarge: fit and fill may make the image larger than it is; exact does so anyway.

    Raises:
        Reject: the source is no image, damaged, too large or not where it may be; the target cannot be written.
    """
    target = resize_target(source, width) if target is None else target
    kind = _pixels.format_of(target)
    notes: list[str] = []
    with files.source(source, limit=_pixels.MAX_BYTES) as file:
        with _pixels.decoding(source):
            full, image, kept = _scaled(ctx, file, source, (width, height, mode, enlarge), notes)
            ctx.progress(0.75, message="encoding")
            data = _pixels.encode(image, kind, quality, kept, notes)
        ctx.progress(0.95, message="saving")
        with files.output(target, unlike=[file]) as out:
            out.write(data)
    ctx.progress(1.0, message="saved")
    return Resized(
        target=target,
        width=image.width,
        height=image.height,
        bytes=len(data),
        format=kind,
        source_width=full[0],
        source_height=full[1],
        notes=notes,
    )


_Wish = tuple[int, int | None, Mode, bool]


def _scaled(
    ctx: Context, file: BinaryIO, source: str, wish: _Wish, notes: list[str]
) -> tuple[tuple[int, int], Image.Image, bytes]:
    """The upright size of the source, the resized image, and the EXIF data to keep."""
    ctx.progress(0.05, message="opening")
    raw = _pixels.open_image(file, source)
    by_draft = raw.format in ("JPEG", "MPO")
    if getattr(raw, "is_animated", False) and not by_draft:
        notes.append("the first of several frames")
    if not by_draft:
        raw.load()  # before the orientation is asked for: TIFF images turn themselves
    turn = _pixels.orientation(raw)
    full = raw.size if turn < 5 else (raw.height, raw.width)
    plan = make_plan(full, *wish)
    _pixels.check_pixels(source, plan.size)
    if plan.limited:
        notes.append(f"not enlarged: the source is {full[0]} x {full[1]}")
    here = plan if turn < 5 else plan.turned()
    ctx.progress(0.1, message="decoding")
    kept = _pixels.rights(raw)
    box = _drafted(raw, here) if by_draft else here.box
    raw.load()
    ctx.progress(0.4, message="resizing")
    profile = raw.info.get("icc_profile")
    image = _pixels.workable(raw).resize(here.size, Image.Resampling.LANCZOS, box=box, reducing_gap=REDUCING_GAP)
    image = _pixels.upright(image, turn)
    image.info = {"icc_profile": profile}
    return full, image, kept


def _drafted(raw: Image.Image, plan: Plan) -> tuple[float, float, float, float]:
    """Let a JPEG be decoded smaller; the plan's box in the pixels it will have then."""
    before = raw.size
    left, top, right, bottom = plan.box
    need = [
        DRAFT_GAP * wanted * all_of_it / part
        for wanted, all_of_it, part in zip(plan.size, before, (right - left, bottom - top), strict=True)
    ]
    raw.draft(None, (round(need[0]), round(need[1])))
    x, y = raw.width / before[0], raw.height / before[1]
    return left * x, top * y, min(right * x, raw.width), min(bottom * y, raw.height)


@dataclass(frozen=True, slots=True)
class Plan:
    """How an image is resized: `box`, a part of it, becomes `size`. `limited`: it would have been larger."""

    size: tuple[int, int]
    box: tuple[float, float, float, float]
    limited: bool = False

    def turned(self) -> Plan:
        """The same for the image as it lies on its side in the file (the box is in the middle)."""
        left, top, right, bottom = self.box
        return Plan((self.size[1], self.size[0]), (top, left, bottom, right), self.limited)


def make_plan(full: tuple[int, int], width: int, height: int | None, mode: Mode, enlarge: bool) -> Plan:
    """What an image of size `full` becomes; see `resize`."""
    whole = (0.0, 0.0, float(full[0]), float(full[1]))
    if mode == "exact":
        return Plan((width, _in_proportion(full, width) if height is None else height), whole)
    if mode == "fill":
        return _fill(full, (width, width if height is None else height), enlarge)
    by_width = (width, _in_proportion(full, width))
    size = by_width
    if height is not None and by_width[1] > height:
        size = (max(1, round(full[0] * height / full[1])), height)
    if not enlarge and (size[0] > full[0] or size[1] > full[1]):
        return Plan(full, whole, limited=True)
    return Plan(size, whole)


def _in_proportion(full: tuple[int, int], width: int) -> int:
    return max(1, round(full[1] * width / full[0]))


def _fill(full: tuple[int, int], size: tuple[int, int], enlarge: bool) -> Plan:
    """The largest part in the middle that has the proportions of `size`."""
    scale = min(full[0] / size[0], full[1] / size[1])
    part = (size[0] * scale, size[1] * scale)
    left, top = max(0.0, (full[0] - part[0]) / 2), max(0.0, (full[1] - part[1]) / 2)
    box = (left, top, min(left + part[0], full[0]), min(top + part[1], full[1]))
    if scale >= 1 or enlarge:
        return Plan(size, box)
    return Plan((max(1, round(part[0])), max(1, round(part[1]))), box, limited=True)

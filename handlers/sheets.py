"""Contact sheets: small pictures of many images on the pages of one PDF.

As the last job of a flow it takes the images that its parents have made: resized in parallel, gathered here.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any, TypedDict

from msgspec import Meta
from PIL import Image
from reportlab.lib.utils import ImageReader

from handlers import _pixels
from handlers._fonts import fonts_for
from handlers._pages import DEEP, MARGIN, RULE, SOFT, Pages, cut, write
from heavylift import Context, Reject, files, handler

GAP = 12.0
SHAPE = 0.75
"""Height of a picture's frame, as part of its width."""

DENSITY = 200
"""Pixels per inch at which pictures are kept in the PDF: sharp in print, and no larger."""

Columns = Annotated[int, Meta(ge=1, le=8)]
Title = Annotated[str, Meta(min_length=1, max_length=200)]


class Sheet(TypedDict):
    """What `contact_sheet` returns.

    Attributes:
        target: the file that was written.
        pages, bytes: of it.
        images: how many pictures it shows.
    """

    target: str
    pages: int
    bytes: int
    images: int


@handler(lane="cpu", queue="documents", timeout=300, retries=3)
def contact_sheet(
    ctx: Context,
    sources: list[str] | None = None,
    target: str = "contact-sheet.pdf",
    title: Title = "Contact sheet",
    columns: Columns = 3,
) -> Sheet:
    """Show many images on the pages of one PDF. Running it twice gives the same file.

    Example: heavylift enqueue contact_sheet '["samples/harbour.jpg", "samples/lighthouse.jpg"]' --wait

    Args:
        sources: the images, relative to the project's root; if not given, those that the parents of this job wrote.
        target: the PDF to write.
        title: at the top of the first page.
        columns: pictures side by side.

    Raises:
        Reject: no images, or one that cannot be read; the target is no PDF or cannot be written.
    """
    if PurePosixPath(target).suffix.lower() != ".pdf":
        raise Reject(f"{target!r}: the suffix of a contact sheet is .pdf")
    sources = _made_by(ctx) if sources is None else sources
    if not sources:
        raise Reject("there are no images to show; give sources, or let the job wait for jobs that write some")
    pages = _laid_out(ctx, sources, title, columns)
    data = pages.render(lambda done, of: ctx.progress(0.8 + 0.15 * done / of, message=f"page {done} of {of}"))
    with files.output(target) as out:
        out.write(data)
    ctx.progress(1.0, message="saved")
    return Sheet(target=target, pages=len(pages.pages), bytes=len(data), images=len(sources))


def _made_by(ctx: Context) -> list[str]:
    """The files that the parents of this job have written."""
    made = [parent.result for parent in ctx.parents if parent.completed]
    return [result["target"] for result in made if isinstance(result, dict) and isinstance(result.get("target"), str)]


def _laid_out(ctx: Context, sources: Sequence[str], title: str, columns: int) -> Pages:
    names = [PurePosixPath(source).name for source in sources]
    count = f"{len(sources)} image" + ("s" if len(sources) > 1 else "")
    pages = Pages(title=title, source=count, fonts=fonts_for([title, *names]))
    pages.turn()
    y = pages.y - 22
    pages.put(lambda c: write(c, pages.fonts, MARGIN, y, cut(pages.fonts, title, 22, pages.width, bold=True), 22, bold=True, colour=DEEP), 30)  # fmt: skip  # noqa: E501
    pages.put(lambda c: write(c, pages.fonts, MARGIN, y - 18, count, 10, colour=SOFT), 18)
    width = (pages.width - GAP * (columns - 1)) / columns
    height = width * SHAPE
    for start in range(0, len(sources), columns):
        pages.need(height + 26)
        for column, at in enumerate(range(start, min(start + columns, len(sources)))):
            picture = _picture(sources[at], width, height)
            x = MARGIN + column * (width + GAP)
            pages.put(partial(_draw, pages, picture, names[at], x, pages.y - 8 - height, width, height), 0)
            ctx.progress(0.8 * (at + 1) / len(sources), message=names[at])
        pages.put(lambda _: None, height + 26)
    return pages


def _picture(source: str, width: float, height: float) -> bytes:
    """An image as it goes into its frame: upright, small, and as a JPEG."""
    with files.source(source, limit=_pixels.MAX_BYTES) as file, _pixels.decoding(source):
        image = _pixels.open_image(file, source)
        box = (round(width / 72 * DENSITY), round(height / 72 * DENSITY))
        if image.format in ("JPEG", "MPO"):
            image.draft(None, (2 * max(box), 2 * max(box)))
        image.load()  # before the orientation is asked for: TIFF images turn themselves
        image = _pixels.upright(_pixels.workable(image), _pixels.orientation(image))
        image.thumbnail(box, Image.Resampling.LANCZOS, reducing_gap=3.0)
        return _pixels.encode(image.convert("RGB") if image.mode == "CMYK" else image, "JPEG", 88, b"", [])


def _draw(
    pages: Pages, picture: bytes, name: str, x: float, y: float, width: float, height: float, canvas: Any
) -> None:
    """One picture in the middle of its frame, its name below."""
    shown = ImageReader(io.BytesIO(picture))
    full = shown.getSize()
    scale = min((width - 8) / full[0], (height - 8) / full[1])
    wide, high = full[0] * scale, full[1] * scale
    canvas.drawImage(shown, x + (width - wide) / 2, y + (height - high) / 2, wide, high)
    canvas.setStrokeColor(RULE)
    canvas.setLineWidth(0.5)
    canvas.rect(x, y, width, height, stroke=1, fill=0)
    write(canvas, pages.fonts, x + width / 2, y - 11, cut(pages.fonts, name, 8, width), 8, colour=SOFT, align="middle")

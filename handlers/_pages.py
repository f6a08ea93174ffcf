"""Pages of a document: what stands where is settled first, then it is drawn.

Nothing is drawn while the layout runs. Each block (a chart, a stretch of table rows) goes onto a page as a function
that will draw it; when all pages are known, so is "page X of Y", and each page is drawn from top to bottom. A table of
any length costs a few numbers a row in between, and nothing has to be laid out twice.

Texts are drawn as they are, never read as markup: `<b>` in a cell is four characters.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4, landscape
from reportlab.pdfgen.canvas import Canvas

from handlers._fonts import Fonts

Draw: TypeAlias = Callable[[Any], None]

MARGIN = 46.0
HEAD, FOOT = 20.0, 40.0
INK, SOFT, RULE, SHADE, PAPER = (HexColor(c) for c in ("#1f2937", "#6b7280", "#d5dbe3", "#f4f6f9", "#ffffff"))
ACCENT, DEEP = HexColor("#2f6db5"), HexColor("#16324f")


@dataclass(slots=True)
class Pages:
    """The pages of one document. `y` is where the next block begins, counted from the bottom as PDF does.

    Attributes:
        title: of the document.
        source: named in the footer.
        size: width and height of a page, in points.
    """

    title: str
    source: str
    fonts: Fonts
    wide: bool = False
    y: float = 0.0
    pages: list[list[Draw]] = field(default_factory=list)
    outline: list[tuple[str, int]] = field(default_factory=list)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of a page, in points."""
        width, height = landscape(A4) if self.wide else A4
        return float(width), float(height)

    @property
    def width(self) -> float:
        """Between the margins."""
        return self.size[0] - 2 * MARGIN

    @property
    def room(self) -> float:
        """What is left of the page, in points."""
        return self.y - FOOT - 14

    def turn(self) -> None:
        """Go on to a new page."""
        self.pages.append([])
        self.y = self.size[1] - MARGIN - (HEAD if len(self.pages) > 1 else 0)

    def put(self, draw: Draw, height: float) -> None:
        """Place something that takes up so much height, and go below it."""
        self.pages[-1].append(draw)
        self.y -= height

    def need(self, height: float) -> None:
        """Go on to a new page if so much does not fit on this one."""
        if self.room < height:
            self.turn()

    def mark(self, name: str) -> None:
        """Let this page be found under this name in the reader's outline."""
        self.outline.append((name, len(self.pages) - 1))

    def heading(self, text: str) -> None:
        """A heading above a block."""
        y = self.y - 13
        self.put(lambda c: write(c, self.fonts, MARGIN, y, text, 12.5, bold=True, colour=DEEP), 24)

    def render(self, tell: Callable[[int, int], None]) -> bytes:
        """Draw all pages; the same pages give the same bytes.

        Args:
            tell: called after each page with how many are drawn and how many there are.
        """
        made = io.BytesIO()
        canvas = Canvas(made, pagesize=self.size, pageCompression=1, invariant=1)
        canvas.setTitle(self.title)
        canvas.setSubject(self.source)
        canvas.setAuthor("heavylift")
        canvas.setCreator("heavylift")
        marks = {page: name for name, page in reversed(self.outline)}
        for number, blocks in enumerate(self.pages):
            if number in marks:
                canvas.bookmarkPage(f"page-{number}")
                canvas.addOutlineEntry(marks[number], f"page-{number}")
            for draw in blocks:
                draw(canvas)
            self._frame(canvas, number)
            canvas.showPage()
            tell(number + 1, len(self.pages))
        canvas.save()
        return made.getvalue()

    def _frame(self, canvas: Any, number: int) -> None:
        width, height = self.size
        right = width - MARGIN
        place = f"page {number + 1} of {len(self.pages)}"
        rule(canvas, MARGIN, FOOT, right)
        write(canvas, self.fonts, right, FOOT - 14, place, 8, colour=SOFT, align="right")
        write(canvas, self.fonts, MARGIN, FOOT - 14, cut(self.fonts, self.source, 8, self.width - 90), 8, colour=SOFT)
        if number:
            y = height - MARGIN + 6
            write(
                canvas,
                self.fonts,
                MARGIN,
                y,
                cut(self.fonts, self.title, 9, self.width, bold=True),
                9,
                bold=True,
                colour=DEEP,
            )
            rule(canvas, MARGIN, y - 8, right)


# --- drawing ------------------------------------------------------------------------------------------

Align = Literal["left", "right", "middle"]


def write(
    canvas: Any, fonts: Fonts, x: float, y: float, text: str, size: float,
    *, bold: bool = False, colour: Any = INK, align: Align = "left",
) -> None:  # fmt: skip
    """One line of text; `x` is its left end, right end or middle."""
    canvas.setFont(fonts.bold if bold else fonts.regular, size)
    canvas.setFillColor(colour)
    {"left": canvas.drawString, "right": canvas.drawRightString, "middle": canvas.drawCentredString}[align](x, y, text)


def rule(canvas: Any, left: float, y: float, right: float, colour: Any = RULE, width: float = 0.6) -> None:
    """A thin line across."""
    canvas.setStrokeColor(colour)
    canvas.setLineWidth(width)
    canvas.line(left, y, right, y)


def block(canvas: Any, x: float, y: float, width: float, height: float, colour: Any, radius: float = 0) -> None:
    """A filled rectangle, with round corners if a radius is given."""
    canvas.setFillColor(colour)
    if radius:
        canvas.roundRect(x, y, width, height, radius, stroke=0, fill=1)
    else:
        canvas.rect(x, y, width, height, stroke=0, fill=1)


# --- fitting text -------------------------------------------------------------------------------------


def cut(fonts: Fonts, text: str, size: float, width: float, *, bold: bool = False) -> str:
    """The text on one line, shortened to fit."""
    text = " ".join(text.split())
    if fonts.width(text, size, bold=bold) <= width:
        return text
    return text[: _fitting(fonts, text, size, width - fonts.width("…", size, bold=bold), bold)].rstrip() + "…"


def wrap(fonts: Fonts, text: str, size: float, width: float, most: int, *, bold: bool = False) -> Sequence[str]:
    """The text in lines that fit; words too long for one are broken. More than `most` lines are cut off."""
    if "\n" not in text and fonts.width(text, size, bold=bold) <= width:
        return (text,)
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            joined = f"{line} {word}" if line else word
            if fonts.width(joined, size, bold=bold) <= width:
                line = joined
                continue
            if line:
                lines.append(line)
            while fonts.width(word, size, bold=bold) > width:
                if len(lines) > most:
                    break
                end = max(1, _fitting(fonts, word, size, width, bold))
                lines.append(word[:end])
                word = word[end:]
            line = word
        lines.append(line)
        if len(lines) > most:
            return (*lines[: most - 1], cut(fonts, lines[most - 1] + " …", size, width, bold=bold))
    return lines


def _fitting(fonts: Fonts, text: str, size: float, width: float, bold: bool) -> int:
    """How many characters fit, by halving."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fonts.width(text[:middle], size, bold=bold) <= width else (low, middle - 1)
    return low

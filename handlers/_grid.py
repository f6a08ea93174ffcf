"""A table on pages: widths for its columns, lines for its cells, its header again on every page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from handlers._fonts import Fonts
from handlers._pages import DEEP, INK, MARGIN, PAPER, SHADE, Pages, block, rule, wrap

PAD = 5.0
MOST_LINES = 12
WIDEST = 210.0
"""Points a column takes at most before its cells are wrapped."""

SAMPLED = 2000
SIZES = (8.5, 8.0, 7.5, 7.0, 6.5, 6.0, 5.5)
UNBROKEN = 3
MOST_STRETCHED = 2.4

Cells = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Grid:
    """How a table is set.

    Attributes:
        size: of its type, in points.
        widths: of its columns.
        right: which columns are aligned to the right.
    """

    fonts: Fonts
    size: float
    widths: tuple[float, ...]
    right: tuple[bool, ...]

    @property
    def leading(self) -> float:
        """From one line to the next."""
        return self.size * 1.25

    def lines(self, row: Sequence[str], *, bold: bool = False) -> list[Sequence[str]]:
        """The cells of a row, each in lines."""
        pairs = zip(row, self.widths, strict=True)
        return [
            wrap(self.fonts, cell, self.size, width - 2 * PAD + 0.05, MOST_LINES, bold=bold) for cell, width in pairs
        ]

    def height(self, lines: Sequence[Sequence[str]]) -> float:
        """Of a row."""
        return max((len(cell) for cell in lines), default=1) * self.leading + PAD

    def draw(self, canvas: Any, y: float, lines: Sequence[Sequence[str]], colour: Any, *, bold: bool = False) -> None:
        """Draw a row whose upper edge is at `y`."""
        canvas.setFont(self.fonts.bold if bold else self.fonts.regular, self.size)
        canvas.setFillColor(colour)
        x = MARGIN
        first = y - PAD / 2 - self.size * 0.95
        for cell, width, right in zip(lines, self.widths, self.right, strict=True):
            at = first
            for line in cell:
                if right:
                    canvas.drawRightString(x + width - PAD, at, line)
                elif line:
                    canvas.drawString(x + PAD, at, line)
                at -= self.leading
            x += width


def grid_for(fonts: Fonts, head: Sequence[str], rows: Cells, right: Sequence[bool], width: float) -> Grid:
    """A grid for a table: in the largest type in which every column has enough room.

    Where even the smallest is too large, columns of one width in that, with cells broken anywhere.
    """
    step = max(1, len(rows) // SAMPLED)
    columns = [[row[i] for row in rows[::step]] for i in range(len(head))]
    natural = {
        size: [_natural(fonts, size, *column) for column in zip(head, columns, right, strict=True)] for size in SIZES
    }
    for size in SIZES[:UNBROKEN]:  # rather a little smaller than broken into lines
        widths = [like for like, _ in natural[size]]
        if sum(widths) <= width:
            stretch = min(width / sum(widths), MOST_STRETCHED)
            return Grid(fonts, size, tuple(wide * stretch for wide in widths), tuple(right))
    for size in SIZES:
        if sum(least for _, least in natural[size]) <= width:
            return Grid(fonts, size, _shared(natural[size], width), tuple(right))
    return Grid(fonts, SIZES[-1], (width / len(head),) * len(head), tuple(right))


def _natural(fonts: Fonts, size: float, name: str, cells: Sequence[str], whole: bool) -> tuple[float, float]:
    """How wide a column would like to be, and the least it can do with; `whole` cells are not to be broken."""
    lengths = sorted((fonts.width(cell, size) for cell in set(cells)), reverse=True)
    longest = lengths[0] if lengths else 0.0
    words = [fonts.width(word, size, bold=True) for word in name.split()] or [0.0]
    usual = lengths[len(lengths) // 20] if lengths else 0.0  # a few long cells may be wrapped
    like = min(max(longest, min(sum(words) + 4, 90)), WIDEST)
    least = max(longest if whole else min(usual, 70), min(max(words), 70))
    return like + 2 * PAD, min(like, least) + 2 * PAD


def _shared(natural: Sequence[tuple[float, float]], width: float) -> tuple[float, ...]:
    """Everybody gets the least, and of the rest in proportion to what is missing."""
    spare = width - sum(narrow for _, narrow in natural)
    missing = sum(wide - narrow for wide, narrow in natural) or 1
    return tuple(narrow + (wide - narrow) * spare / missing for wide, narrow in natural)


def place(
    pages: Pages, grid: Grid, head: Sequence[str], rows: Cells, tell: Callable[[int, int], None] | None = None
) -> None:
    """Put a table onto pages, from where they are now on.

    Args:
        tell: called now and then with how many rows are placed and how many there are.
    """
    top = grid.lines(head, bold=True)
    top_height = grid.height(top) + 3
    lines = [grid.lines(row) for row in rows[:1]]
    pages.need(top_height + (grid.height(lines[0]) if lines else 0) + 4)
    stretch: list[Sequence[str]] = []
    heights: list[float] = []
    room = pages.room - top_height
    for number, row in enumerate(rows):
        height = grid.height(grid.lines(row))
        if height > room and stretch:
            _put(pages, grid, top, top_height, stretch, heights, number - len(stretch))
            pages.turn()
            stretch, heights, room = [], [], pages.room - top_height
        stretch.append(row)
        heights.append(height)
        room -= height
        if tell is not None and number % 500 == 0:
            tell(number, len(rows))
    _put(pages, grid, top, top_height, stretch, heights, len(rows) - len(stretch))


def _put(
    pages: Pages,
    grid: Grid,
    top: list[Sequence[str]],
    top_height: float,
    rows: Cells,
    heights: Sequence[float],
    first: int,
) -> None:
    start = pages.y
    width = sum(grid.widths)

    def draw(canvas: Any) -> None:
        block(canvas, MARGIN, start - top_height, width, top_height, DEEP)
        grid.draw(canvas, start - 1.5, top, PAPER, bold=True)
        y = start - top_height
        for number, (row, height) in enumerate(zip(rows, heights, strict=True), first):
            if number % 2:
                block(canvas, MARGIN, y - height, width, height, SHADE)
            grid.draw(canvas, y, grid.lines(row), INK)
            y -= height
        rule(canvas, MARGIN, y, MARGIN + width)

    pages.put(draw, top_height + sum(heights))

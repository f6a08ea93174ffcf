"""Charts and headline figures, drawn onto a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from reportlab.lib.colors import HexColor

from handlers._figures import Bars, Chart, Figure, Lines, compact
from handlers._pages import ACCENT, DEEP, INK, MARGIN, PAPER, RULE, SHADE, SOFT, Pages, block, cut, rule, wrap, write

PALETTE = tuple(HexColor(c) for c in ("#2f6db5", "#e08e45", "#2a9d8f", "#c44e5c", "#7a5fa8"))
REST = HexColor("#a8b8cb")
PLOT_HEIGHT = 168.0
BAR_HEIGHT = 19.0


def band(pages: Pages, title: str, under: str) -> None:
    """The coloured head of the first page."""
    width, height = pages.size
    shown = wrap(pages.fonts, title, 25, pages.width, 2, bold=True)
    deep = 92.0 + 28 * (len(shown) - 1)

    def draw(canvas: Any) -> None:
        block(canvas, 0, height - deep, width, deep, DEEP)
        block(canvas, 0, height - deep - 3, width, 3, ACCENT)
        y = height - 52.0
        for line in shown:
            write(canvas, pages.fonts, MARGIN, y, line, 25, bold=True, colour=PAPER)
            y -= 28
        write(
            canvas, pages.fonts, MARGIN, y + 6, cut(pages.fonts, under, 10, pages.width), 10, colour=HexColor("#c9d6e6")
        )

    pages.put(draw, 0)
    pages.y = height - deep - 26


def cards(pages: Pages, figures: Sequence[Figure]) -> None:
    """The headline figures, side by side."""
    gap, high, top = 12.0, 52.0, pages.y
    width = min((pages.width - gap * (len(figures) - 1)) / len(figures), 170.0)

    def draw(canvas: Any) -> None:
        for number, figure in enumerate(figures):
            x = MARGIN + number * (width + gap)
            block(canvas, x, top - high, width, high, SHADE, radius=5)
            block(canvas, x, top - high + 7, 2.5, high - 14, ACCENT)
            room = width - 24
            name = cut(pages.fonts, figure.name, 8, room)
            write(canvas, pages.fonts, x + 13, top - 18, name, 8, colour=SOFT)
            size = next(
                (s for s in (17, 15, 13, 11, 10, 9) if pages.fonts.width(figure.value, s, bold=True) <= room), 9
            )
            value = cut(pages.fonts, figure.value, size, room, bold=True)
            write(canvas, pages.fonts, x + 13, top - 40, value, size, bold=True, colour=DEEP)

    pages.put(draw, high + 24)


def chart(pages: Pages, what: Chart) -> None:
    """A chart under its heading; on the next page if this one has no room."""
    height = PLOT_HEIGHT if isinstance(what, Lines) else BAR_HEIGHT * len(what.bars) + 6
    pages.need(height + 46)
    pages.heading(what.title)
    if isinstance(what, Lines):
        _lines(pages, what)
    else:
        _bars(pages, what)


# --- bars ---------------------------------------------------------------------------------------------


def _bars(pages: Pages, what: Bars) -> None:
    fonts, top = pages.fonts, pages.y
    names = [cut(fonts, name, 8.5, 150) for name, _ in what.bars]
    values = [compact(value) for _, value in what.bars]
    left = MARGIN + max(fonts.width(name, 8.5) for name in names) + 10
    right = MARGIN + pages.width - max(fonts.width(value, 8.5, bold=True) for value in values) - 10
    least, most = min(0.0, *(v for _, v in what.bars)), max(0.0, *(v for _, v in what.bars))
    scale = (right - left) / ((most - least) or 1.0)
    zero = left - least * scale

    def draw(canvas: Any) -> None:
        y = top
        for name, shown, (_, value) in zip(names, values, what.bars, strict=True):
            colour = REST if what.rest and name == names[-1] else ACCENT
            middle = y - BAR_HEIGHT / 2
            write(canvas, fonts, left - 10, middle - 3, name, 8.5, align="right")
            block(canvas, left, middle - 5.5, right - left, 11, SHADE, radius=2)
            start, end = sorted((zero, zero + value * scale))
            if end - start > 0.2:
                block(canvas, start, middle - 5.5, end - start, 11, colour, radius=min(2.0, (end - start) / 2))
            write(canvas, fonts, right + 10, middle - 3, shown, 8.5, bold=True, colour=DEEP)
            y -= BAR_HEIGHT

    pages.put(draw, BAR_HEIGHT * len(what.bars) + 22)


# --- lines --------------------------------------------------------------------------------------------


def _lines(pages: Pages, what: Lines) -> None:
    fonts, top = pages.fonts, pages.y
    legend = 16.0 if len(what.lines) > 1 else 0.0
    values = [value for _, line in what.lines for value in line if value is not None]
    ticks = ticks_for(min(values), max(values))
    labels = [compact(tick) for tick in ticks]
    left = MARGIN + max(fonts.width(label, 8) for label in labels) + 8
    right = MARGIN + pages.width - 6
    low, high = top - PLOT_HEIGHT + 18, top - legend - 4

    def at(index: int, value: float) -> tuple[float, float]:
        part = index / max(1, len(what.points) - 1)
        return left + 6 + (right - left - 12) * part, low + (high - low) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    def draw(canvas: Any) -> None:
        if legend:
            _legend(pages, canvas, left, top - 8, [name for name, _ in what.lines])
        for tick, label in zip(ticks, labels, strict=True):
            y = at(0, tick)[1]
            rule(canvas, left, y, right, colour=SOFT if tick == 0 else RULE, width=0.7 if tick == 0 else 0.4)
            write(canvas, fonts, left - 7, y - 2.8, label, 8, colour=SOFT, align="right")
        _point_labels(pages, canvas, what.points, left, right, low - 12)
        for colour, (_, line) in zip(PALETTE, what.lines, strict=False):
            stretches = _stretches(line)
            if len(what.lines) == 1:
                _area(
                    canvas,
                    colour,
                    [[at(i, v) for i, v in stretch] for stretch in stretches],
                    at(0, max(ticks[0], min(0.0, ticks[-1])))[1],
                )
            for stretch in stretches:
                _line(canvas, colour, [at(i, v) for i, v in stretch], dots=len(what.points) <= 40)

    pages.put(draw, PLOT_HEIGHT + 18)


def _stretches(line: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """A line without its gaps."""
    found: list[list[tuple[int, float]]] = [[]]
    for index, value in enumerate(line):
        if value is None:
            found.append([])
        else:
            found[-1].append((index, value))
    return [stretch for stretch in found if stretch]


def _line(canvas: Any, colour: Any, points: Sequence[tuple[float, float]], *, dots: bool) -> None:
    canvas.setStrokeColor(colour)
    canvas.setFillColor(colour)
    canvas.setLineWidth(1.7)
    canvas.setLineJoin(1)
    canvas.setLineCap(1)
    path = canvas.beginPath()
    path.moveTo(*points[0])
    for point in points[1:]:
        path.lineTo(*point)
    canvas.drawPath(path, stroke=1, fill=0)
    if dots or len(points) == 1:
        for x, y in points:
            canvas.circle(x, y, 2.1, stroke=0, fill=1)


def _area(canvas: Any, colour: Any, stretches: Sequence[Sequence[tuple[float, float]]], base: float) -> None:
    canvas.saveState()
    canvas.setFillColor(colour)
    canvas.setFillAlpha(0.10)
    for points in stretches:
        path = canvas.beginPath()
        path.moveTo(points[0][0], base)
        for point in points:
            path.lineTo(*point)
        path.lineTo(points[-1][0], base)
        path.close()
        canvas.drawPath(path, stroke=0, fill=1)
    canvas.restoreState()


def _legend(pages: Pages, canvas: Any, x: float, y: float, names: Sequence[str]) -> None:
    room = pages.width / len(names) - 26
    for colour, name in zip(PALETTE, names, strict=False):
        shown = cut(pages.fonts, name, 8.5, room)
        block(canvas, x, y - 1, 9, 9, colour, radius=2)
        write(canvas, pages.fonts, x + 14, y, shown, 8.5, colour=INK)
        x += pages.fonts.width(shown, 8.5) + 30


def _point_labels(pages: Pages, canvas: Any, points: Sequence[str], left: float, right: float, y: float) -> None:
    widest = max(pages.fonts.width(point, 8) for point in points) + 12
    every = max(1, math.ceil(len(points) * widest / (right - left)))
    for index in range(0, len(points), every):
        x = left + 6 + (right - left - 12) * index / max(1, len(points) - 1)
        write(canvas, pages.fonts, x, y, points[index], 8, colour=SOFT, align="middle")


def ticks_for(least: float, most: float, wanted: int = 5) -> list[float]:
    """Round numbers that span the values, and zero unless that is far away. At least two, ascending."""
    if least >= 0 and least < most * 0.75:
        least = 0.0
    elif most <= 0:
        most = 0.0
    largest = max(abs(least), abs(most))
    if most - least <= largest * 1e-9 or largest < 1e-250:  # flat, as far as a chart goes
        least, most = (
            least - (largest / 10 if largest > 1e-250 else 1),
            most + (largest / 10 if largest > 1e-250 else 1),
        )
    rough = (most - least) / wanted
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(scale * nice for nice in (1, 2, 2.5, 5, 10) if scale * nice >= rough * 0.999)
    first, last = math.floor(least / step + 1e-9), math.ceil(most / step - 1e-9)
    digits = 2 - math.floor(math.log10(step))
    return [round(step * i, digits) for i in range(first, max(last, first + 1) + 1)]

"""Documents: `report`.

A report is made in four steps: read the table, find out what it has to say, settle what stands on which page, draw the
pages. The first page has the figures and charts; the rows follow. It is made in memory and written whole or not
at all; the same data and options give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any, TypedDict

from msgspec import Meta

from handlers import _tables
from handlers._figures import Facts, charts_of, facts_of, figures_of, span_of
from handlers._fonts import Fonts, fonts_for
from handlers._grid import SAMPLED, Grid, grid_for, place
from handlers._pages import MARGIN, SOFT, Pages, wrap, write
from handlers._plots import band, cards, chart
from heavylift import Context, Reject, files, handler

EASY = 7.0
"""Points of type that can be read easily; rather than smaller, a table goes onto wide pages, or in parts."""

Title = Annotated[str, Meta(min_length=1, max_length=200)]


class Report(TypedDict):
    """What `report` returns.

    Attributes:
        target: the file that was written.
        pages, bytes: of it.
        rows, columns: of the table.
        charts: their titles.
        notes: what had to be mended or left out; they stand on the report too.
    """

    target: str
    pages: int
    bytes: int
    rows: int
    columns: int
    charts: list[str]
    notes: list[str]


def report_target(source: str) -> str:
    """Where `report` writes if it is not told: `samples/out/sales.pdf` for `samples/sales.csv`.

    Raises:
        Reject: the source has no suffix of a table; a watcher leaves such files alone.
    """
    _tables.check_suffix(source)
    path = PurePosixPath(source)
    return str(path.parent / "out" / f"{path.stem}.pdf")


@handler(lane="cpu", queue="documents", timeout=300, retries=3)
def report(ctx: Context, source: str, target: str | None = None, title: Title | None = None) -> Report:
    """Make a PDF report from a table: figures, charts, a summary, and all rows. Running it twice gives the same file.

    Example: heavylift enqueue report samples/sales.csv --wait

    Args:
        source: a CSV or JSON file, relative to the project's root.
        target: the PDF to write; <folder>/out/<name>.pdf if not given.
        title: at the top of the report; made from the file's name if not given.

    Raises:
        Reject: the source is no table, too large or not where it may be; the target cannot be written.
    """
    target = report_target(source) if target is None else target
    if PurePosixPath(target).suffix.lower() != ".pdf":
        raise Reject(f"{target!r}: the suffix of a report is .pdf")
    ctx.progress(0.02, message="reading")
    with files.source(source, limit=_tables.MAX_BYTES) as file:
        table = _tables.read_table(file.read(), source)
    ctx.progress(0.15, message="laying out")
    pages, charts = _laid_out(ctx, table, source, title or title_of(source))
    data = pages.render(lambda done, of: ctx.progress(0.5 + 0.45 * done / of, message=f"page {done} of {of}"))
    ctx.progress(0.97, message="saving")
    with files.output(target) as out:
        out.write(data)
    ctx.progress(1.0, message="saved")
    return Report(
        target=target,
        pages=len(pages.pages),
        bytes=len(data),
        rows=len(table.rows),
        columns=len(table.columns),
        charts=charts,
        notes=table.notes,
    )


def title_of(source: str) -> str:
    """A title from a file's name: `Quarterly sales` for `data/quarterly_sales.csv`."""
    words = PurePosixPath(source).stem.replace("_", " ").replace("-", " ").split()
    name = " ".join(words) or "Report"
    return name[0].upper() + name[1:]


def _laid_out(ctx: Context, table: _tables.Table, source: str, title: str) -> tuple[Pages, list[str]]:
    """All pages of the report, and the titles of its charts."""
    name = _tables.clean(PurePosixPath(source).name)
    title = _tables.clean(title)
    fonts = _fonts(table, title, name)
    pages, panels = _sized(fonts, table, title, name)
    pages.turn()
    pages.mark("Summary")
    size = f"{len(table.rows):,} rows, {len(table.columns)} columns"
    band(pages, title, "   ·   ".join(part for part in (name, size, span_of(table)) if part))
    cards(pages, figures_of(table))
    charts = charts_of(table)
    for what in charts:
        chart(pages, what)
    _summary(pages, table)
    _notes(pages, table.notes)
    for number, panel in enumerate(panels if table.rows else []):
        pages.turn()
        if not number:
            pages.mark("Rows")
        panel.place(pages, table, lambda done, of: ctx.progress(0.15 + 0.35 * done / of, message="laying out"))
    return pages, [what.title for what in charts]


def _fonts(table: _tables.Table, title: str, name: str) -> Fonts:
    """Fonts that can write the table. Where there are none, the table is changed to what can be written."""
    texts = [title, name, *(column.name for column in table.columns)]
    fonts = fonts_for([*texts, *(cell for row in table.rows for cell in row if not cell.isascii())])
    if fonts.lacking:
        table.notes.append(f"{fonts.lacking:,} kinds of characters have no shape in the fonts of this machine.")
    return fonts


def _sized(fonts: Fonts, table: _tables.Table, title: str, name: str) -> tuple[Pages, list[_Panel]]:
    """Upright pages if the rows fit on them, else wide ones; on those in as many panels as the columns need."""
    every = range(len(table.columns))
    for wide in (False, True):
        pages = Pages(title, name, fonts, wide)
        grid = _grid(pages, table, every)
        if grid.size >= EASY:
            return pages, [_Panel(every, grid)]
    return pages, _panels(pages, table)


@dataclass(frozen=True, slots=True)
class _Panel:
    """Some of the columns, side by side."""

    columns: Sequence[int]
    grid: Grid

    def place(self, pages: Pages, table: _tables.Table, tell: Callable[[int, int], None]) -> None:
        names = [table.columns[i].name for i in self.columns]
        every = len(self.columns) == len(table.columns)
        rows = table.rows if every else [tuple(row[i] for i in self.columns) for row in table.rows]
        place(pages, self.grid, names, rows, tell)


def _panels(pages: Pages, table: _tables.Table) -> list[_Panel]:
    """The columns in parts that fit, each with the first column in front."""
    rest = list(range(1, len(table.columns)))
    panels: list[_Panel] = []
    while rest or not panels:
        fits = (n for n in range(len(rest), 1, -1) if _grid(pages, table, [0, *rest[:n]]).size >= EASY)
        columns = [0, *rest[: next(fits, 1)]]
        panels.append(_Panel(columns, _grid(pages, table, columns)))
        rest = rest[len(columns) - 1 :]
    return panels


def _grid(pages: Pages, table: _tables.Table, columns: Sequence[int]) -> Grid:
    every = len(columns) == len(table.columns)
    rows = table.rows if every else [[row[i] for i in columns] for row in table.rows[:: 1 + len(table.rows) // SAMPLED]]
    names = [table.columns[i].name for i in columns]
    return grid_for(pages.fonts, names, rows, _right(table, columns), pages.width)


def _right(table: _tables.Table, columns: Sequence[int]) -> list[bool]:
    return [table.columns[i].kind in ("number", "label") for i in columns]


def _summary(pages: Pages, table: _tables.Table) -> None:
    facts = [found for column in table.columns if (found := facts_of(column))]
    if not facts:
        return
    rows = [_row(found) for found in facts]
    head = ("Column", "Count", "Least", "Mean", "Most", "Total")
    right = (False, *[True] * 5)
    grid = grid_for(pages.fonts, head, rows, right, pages.width)
    pages.need(70)
    pages.heading("Numbers")
    place(pages, grid, head, rows)
    pages.y -= 16


def _row(facts: Facts) -> tuple[str, ...]:
    """One line of the summary: as many decimals everywhere as the column needs."""
    ends = (facts.least, facts.most, *([] if facts.total is None else [facts.total]))
    decimals = 0 if all(value == int(value) for value in ends) else 2
    least, most, *total = (_plain(value, decimals) for value in ends)
    return (facts.name, f"{facts.count:,}", least, _plain(facts.mean, 2), most, *(total or [""]))


def _plain(value: float, decimals: int) -> str:
    return f"{value:.4g}" if decimals and 0 < abs(value) < 0.1 else f"{value:,.{decimals}f}"


def _notes(pages: Pages, notes: list[str]) -> None:
    for note in notes:
        for line in wrap(pages.fonts, note, 8.5, pages.width, 4):
            pages.need(14)
            pages.put(partial(_note, pages, pages.y - 9, line), 12)


def _note(pages: Pages, y: float, line: str, canvas: Any) -> None:
    write(canvas, pages.fonts, MARGIN, y, line, 8.5, colour=SOFT)

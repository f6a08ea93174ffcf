"""What a table has to say, as values: which figures stand at the top of a report, and which charts below them.

Chosen from the data alone. The *measure* is the column of amounts that the report is about; it is added up, or
averaged where adding makes no sense (prices, rates). Where there is a date, it is shown over time, one line for each
of a handful of categories; where there is a column of categories, it is shown by category.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from handlers._tables import Column, Table

_ABOUT = re.compile(r"revenue|sales|turnover|amount|total|value|cost|profit|income|spend|sum", re.I)
_AVERAGED = re.compile(
    r"price|rate|pct|percent|%|avg|average|mean|median|temp|score|ratio|age|share|level|degree", re.I
)
MOST_LINES, MOST_BARS, MOST_CATEGORIES, MOST_POINTS = 5, 8, 40, 120


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar for each category, the largest first. `rest`: the last one stands for all others."""

    title: str
    bars: tuple[tuple[str, float], ...]
    rest: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines over common points, each with a value or None at every point."""

    title: str
    points: tuple[str, ...]
    lines: tuple[tuple[str, tuple[float | None, ...]], ...]


Chart: TypeAlias = Bars | Lines


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that stands out."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Facts:
    """A number column in short. `total` is None where adding up makes no sense."""

    name: str
    count: int
    least: float
    mean: float
    most: float
    total: float | None


def facts_of(column: Column) -> Facts | None:
    """The facts of a number column; None for others."""
    values = [number for number in column.numbers if number is not None]
    if not values:
        return None
    total = sum(values)
    return Facts(
        column.name, len(values), min(values), total / len(values), max(values), None if _averaged(column) else total
    )


def _averaged(column: Column) -> bool:
    return bool(_AVERAGED.search(column.name))


def measure_of(table: Table) -> int | None:
    """The column the report is about: one named like an amount, else the last that can be added up, else the last."""
    numbers = [i for i, column in enumerate(table.columns) if column.kind == "number"]
    added = [i for i in numbers if not _averaged(table.columns[i])]
    named = [i for i in added if _ABOUT.search(table.columns[i].name)]
    return next(iter([*named[-1:], *added[-1:], *numbers[-1:]]), None)


def categories_of(table: Table) -> list[tuple[int, int]]:
    """Columns whose cells repeat, as (index, how many different), the fewest first."""
    found = []
    for i, column in enumerate(table.columns):
        if column.kind in ("text", "label"):
            different = len({cell for cell in table.cells(i) if cell})
            if 2 <= different <= min(MOST_CATEGORIES, 0.6 * len(table.rows)):
                found.append((different, i))
    return [(i, different) for different, i in sorted(found)]


def charts_of(table: Table) -> list[Chart]:
    """At most two charts; none for a table that has nothing to draw."""
    measure = measure_of(table)
    when = next((i for i, column in enumerate(table.columns) if column.kind == "date"), None)
    categories = categories_of(table)
    charts: list[Chart] = []
    if measure is not None and when is not None:
        split = next((i for i, different in categories if different <= MOST_LINES), None)
        if chart := _over_time(table, measure, when, split):
            charts.append(chart)
            categories = sorted(categories, key=lambda found: (found[0] == split, -found[1]))  # the other one, if any
    if categories:
        charts.append(_by_category(table, measure, categories[0][0]))
    if not charts and measure is not None and len(table.rows) > 2:
        charts.append(_along_rows(table.columns[measure]))
    return charts


def figures_of(table: Table) -> list[Figure]:
    """Up to four figures for the top of the report."""
    figures = [Figure("Rows", f"{len(table.rows):,}")]
    measure = measure_of(table)
    facts = facts_of(table.columns[measure]) if measure is not None else None
    if facts:
        if facts.total is not None:
            figures.append(Figure(f"Total {_within(facts.name)}", compact(facts.total)))
        figures.append(Figure(f"Mean {_within(facts.name)}", compact(facts.mean)))
        if facts.total is None:
            figures.append(Figure(f"Highest {_within(facts.name)}", compact(facts.most)))
    if categories := categories_of(table):
        split = categories[-1][0]
        groups = _groups(table, measure, split)
        merge = sum if facts is None else _merge(table.columns[measure or 0])
        top = max(groups, key=lambda name: (merge(groups[name]), name))
        figures.append(Figure(f"Top {_within(table.columns[split].name)}", top))
    return figures[:4]


def _within(name: str) -> str:
    """A column's name inside a phrase: `Revenue` as `revenue`, `VAT` as it is."""
    return name[0].lower() + name[1:] if name[1:2].islower() else name


# --- charts -------------------------------------------------------------------------------------------


def _over_time(table: Table, measure: int, when: int, split: int | None) -> Chart | None:
    amounts, days = table.columns[measure], table.columns[when].dates
    known = [day for day in days if day is not None]
    span = (max(known) - min(known)).days
    step, period = ("year", _year) if span > 1100 else ("month", _month) if span > 62 else ("day", _day)
    points = _periods(min(known), max(known), period)
    if not 3 <= len(points) <= MOST_POINTS:
        return None
    groups = list(table.cells(split)) if split is not None else [""] * len(days)
    values: dict[str, dict[date, list[float]]] = defaultdict(lambda: defaultdict(list))
    for day, number, group in zip(days, amounts.numbers, groups, strict=True):
        if day is not None and number is not None:
            values[group or "(blank)"][period(day)].append(number)
    merge = _merge(amounts)
    blank = None if _averaged(amounts) else 0.0
    lines = tuple(
        (name if split is not None else amounts.name, tuple(merge(here[p]) if p in here else blank for p in points))
        for name, here in sorted(values.items())
    )
    title = f"{amounts.name} per {step}" if not _averaged(amounts) else f"Mean {_within(amounts.name)} per {step}"
    if split is not None:
        title += f", by {_within(table.columns[split].name)}"
    return Lines(title, tuple(_label(p, step) for p in points), lines)


def _by_category(table: Table, measure: int | None, split: int) -> Chart:
    by = _within(table.columns[split].name)
    groups = _groups(table, measure, split)
    if measure is None:
        return Bars(f"Rows by {by}", *_largest(groups, sum))
    amounts = table.columns[measure]
    title = f"Mean {_within(amounts.name)}" if _averaged(amounts) else amounts.name
    return Bars(f"{title} by {by}", *_largest(groups, _merge(amounts)))


def _groups(table: Table, measure: int | None, split: int) -> dict[str, list[float]]:
    """The amounts of each category; where there are none to measure, 1 for each row."""
    groups: dict[str, list[float]] = defaultdict(list)
    numbers = table.columns[measure].numbers if measure is not None else [1.0] * len(table.rows)
    for cell, number in zip(table.cells(split), numbers, strict=True):
        if number is not None:
            groups[cell or "(blank)"].append(number)
    return groups


def _along_rows(amounts: Column) -> Chart:
    """For numbers without a date or categories: as they come, at most so many points, each the mean of its share."""
    known = [number for number in amounts.numbers if number is not None]
    size = -(-len(known) // MOST_POINTS)
    shares = [known[i : i + size] for i in range(0, len(known), size)]
    points = tuple(f"{i * size + 1:,}" for i in range(len(shares)))
    return Lines(f"{amounts.name}, row by row", points, ((amounts.name, tuple(_mean(share) for share in shares)),))


def _largest(
    groups: dict[str, list[float]], merge: Callable[[Sequence[float]], float]
) -> tuple[tuple[tuple[str, float], ...], bool]:
    """The bars, and whether the last one stands for all others."""
    ordered = sorted(((name, merge(values)) for name, values in groups.items()), key=lambda bar: (-bar[1], bar[0]))
    if len(ordered) <= MOST_BARS:
        return tuple(ordered), False
    rest = [value for name, _ in ordered[MOST_BARS - 1 :] for value in groups[name]]
    return (*ordered[: MOST_BARS - 1], (f"{len(ordered) - MOST_BARS + 1} others", merge(rest))), True


def _merge(amounts: Column) -> Callable[[Sequence[float]], float]:
    return _mean if _averaged(amounts) else sum


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _day(day: date) -> date:
    return day


def _month(day: date) -> date:
    return day.replace(day=1)


def _year(day: date) -> date:
    return day.replace(month=1, day=1)


def _periods(first: date, last: date, period: Callable[[date], date]) -> list[date]:
    """All periods from the first to the last, those without a row included."""
    days: Iterable[int] = range(first.toordinal(), last.toordinal() + 1)
    if period is _year:
        return [date(year, 1, 1) for year in range(first.year, last.year + 1)]
    return list(dict.fromkeys(period(date.fromordinal(day)) for day in days))


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _label(point: date, step: str) -> str:
    month = _MONTHS[point.month - 1]
    return {"year": f"{point.year}", "month": f"{month} {point.year % 100:02d}"}.get(step, f"{point.day} {month}")


def span_of(table: Table) -> str:
    """From when to when, if the table has dates; else nothing."""
    days = [day for column in table.columns for day in column.dates if day is not None]
    if not days:
        return ""
    first, last = min(days), max(days)
    shown = [f"{day.day} {_MONTHS[day.month - 1]} {day.year}" for day in (first, last)]
    return shown[0] if first == last else f"{shown[0]} to {shown[1]}"


def compact(value: float) -> str:
    """A number for a headline: thousands separated, decimals only where they say something, millions as M."""
    size = abs(value)
    for limit, unit in ((1e12, " T"), (1e9, " bn"), (1e7, " M")):
        if size >= limit:
            return f"{value / (limit if limit > 1e7 else 1e6):,.1f}{unit}"
    if size >= 1000:
        return f"{value:,.0f}"
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.2f}" if size >= 0.1 else f"{value:.3g}"

"""A table out of somebody else's file: CSV, or JSON as a list of records.

Nothing about the file is believed: it may not be text, its rows may have too many cells or too few, a cell may
hold a megabyte or control characters. What can be mended is, with a note that ends up on the report; what cannot is a
`Reject` that says where. What a column holds (numbers, dates, or just text) is told from its cells.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain, pairwise
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec

from heavylift import Reject

MAX_BYTES = 32 * 1024 * 1024
MAX_ROWS = 50_000
MAX_COLUMNS = 30
MAX_CELL = 1000
"""Characters of a cell that are shown."""

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")

Kind = Literal["number", "label", "date", "text"]

_BLANK = {"", "-", "–", "—", "n/a", "na", "nan", "null", "none"}
_NUMBER = re.compile(
    r"([-+]?)[$€£¥]?((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)((?:[eE][-+]?\d{1,3})?)\s?%?", re.ASCII
)
_DATE = re.compile(
    r"(\d{4})[-/](\d{1,2})(?:[-/](\d{1,2})(?:[T ]\d{1,2}:\d{2}\S*)?)?|(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+")
_INVISIBLE = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_NAMING = {"id", "no", "nr", "number", "code", "zip", "postcode", "year", "phone", "index", "key"}
_LARGEST = 1e15
"""Numbers beyond it are digits, not amounts: sums of them would say nothing."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: as shown.
        kind: `number`; `label`, a number that names something (an id, a year); `date`; or `text`.
        numbers: of a number column, one for each row; None where a cell is blank.
        dates: the same of a date column.
    """

    name: str
    kind: Kind
    numbers: tuple[float | None, ...] = ()
    dates: tuple[date | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """What was read. Every row has a cell for each column. `notes` say what had to be mended."""

    columns: tuple[Column, ...]
    rows: list[tuple[str, ...]]
    notes: list[str] = field(default_factory=list)

    def cells(self, index: int) -> Iterator[str]:
        """The cells of one column."""
        return (row[index] for row in self.rows)


def check_suffix(reference: str) -> str:
    """The suffix of a file that can be read as a table.

    Raises:
        Reject: another one.
    """
    suffix = PurePosixPath(reference).suffix.lower()
    if suffix not in SUFFIXES:
        raise Reject(f"{reference!r}: the suffix is none of {' '.join(SUFFIXES)}")
    return suffix


def read_table(data: bytes, reference: str) -> Table:
    """The table a file holds.

    Raises:
        Reject: it holds none, or too large a one.
    """
    suffix = check_suffix(reference)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        at = f"byte 0x{data[wrong.start]:02x} at {wrong.start}"
        raise Reject(f"{reference!r}: the file is not UTF-8 text ({at}); save it as UTF-8") from wrong
    if not text.strip("\0\r\n\t ;,"):
        raise Reject(f"{reference!r}: the file is empty")
    raw = _csv_rows(text, reference, suffix) if suffix in (".csv", ".tsv") else _json_rows(text, reference, suffix)
    return _made(raw, reference)


# --- the two kinds of files ---------------------------------------------------------------------------


def _csv_rows(text: str, reference: str, suffix: str) -> Iterator[list[str]]:
    head = text.lstrip("\r\n")[:10_000].splitlines()[0]
    delimiter = "\t" if suffix == ".tsv" else max(",;\t|", key=re.sub(r'"[^"]*"', "", head).count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    before = csv.field_size_limit(MAX_BYTES)
    try:
        yield from reader
    except csv.Error as wrong:
        raise Reject(f"{reference!r}: line {reader.line_num} cannot be read as CSV ({wrong})") from wrong
    finally:
        csv.field_size_limit(before)


def _json_rows(text: str, reference: str, suffix: str) -> Iterator[list[str]]:
    try:
        value = msgspec.json.Decoder().decode_lines(text) if suffix != ".json" else msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as wrong:
        raise Reject(f"{reference!r}: the file is not valid JSON ({wrong})") from wrong
    if isinstance(value, dict):  # {"data": [...]}
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        value = lists[0] if len(lists) == 1 else [value]
    if not isinstance(value, list) or not value:
        raise Reject(f"{reference!r}: the JSON is no list of records")
    if all(isinstance(record, list) for record in value):
        return ([_shown(cell) for cell in record] for record in value)
    records = [record if isinstance(record, dict) else {"value": record} for record in value]
    names = list(dict.fromkeys(chain.from_iterable(records)))
    return chain(
        [[clean(name) for name in names]], ([_shown(record.get(name)) for name in names] for record in records)
    )


def _shown(value: Any) -> str:
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float() if abs(value) < _LARGEST and value == int(value):
            return str(int(value))
        case int() | float():
            return str(value)
        case _:
            return msgspec.json.encode(value).decode()


# --- mending ------------------------------------------------------------------------------------------


def _made(raw: Iterable[list[str]], reference: str) -> Table:
    notes: list[str] = []
    lines = (line for line in raw if any(cell.strip() for cell in line))
    head = next(lines, None)
    if head is None:
        raise Reject(f"{reference!r}: the file is empty")
    if len(head) > MAX_COLUMNS:
        notes.append(f"{len(head) - MAX_COLUMNS:,} of {len(head):,} columns are left out.")
    names = _names(head[:MAX_COLUMNS])
    rows: list[tuple[str, ...]] = []
    short = long = cut = 0
    for line in lines:
        if len(rows) == MAX_ROWS:
            raise Reject(f"{reference!r}: the file has more than the {MAX_ROWS:,} rows allowed")
        short += len(line) < len(head)
        long += len(line) > len(head)
        cells = [clean(cell) for cell in line[: len(names)]]
        cut += any(len(cell) > MAX_CELL for cell in line[: len(names)])
        rows.append((*cells, *[""] * (len(names) - len(cells))))
    if short:
        notes.append(f"{_count(short)} fewer cells than the header has; the missing ones are blank.")
    if long:
        notes.append(f"{_count(long)} more cells than the header has; those beyond it are left out.")
    if cut:
        notes.append(f"{_count(cut)} cells of more than {MAX_CELL:,} characters, which are cut short.")
    columns = tuple(_column(name, [row[i] for row in rows]) for i, name in enumerate(names))
    return Table(columns, rows, notes)


def _count(rows: int) -> str:
    return "1 row has" if rows == 1 else f"{rows:,} rows have"


def clean(cell: str) -> str:
    """A cell as it can be printed: no control characters, nothing that turns the direction of what follows."""
    if len(cell) > MAX_CELL:
        cell = cell[: MAX_CELL - 1] + "…"
    if not cell.isprintable():  # most are: saves four passes over each
        cell = cell.replace("\r\n", "\n").replace("\t", " ")
        cell = _SURROGATE.sub("\ufffd", _INVISIBLE.sub("", _CONTROL.sub(" ", cell)))
    return cell.strip()


def _names(head: Sequence[str]) -> list[str]:
    names: list[str] = []
    for number, cell in enumerate(head, 1):
        name = " ".join(clean(cell).split())[:80] or f"Column {number}"
        if re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
            name = name.replace("_", " ").capitalize()
        twin = names.count(name)
        names.append(f"{name} ({number})" if twin else name)
    return names


# --- what a column holds ------------------------------------------------------------------------------


def _column(name: str, cells: Sequence[str]) -> Column:
    filled = [cell for cell in cells if cell.lower() not in _BLANK]
    if filled and _most(filled, as_number):
        numbers = tuple(as_number(cell) for cell in cells)
        if _naming(name, numbers):
            return Column(name, "label")
        return Column(name, "number", numbers=numbers)
    if filled and _most(filled, as_date):
        return Column(name, "date", dates=tuple(as_date(cell) for cell in cells))
    return Column(name, "text")


def _naming(name: str, numbers: Sequence[float | None]) -> bool:
    """True if whole numbers name the rows rather than measure something: an id, a year, 1 2 3 4."""
    if any(number is not None and number != int(number) for number in numbers):
        return False
    if re.split(r"[^a-z]+", name.lower())[-1] in _NAMING:
        return True
    return len(numbers) > 2 and all(one is not None and other == one + 1 for one, other in pairwise(numbers))


def _most(cells: Sequence[str], read: Any) -> bool:
    """True if at least 98 % of the cells can be read so: one typing error does not make a column text."""
    allowed = len(cells) // 50
    failed = 0
    for cell in cells:
        if read(cell) is None:
            failed += 1
            if failed > allowed:
                return False
    return True


def as_number(cell: str) -> float | None:
    """The number a cell shows: `12`, `-1,234.5`, `$3.20`, `15 %`; None if it shows none (`007` does not)."""
    match = _NUMBER.fullmatch(cell) if len(cell) <= 40 else None
    if match is None or (match[2][0] == "0" and match[2][1:2].isdigit()):
        return None
    value = float(match[1] + match[2].replace(",", "") + match[3])
    return value if abs(value) <= _LARGEST else None


def as_date(cell: str) -> date | None:
    """The day a cell shows: `2024-03-01`, `2024/3/1`, `2024-03` (its first day), `1.3.2024`, with or without a time."""
    match = _DATE.fullmatch(cell) if len(cell) <= 40 else None
    if match is None:
        return None
    try:
        if match[4]:
            return date(int(match[6]), int(match[5]), int(match[4]))
        return date(int(match[1]), int(match[2]), int(match[3] or 1))
    except ValueError:
        return None

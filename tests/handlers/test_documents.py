"""`report`: a document people can read, from tables nobody can trust."""

from __future__ import annotations

import errno
import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from handlers._figures import Bars, Lines, charts_of, compact, facts_of, figures_of, measure_of
from handlers._fonts import Fonts
from handlers._pages import cut, wrap
from handlers._plots import ticks_for
from handlers._tables import Table, as_date, as_number, read_table
from handlers.documents import report, report_target, title_of
from heavylift import Context, Reject
from heavylift.job import Progress
from tests.handlers.conftest import listing, run_elsewhere

SALES = Path(__file__).parents[2] / "samples" / "sales.csv"


def made(root: Path, data: str | bytes, name: str = "a.csv", **args: Any) -> tuple[Any, PdfReader]:
    """What `report` returns, and the document it made."""
    (root / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    done = report(Context(), name, **args)
    return done, PdfReader(io.BytesIO((root / done["target"]).read_bytes()))


def text_of(reader: PdfReader) -> str:
    return "\n".join(page.extract_text() for page in reader.pages)


def table(text: str, name: str = "a.csv") -> Table:
    return read_table(text.encode(), name)


def many(rows: int) -> str:
    return "name,amount\n" + "".join(f"row number {i},{i * 3}\n" for i in range(rows))


# --- the document -------------------------------------------------------------------------------------


def test_the_sample_becomes_several_pages_with_every_row(root: Path) -> None:
    done, reader = made(root, SALES.read_bytes(), "sales.csv")
    text = text_of(reader)
    orders = [line.split(",")[1] for line in SALES.read_text().splitlines()[1:]]
    assert done["pages"] == len(reader.pages) > 3
    assert done["rows"] == len(orders)
    assert all(order in text for order in orders)
    assert done["charts"] == ["Revenue per month, by region", "Revenue by product"]


def test_every_page_says_which_of_how_many_it_is(root: Path) -> None:
    _, reader = made(root, many(200))
    count = len(reader.pages)
    assert count > 3
    for number, page in enumerate(reader.pages, 1):
        assert f"page {number} of {count}" in page.extract_text()


def test_the_header_row_stands_on_every_page_of_the_table(root: Path) -> None:
    _, reader = made(root, "customer_name,amount\n" + "x,1\n" * 200)
    assert all("Customer name" in page.extract_text() for page in reader.pages[1:])


def test_the_title_is_on_the_first_page_and_in_the_documents_data(root: Path) -> None:
    _, reader = made(root, many(3), title="Third quarter")
    assert "Third quarter" in reader.pages[0].extract_text()
    assert reader.metadata is not None
    assert reader.metadata.title == "Third quarter"
    assert title_of("data/quarterly_sales.csv") == "Quarterly sales"


def test_the_outline_leads_to_the_summary_and_the_rows(root: Path) -> None:
    _, reader = made(root, many(3))
    entries: list[Any] = list(reader.outline)
    assert [(entry.title, reader.get_destination_page_number(entry)) for entry in entries] == [
        ("Summary", 0),
        ("Rows", 1),
    ]


def test_numbers_stand_to_the_right_and_text_to_the_left(root: Path) -> None:
    _, reader = made(root, "what,amount\nshort,7\nrather longer,7777777\n")
    at: dict[str, float] = {}

    def note(text: str, _cm: Any, tm: Any, *_: Any) -> None:
        at[text.strip()] = tm[4]

    reader.pages[1].extract_text(visitor_text=note)
    assert at["short"] == at["rather longer"]
    assert at["7"] > at["7777777"]


def test_few_columns_make_upright_pages_and_many_make_wide_ones(root: Path) -> None:
    def shape(columns: int) -> bool:
        line = ",".join(["some longer text"] * columns) + "\n"
        _, reader = made(root, ",".join(f"c{i}" for i in range(columns)) + "\n" + line)
        return bool(reader.pages[0].mediabox.width > reader.pages[0].mediabox.height)

    assert (shape(3), shape(9)) == (False, True)


def test_a_table_too_wide_for_any_page_is_shown_in_parts_with_the_first_column_in_front(root: Path) -> None:
    head = ",".join(["code", *(f"measure_{i}" for i in range(25))])
    row = ",".join(["first-cell", *(str(123_456_000 + i) for i in range(25))])
    _, reader = made(root, f"{head}\n{row}\n")
    parts = [page.extract_text() for page in reader.pages if "first-cell" in page.extract_text()]
    assert len(parts) > 1
    assert all(str(123_456_000 + i) in "".join(parts) for i in range(25))


def test_a_long_cell_is_wrapped_and_not_lost(root: Path) -> None:
    words = [f"word{i}" for i in range(60)]
    _, reader = made(root, f"name,text\nx,{' '.join(words)}\n")
    assert all(word in text_of(reader) for word in words)


def test_running_twice_gives_the_same_bytes(root: Path) -> None:
    for target in ("one.pdf", "two.pdf"):
        made(root, SALES.read_bytes(), "sales.csv", target=target)
    assert (root / "one.pdf").read_bytes() == (root / "two.pdf").read_bytes()


def test_thousands_of_rows_are_no_trouble(root: Path) -> None:
    done, reader = made(root, many(5000))
    assert done["pages"] == len(reader.pages) > 80
    assert "row number 4999" in reader.pages[-1].extract_text()


def test_other_scripts_than_ours_do_not_fail(root: Path) -> None:
    done, reader = made(root, "name,city\nПривет,Αθήνα\n日本語,😀\nZoë,Łódź\n")
    assert done["rows"] == 3
    assert "Zoë" in text_of(reader)


def test_running_twice_gives_the_same_bytes_with_fonts_from_files_too(root: Path) -> None:
    for target in ("one.pdf", "two.pdf"):
        made(root, "name,city\nПривет,Αθήνα\n", target=target)
    assert (root / "one.pdf").read_bytes() == (root / "two.pdf").read_bytes()


def test_a_table_without_rows_is_a_report_too(root: Path) -> None:
    done, reader = made(root, "a,b,c\n")
    assert (done["rows"], done["pages"], done["charts"]) == (0, 1, [])
    assert "page 1 of 1" in text_of(reader)


def test_json_of_every_usual_shape_gives_the_same_table(root: Path) -> None:
    records = [{"name": "a", "amount": 1}, {"name": "b", "amount": 2.5}]
    shapes = {
        "a.json": json.dumps(records),
        "b.json": json.dumps({"data": records, "next": None}),
        "c.json": json.dumps([["name", "amount"], ["a", 1], ["b", 2.5]]),
        "d.jsonl": "\n".join(json.dumps(record) for record in records),
        "e.csv": "name,amount\na,1\nb,2.5\n",
        "f.csv": "\ufeffname;amount\r\na;1\r\nb;2.5\r\n",
        "g.tsv": "name\tamount\na\t1\nb\t2.5\n",
    }
    for name, data in shapes.items():
        assert table(data, name).rows == [("a", "1"), ("b", "2.5")], name
        assert [column.name for column in table(data, name).columns] == ["Name", "Amount"], name


def test_progress_goes_up_to_the_end(root: Path) -> None:
    seen: list[Progress] = []

    class Listening(Context):
        def progress(
            self, fraction_or_done: float | None = None, total: float | None = None, message: str = ""
        ) -> None:
            seen.append(Progress(fraction_or_done, message=message))

    (root / "a.csv").write_text(many(1200))
    report(Listening(), "a.csv")
    fractions = [progress.fraction or 0.0 for progress in seen]
    assert fractions == sorted(fractions)
    assert len(seen) > 20
    assert seen[-1] == Progress(1.0, message="saved")


# --- files --------------------------------------------------------------------------------------------


def test_the_target_has_a_name_made_from_the_source() -> None:
    assert report_target("samples/sales.csv") == "samples/out/sales.pdf"


@pytest.mark.parametrize("name", ["photo.jpg", "noname", "a.pdf", "a.xlsx"])
def test_no_target_for_what_is_no_table(name: str) -> None:
    with pytest.raises(Reject, match="suffix is none of"):
        report_target(name)


@pytest.mark.parametrize("target", ["a.txt", "handlers/images.py", "../a.pdf", "/etc/a.pdf"])
def test_a_target_that_is_no_pdf_below_the_root_is_rejected(root: Path, target: str) -> None:
    with pytest.raises(Reject):
        made(root, many(2), target=target)
    assert listing(root) == ["a.csv"]


DISK_FULL = """
import resource
from heavylift import Context
from handlers.documents import report
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    report(Context(), "a.csv")
except OSError as wrong:
    print(wrong.errno)
"""


def test_a_disk_that_is_full_is_worth_another_try_and_leaves_nothing(root: Path) -> None:
    (root / "a.csv").write_text(many(100))
    assert run_elsewhere(root, DISK_FULL).strip() == str(errno.EFBIG)
    assert listing(root) == ["a.csv"]


# --- hostile tables -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"\xef\xbb\xbf", "the file is empty"),
        ("a.csv", b"\r\n\r\n,,,\n", "the file is empty"),
        ("a.csv", b"name\nM\xfcller\n", "not UTF-8 text .byte 0xfc at 6."),
        ("a.csv", "name\nx\n".encode("utf-16"), "not UTF-8 text .byte 0xff at 0."),
        ("a.csv", b"\x89PNG\r\n\x1a\n\0\0\0", "not UTF-8"),
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"[1, 2", "not valid JSON"),
        ("a.json", b"[]", "no list of records"),
        ("a.json", b"3", "no list of records"),
        ("a.json", b"[" * 100_000, "not valid JSON"),
        ("a.jsonl", b'{"a": 1}\n{"a": ', "not valid JSON"),
        ("a.txt", b"a,b\n1,2\n", "suffix is none of"),
        ("a.csv", b"a\n" + b"1\n" * 50_001, "more than the 50,000 rows allowed"),
    ],
)
def test_what_is_no_table_is_rejected_with_a_reason(root: Path, name: str, data: bytes, why: str) -> None:
    with pytest.raises(Reject, match=why) as caught:
        made(root, data, name)
    assert repr(name) in str(caught.value)
    assert len(str(caught.value)) < 400
    assert listing(root) == [name]


def test_markup_and_formulas_in_cells_are_shown_as_they_are(root: Path) -> None:
    cells = ["<b>bold</b>", "<img src='x'/>", "&amp;", "=SUM(A1:A9)", "@cmd", "%PDF", "(un)balanced ((", "back\\slash"]
    _, reader = made(root, "text\n" + "\n".join(cells) + "\n")
    assert all(cell in text_of(reader) for cell in cells)


def test_rows_with_too_few_or_too_many_cells_are_mended_with_a_note(root: Path) -> None:
    done, reader = made(root, "a,b,c\n1,2\n1,2,3,4,5\n1\n")
    assert done["notes"] == [
        "2 rows have fewer cells than the header has; the missing ones are blank.",
        "1 row has more cells than the header has; those beyond it are left out.",
    ]
    assert "2 rows have fewer cells" in reader.pages[0].extract_text()
    assert table("a,b,c\n1,2\n").rows == [("1", "2", "")]


def test_a_giant_cell_is_cut_with_a_note(root: Path) -> None:
    done, _ = made(root, "a,b\n" + "x" * 3_000_000 + ",1\n")
    assert done["notes"] == ["1 row has cells of more than 1,000 characters, which are cut short."]
    assert done["pages"] == 2


def test_too_many_columns_are_left_out_with_a_note(root: Path) -> None:
    done, _ = made(root, ",".join(f"c{i}" for i in range(5000)) + "\n" + ",".join(["1"] * 5000) + "\n")
    assert done["columns"] == 30
    assert done["notes"] == ["4,970 of 5,000 columns are left out."]


def test_control_characters_and_turns_of_direction_do_not_get_through() -> None:
    cells = table('"a\x00b\x1bc","x\u202egnp.exe","tab\there","two\nlines"\n1,2,3,4\n').columns
    assert [column.name for column in cells] == ["a b c", "xgnp.exe", "tab here", "two lines"]


def test_half_a_character_from_json_does_not_get_through(root: Path) -> None:
    done, _ = made(root, rb'[{"name": "x\u0000y", "t": "a"}]', "a.json")
    assert done["rows"] == 1


def test_columns_without_a_name_or_of_one_name_are_told_apart() -> None:
    assert [c.name for c in table("a,,a,\n1,2,3,4\n").columns] == ["A", "Column 2", "A (3)", "Column 4"]


TEXTS = st.text(st.characters(exclude_categories=()), max_size=40) | st.sampled_from(
    [
        "",
        "1",
        "-2.5",
        "1e308",
        "NaN",
        "inf",
        "2024-02-30",
        "2024-05-01",
        "0001-01-01",
        "9999-12-31",
        "<b>",
        '"',
        "\n",
        "x" * 2000,
    ]
)


@settings(max_examples=150, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(TEXTS, max_size=6), max_size=12), as_json=st.booleans())
def test_any_table_becomes_a_document_or_a_rejection(root: Path, rows: list[list[str]], as_json: bool) -> None:
    """Cells of any text, rows of any length: never another exception."""
    text = json.dumps(rows) if as_json else "\n".join(",".join(row) for row in rows)
    try:
        done, reader = made(root, text.encode("utf-8", "surrogatepass"), "a.json" if as_json else "a.csv")
    except Reject:
        return
    assert len(reader.pages) == done["pages"]


# --- what the data has to say -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("12", 12.0), ("-1,234.50", -1234.5), ("+3", 3.0), ("$3.20", 3.2), ("15 %", 15.0), ("1e3", 1000.0),
        (".5", 0.5), ("0", 0.0), ("0.25", 0.25), ("007", None), ("1,23", None), ("1.2.3", None), ("12a", None),
        ("", None), ("-", None), ("1e999", None), ("9" * 30, None), ("٣", None),
    ],
)  # fmt: skip
def test_numbers_are_told_from_text(cell: str, number: float | None) -> None:
    assert as_number(cell) == number


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        ("2024-03-01", date(2024, 3, 1)), ("2024/3/1", date(2024, 3, 1)), ("2024-03", date(2024, 3, 1)),
        ("1.3.2024", date(2024, 3, 1)), ("2024-03-01T10:20:30Z", date(2024, 3, 1)),
        ("2024-03-01 10:20", date(2024, 3, 1)), ("2024-02-30", None), ("2024", None), ("March", None),
        ("0000-01-01", None),
    ],
)  # fmt: skip
def test_dates_are_told_from_text(cell: str, day: date | None) -> None:
    assert as_date(cell) == day


def test_columns_are_told_by_their_cells() -> None:
    rows = "".join(f"{i + 1},2024-01-{i + 1:02d},{i * 2.5},A,{2000 + i * 3},00{i}\n" for i in range(9))
    kinds = [column.kind for column in table("n,day,amount,class,year,tag\n" + rows).columns]
    assert kinds == ["label", "date", "number", "text", "label", "text"]


def test_one_typing_error_among_many_does_not_make_a_column_text() -> None:
    column = table("amount\n" + "5\n" * 99 + "fife\n").columns[0]
    assert column.kind == "number"
    assert column.numbers[-1] is None


def test_facts_leave_out_blank_cells() -> None:
    facts = facts_of(table("name,amount\na,4\nb,\nc,n/a\nd,-2\n").columns[1])
    assert facts is not None
    assert (facts.count, facts.least, facts.mean, facts.most, facts.total) == (2, -2.0, 1.0, 4.0, 2.0)


def test_prices_are_averaged_and_not_added_up() -> None:
    facts = facts_of(table("unit_price\n4\n6\n").columns[0])
    assert facts is not None
    assert (facts.mean, facts.total) == (5.0, None)


def test_the_measure_is_the_column_named_like_an_amount() -> None:
    assert measure_of(table("revenue,units,price\n1,2,3.5\n4,5,6.5\n")) == 0
    assert measure_of(table("price,units,rate\n1.5,20,3\n4,5,6\n")) == 1
    assert measure_of(table("name\na\n")) is None


def test_with_dates_the_chart_is_a_line_over_time() -> None:
    rows = "".join(f"2024-{month:02d}-15,{month},{'xy'[month % 2]}\n" for month in range(1, 13) for _ in range(2))
    line, bars = charts_of(table("day,amount,kind\n" + rows))
    assert isinstance(line, Lines)
    assert (line.title, line.points[0], len(line.points)) == ("Amount per month, by kind", "Jan 24", 12)
    assert dict(line.lines)["y"][:3] == (2.0, 0.0, 6.0)
    assert isinstance(bars, Bars)
    assert dict(bars.bars) == {"x": 84.0, "y": 72.0}


def test_a_month_without_rows_is_a_gap_of_nothing_and_not_left_out() -> None:
    line, *_ = charts_of(table("day,amount\n2024-01-05,1\n2024-03-05,3\n2024-04-05,4\n"))
    assert isinstance(line, Lines)
    assert line.lines[0][1] == (1.0, 0.0, 3.0, 4.0)


def test_without_dates_the_chart_is_bars_with_the_small_ones_together() -> None:
    rows = "".join(f"c{i % 12},{i % 12 + 1}\n" for i in range(48))
    (bars,) = charts_of(table("city,amount\n" + rows))
    assert isinstance(bars, Bars)
    assert bars.bars[0] == ("c11", 48.0)
    assert bars.bars[-1] == ("5 others", 60.0)
    assert bars.rest


def test_numbers_alone_are_drawn_row_by_row_in_at_most_120_points() -> None:
    (line,) = charts_of(table("level\n" + "".join(f"{i % 7 + 0.5}\n" for i in range(1000))))
    assert isinstance(line, Lines)
    assert len(line.points) <= 120


def test_text_alone_is_counted() -> None:
    (bars,) = charts_of(table("city\n" + "Oslo\nRome\nOslo\n" * 4))
    assert bars == Bars("Rows by city", (("Oslo", 8.0), ("Rome", 4.0)))


def test_figures_start_with_the_rows_and_the_total() -> None:
    shown = [(f.name, f.value) for f in figures_of(table("city,amount\n" + "Oslo,3\nRome,5\n" * 4))]
    assert shown == [("Rows", "8"), ("Total amount", "32"), ("Mean amount", "4"), ("Top city", "Rome")]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (0.0123, "0.0123"), (3.14159, "3.14"), (999, "999"), (1234.5, "1,234"), (12_345_678, "12.3 M"),
        (2e9, "2.0 bn"), (-5e12, "-5.0 T"),
    ],
)  # fmt: skip
def test_headline_numbers(value: float, shown: str) -> None:
    assert compact(value) == shown


NUMBERS = st.floats(-1e15, 1e15)


@given(least=NUMBERS, most=NUMBERS)
def test_ticks_span_the_values_and_are_few(least: float, most: float) -> None:
    least, most = sorted((least, most))
    ticks = ticks_for(least, most)
    assert 2 <= len(ticks) <= 14
    assert ticks == sorted(set(ticks))
    slack = (ticks[-1] - ticks[0]) * 1e-6
    assert ticks[0] <= least + slack
    assert most - slack <= ticks[-1]


@given(text=st.text(max_size=300), width=st.floats(5, 300), most=st.integers(1, 12))
def test_wrapped_lines_fit_and_are_not_too_many(text: str, width: float, most: int) -> None:
    fonts = Fonts()
    lines = wrap(fonts, text, 8, width, most)
    assert 1 <= len(lines) <= most
    widest = max((fonts.width(c, 8) for c in text), default=0.0)
    assert all(fonts.width(line, 8) <= max(width, widest + fonts.width("…", 8)) + 0.01 for line in lines)


@given(words=st.lists(st.text("abc", min_size=1, max_size=30), min_size=1, max_size=20), width=st.floats(20, 200))
def test_wrapping_loses_nothing(words: list[str], width: float) -> None:
    text = " ".join(words)
    assert "".join("".join(line.split()) for line in wrap(Fonts(), text, 8, width, 1000)) == "".join(words)


@given(text=st.text(max_size=100), width=st.floats(10, 200))
def test_a_cut_line_fits(text: str, width: float) -> None:
    assert Fonts().width(cut(Fonts(), text, 8, width), 8) <= width + 0.01

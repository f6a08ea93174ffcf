"""What a handler prints, as lines: whatever it ends them with, and if it never does."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from heavylift.context import MAX_LINE
from heavylift.lanes.capture import PrintedLines


class Printed:
    """Standard output of a child, and what it has said of it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.beneath = io.StringIO()
        self.running = True
        self.stream = PrintedLines("stdout", self.beneath, self.say)

    def say(self, level: str, text: str) -> bool:
        if self.running:
            self.lines.append(text)
        return self.running


@pytest.fixture
def printed() -> Iterator[Printed]:
    made = Printed()
    yield made
    made.stream.finish()


def test_each_line_goes_out_when_it_is_ended_and_what_is_left_at_the_end(printed: Printed) -> None:
    print("one", "two", file=printed.stream)
    printed.stream.write("three\nfour\n\nfi")
    assert printed.lines == ["one two", "three", "four"]
    printed.stream.write("ve")
    printed.stream.finish()
    assert printed.lines == ["one two", "three", "four", "five"]


def test_a_carriage_return_ends_a_line_so_that_a_progress_bar_is_seen_while_it_runs(printed: Printed) -> None:
    for part in range(3):
        printed.stream.write(f"\r{part * 50:3}%|")
        printed.stream.write("#" * part)
    assert printed.lines == ["  0%|", " 50%|#"]
    printed.stream.write("\r\n")
    print("of\r\nwindows", file=printed.stream)
    assert printed.lines == ["  0%|", " 50%|#", "100%|##", "of", "windows"]


def test_what_is_never_ended_goes_out_in_pieces_as_long_as_a_line_may_be(printed: Printed) -> None:
    """So it neither grows without bound, nor takes longer the more there is of it."""
    for count in range(1, 3 * MAX_LINE):
        print(".", end="", file=printed.stream)
        assert printed.lines == ["." * MAX_LINE] * (count // MAX_LINE)
        assert sum(map(len, printed.stream._rest)) == count % MAX_LINE


def test_a_line_too_long_is_cut_and_does_not_join_the_next(printed: Printed) -> None:
    print("x" * (MAX_LINE + 10), file=printed.stream)
    print("next", file=printed.stream)
    assert printed.lines == ["x" * (MAX_LINE - 1) + "…", "next"]


def test_between_attempts_lines_go_where_they_went_before(printed: Printed) -> None:
    printed.running = False
    print("nobody's", file=printed.stream)
    assert printed.lines == []
    assert printed.beneath.getvalue() == "nobody's\n"

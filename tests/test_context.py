"""`ctx`: what it accepts, what it passes on, what it holds back."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from heavylift.context import MAX_CHECKPOINT, Context, JobInfo, line
from heavylift.errors import InvalidArgument, StopReason
from heavylift.job import Progress


class Heard:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.progress: list[Progress] = []
        self.states: list[bytes] = []
        self.lines: list[tuple[str, str]] = []
        self.timers: list[Callable[[], None]] = []
        self.reason: StopReason | None = None

    def began(self) -> None: ...

    def progressed(self, progress: Progress) -> None:
        self.progress.append(progress)

    def checkpointed(self, state: bytes) -> None:
        self.states.append(state)

    def logged(self, level: str, line: str) -> None:
        self.lines.append((level, line))

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        assert 0 < seconds <= 0.1
        self.timers.append(call)

    def stopping(self) -> StopReason | None:
        return self.reason


class Text(str):
    """As `numpy.str_` is one."""


class Broken(int):
    """Not even its `repr` works."""

    def __int__(self) -> int:
        raise RuntimeError("no number today")

    __float__ = __ge__ = __repr__ = __int__  # type: ignore[assignment]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def ctx(heard: Heard) -> Context:
    return Context(JobInfo("id", "q", "h"), reporter=heard)


def test_a_context_alone_does_for_a_unit_test() -> None:
    ctx = Context()
    ctx.progress(0.5)
    ctx.log.info("x")
    ctx.checkpoint([1])
    assert ctx.last_checkpoint == [1]
    assert not ctx.cancelled
    assert ctx.attempt == 1
    assert ctx.job.id == "job"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ((0.25,), Progress(fraction=0.25)),
        ((1,), Progress(fraction=1.0)),
        ((3, 12), Progress(fraction=0.25, done=3, total=12)),
        ((13, 12), Progress(fraction=1.0, done=13, total=12)),
        ((0, 0), Progress(fraction=1.0, done=0, total=0)),
        ((Fraction(1, 4),), Progress(fraction=0.25)),
        ((2**62, 2**63 - 1), Progress(fraction=0.5, done=2**62, total=2**63 - 1)),
        ((None, None, Text("caf\udce9")), Progress(message="caf\\udce9")),
        ((None, None, "reading"), Progress(message="reading")),
        ((0.5, None, "x" * 600), Progress(fraction=0.5, message="x" * 499 + "…")),
    ],
)
def test_progress_is_a_fraction_or_a_count_or_words(
    ctx: Context, heard: Heard, said: tuple[Any, ...], expected: Progress
) -> None:
    ctx.progress(*said)
    assert heard.progress == [expected]


@pytest.mark.parametrize("said", [
        (-0.1,), (1.5,), (math.nan,), (math.inf,), (1, -1), ("half",), (2**63, 2**64), (1, 1e300), (10**5000, 10**5000),
        (Fraction(10**400), 1), (Broken(),), (1j,), (None, None, b"reading"), (None, None, None),
    ])  # fmt: skip
def test_progress_refuses_what_cannot_be_meant(ctx: Context, said: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidArgument):
        ctx.progress(*said)


def test_progress_between_two_reports_is_replaced_by_the_newest_and_asked_for_once(ctx: Context, heard: Heard) -> None:
    for done in range(50):
        ctx.progress(done, 100)
    assert [p.done for p in heard.progress] == [0]
    assert len(heard.timers) == 1
    heard.timers[0]()
    assert [p.done for p in heard.progress] == [0, 49]


def test_after_the_end_nothing_is_passed_on(ctx: Context, heard: Heard) -> None:
    ctx.progress(0.1)
    ctx.progress(0.2)
    ctx.close()
    ctx.progress(0.3)
    ctx.checkpoint("late")
    heard.timers[0]()
    assert [p.fraction for p in heard.progress] == [0.1, 0.2]
    assert heard.states == []


def test_progress_from_many_threads_never_goes_back(ctx: Context, heard: Heard) -> None:
    """Reports of one thread arrive in the order in which they were made."""
    threads = [threading.Thread(target=lambda: [ctx.progress(n, 1000) for n in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ctx.progress(1000, 1000)
    ctx.close()
    assert heard.progress[-1].done == 1000


def test_track_reports_after_each_item(ctx: Context, heard: Heard) -> None:
    assert list(ctx.track("abc")) == ["a", "b", "c"]
    ctx.close()
    assert heard.progress[-1] == Progress(fraction=1.0, done=3, total=3)


def test_track_counts_what_has_no_length(ctx: Context, heard: Heard) -> None:
    assert list(ctx.track(iter("ab"))) == ["a", "b"]
    ctx.close()
    assert heard.progress[-1].message == "2 done"


def test_a_checkpoint_must_be_json_of_a_size(ctx: Context, heard: Heard) -> None:
    with pytest.raises(InvalidArgument):
        ctx.checkpoint(object())
    with pytest.raises(InvalidArgument):
        ctx.checkpoint("x" * MAX_CHECKPOINT)
    assert heard.states == []


def test_the_last_checkpoint_is_that_of_an_earlier_attempt_until_there_is_one() -> None:
    ctx = Context(checkpoint=b'{"page":3}')
    assert ctx.last_checkpoint == {"page": 3}
    ctx.checkpoint({"page": 4})
    assert ctx.last_checkpoint == {"page": 4}


def test_cancelled_is_seen_by_the_handler(ctx: Context, heard: Heard) -> None:
    assert not ctx.cancelled
    heard.reason = "lock_lost"
    assert ctx.cancelled


def test_log_lines_carry_level_and_fields(ctx: Context, heard: Heard) -> None:
    ctx.log.info("resized", width=800, source="a.jpg")
    ctx.log.warning("odd")
    try:
        raise ValueError("bad")
    except ValueError:
        ctx.log.exception("failed")
    assert heard.lines == [
        ("info", "resized width=800 source='a.jpg'"),
        ("warning", "odd"),
        ("error", "failed exception='ValueError: bad'"),
    ]


def test_a_log_line_survives_what_cannot_be_shown() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError

    assert line("x", {"value": Mute()}) == "x value=<Mute that cannot be shown: RuntimeError>"
    assert len(line("y" * 5000)) == 2000

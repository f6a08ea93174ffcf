"""Frames put together again from any pieces; outcomes as they were."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from heavylift.job import Progress
from heavylift.lanes.wire import Begin, Frames, Garbled, Logged, Message, Reported, Saved, end, frame, outcome_in
from heavylift.outcome import (
    Abandoned,
    Cancelled,
    Completed,
    Died,
    ErrorInfo,
    Interrupted,
    Invalid,
    LockLost,
    Raised,
    Rejected,
    RetryAsked,
    TimedOut,
    UnknownHandler,
)

numbers = some.integers(0, 2**40)
messages = some.one_of(
    some.builds(Begin, numbers),
    some.builds(Reported, numbers, some.builds(Progress, some.floats(0, 1), message=some.text(max_size=50))),
    some.builds(Saved, numbers, some.binary(max_size=300)),
    some.builds(Logged, numbers, some.just("info"), some.text(max_size=300)),
)


@given(some.lists(messages, max_size=20), some.randoms(use_true_random=False))
def test_frames_come_out_as_they_went_in_however_they_are_cut(sent: list[Message], dice: object) -> None:
    data = b"".join(frame(message) for message in sent)
    frames, got, place = Frames(), [], 0
    while place < len(data):
        size = dice.randint(1, 40)  # type: ignore[attr-defined]
        got.extend(frames.feed(data[place : place + size]))
        place += size
    assert got == sent


@pytest.mark.parametrize("junk", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02{}", b"\x00\x00\x00\x00"])
def test_what_is_no_frame_is_refused(junk: bytes) -> None:
    with pytest.raises(Garbled):
        list(Frames().feed(junk))


@pytest.mark.parametrize(
    "outcome",
    [
        Completed(b'{"a":1}'),
        Raised(ErrorInfo("E", "m", "t", "f"), retryable=False),
        RetryAsked(None, "m"),
        Rejected("no"),
        Invalid("field"),
        UnknownHandler("h"),
        TimedOut(2.5, True, ErrorInfo("E", "m")),
        Died("killed:SIGSEGV", "dump"),
        Abandoned("w"),
        Interrupted("shutdown"),
        Cancelled(True),
        LockLost(),
    ],
)
def test_every_outcome_crosses_whole(outcome: object) -> None:
    sent = end(7, outcome)  # type: ignore[arg-type]
    (got,) = Frames().feed(frame(sent))
    assert outcome_in(got) == outcome  # type: ignore[arg-type]


def test_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(Garbled):
        outcome_in(msgspec.structs.replace(end(1, Cancelled()), kind="Nonsense"))

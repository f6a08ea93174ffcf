"""A process whose pipe says what nobody can read: it is ended, its attempt has died, and the record says of what."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from heavylift.lanes.wire import End, Message, end, frame
from heavylift.outcome import Cancelled, Completed, Died
from tests.lanes.support import Bench, cpu_bench
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

NOTHING = msgspec.msgpack.encode(None)
NUMBER = 0x7ACE
"""Stands for the number of the call, which only its process knows."""


def of_the_call(message: Message) -> str:
    """The frame in hex, with room for the number of the call."""
    whole = frame(message)
    body = whole[4:].hex().replace(msgspec.msgpack.encode(NUMBER).hex(), "{call}")
    assert "{call}" in body
    return (len(whole) - 4 - 2).to_bytes(4, "big").hex() + body  # the true number takes one byte, not three


GARBAGE = {
    "a frame longer than any": "ffffffff",
    "a frame that is no message": "000000027b7d",
    "an end of a kind that is none": of_the_call(End(NUMBER, "Nonsense", msgspec.Raw(NOTHING))),
    "an end without its outcome": of_the_call(End(NUMBER, "Completed", msgspec.Raw(NOTHING))),
    "an end whose outcome is another's": of_the_call(
        msgspec.structs.replace(end(NUMBER, Cancelled()), kind="Completed"),
    ),
}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with cpu_bench(tmp_path, slots=1) as made:
        yield made


@pytest.mark.parametrize("what", GARBAGE)
def test_its_attempt_has_died_with_the_reason_said_and_the_next_one_runs(
    what: str, bench: Bench, tmp_path: Path
) -> None:
    (before,) = bench.lane.snapshot()["pids"]
    outcome = bench.run("garbles", data=GARBAGE[what], mark=str(tmp_path / "mark"))
    assert isinstance(outcome, Died), outcome
    assert outcome.cause == "killed:SIGKILL"
    assert "its pipe to the worker was written to by something else" in outcome.detail
    assert isinstance(bench.run("echo"), Completed)
    (after,) = bench.lane.snapshot()["pids"]
    assert after != before


def test_it_has_begun_even_if_its_begin_and_the_garbage_are_read_together(bench: Bench, tmp_path: Path) -> None:
    """Or it would go back at no cost, again and again."""
    go, mark = threading.Event(), tmp_path / "mark"
    bench.lane._keeper.post(lambda: go.wait(20))
    id = bench.start("garbles", data=GARBAGE["a frame longer than any"], mark=str(mark))
    wait_until("the garbage is in the pipe", mark.exists, timeout=15)
    go.set()
    assert isinstance(outcome := bench.sink.outcome(id), Died), outcome
    assert bench.sink.of(id, "began")

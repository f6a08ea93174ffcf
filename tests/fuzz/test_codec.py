"""What stands in Redis and what comes through a child's pipe: read or refused, whatever it is."""

from __future__ import annotations

import random
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from heavylift import handler
from heavylift.attempt import Prepared, Start, prepare, run
from heavylift.codec import decode_envelope, encode_envelope, stamped
from heavylift.context import Silent
from heavylift.errors import InvalidJob
from heavylift.job import AttemptRecord, Backoff, Envelope, JobRecord, Progress
from heavylift.lanes.wire import (
    Begin,
    End,
    Frames,
    Garbled,
    Hello,
    Logged,
    Message,
    Reported,
    Saved,
    SettingUp,
    end,
    frame,
    outcome_in,
)
from heavylift.outcome import Completed, ErrorInfo, Invalid, Outcome, Raised, TimedOut, UnknownHandler
from heavylift.registry import Registry
from heavylift.store.reading import read_record
from tests.fuzz.mutating import fuzzed, mutated

WORDS = [b"null", b"{}", b"[]", b'"', b"1e999", b"-1", b"9" * 40, b"NaN", b"\\ud800", b"\xff", b"\0", b"[" * 5000,
         b'{"a":' * 5000]  # fmt: skip
SEEDS = st.integers(0, 2**32)
HITS = st.integers(0, 12)
DEEP = b"[" * 100_000


@handler(retries=2)
def known(a: int = 1, b: str = "b", c: list[Any] | None = None, secret: str = "") -> int:
    return a


HANDLERS = Registry([known])
ENVELOPE = Envelope(
    known.name,
    msgspec.Raw(b'{"a":2,"b":"two","c":[1,{"d":2}],"secret":"s"}'),
    1_700_000_000_000,
    retries=3,
    backoff=Backoff(),
    timeout=1.5,
    tags=("x", "y"),
    correlation_id="c",
    secret=("secret",),
    carrier={"traceparent": "00-1-2-3"},
)


def spec_of(seed: int, hits: int) -> bytes:
    return mutated(encode_envelope(ENVELOPE), seed, hits, WORDS)


@fuzzed(500)
@given(st.builds(spec_of, SEEDS, HITS) | st.binary(max_size=200))
@example(DEEP)
@example(b'{"handler":"known","args":' + DEEP)
@example(b'{"handler":"known","args":{"c":' + b"[" * 100_000 + b"]" * 100_000 + b'},"enqueued_at":1}')
@example(b'{"handler":"known","args":{"c":' + b"[" * 900 + b"]" * 900 + b'},"enqueued_at":1,"secret":["c"]}')
def test_any_envelope_is_run_or_refused(spec: bytes) -> None:
    try:
        decode_envelope(spec)
    except InvalidJob:
        pass
    try:
        assert stamped(spec, 1)
    except InvalidJob:
        pass
    start = Start("id", "q", "token", spec)
    prepared = prepare(start, HANDLERS)
    outcome = run(prepared, Silent(), 1000) if isinstance(prepared, Prepared) else prepared
    assert isinstance(outcome, Completed | Invalid | UnknownHandler), outcome


def hash_of(seed: int, hits: int) -> dict[bytes, bytes]:
    """A job's hash of which some fields were hit."""
    luck = random.Random(seed)
    fields = {
        b"spec": encode_envelope(ENVELOPE),
        b"original": encode_envelope(ENVELOPE),
        b"state": b"active",
        b"handler": b"known",
        b"progress": msgspec.json.encode(Progress(0.5, message="half")),
        b"result": b'{"a":1}',
        b"reason": b"exhausted",
        b"blame": b"parent f",
        b"worker": b"w-1",
        b"flow": b"f",
        b"attempt:1": msgspec.json.encode(AttemptRecord(1, "w", 1, 2, "error", message="m", log=("l",))),
        **dict.fromkeys((b"starts", b"attempts", b"prio", b"due", b"enqueued_at", b"finished_at"), b"3"),
    }
    for name in luck.sample(sorted(fields), 4):
        fields[name] = mutated(fields[name], luck.randrange(2**32), hits, WORDS)
    return fields


@fuzzed(500)
@given(st.builds(hash_of, SEEDS, HITS) | st.dictionaries(st.binary(max_size=12), st.binary(max_size=30)))
@example({b"starts": b"inf", b"prio": b"1e999", b"due": b"nan", b"enqueued_at": b"9" * 400})
@example({b"result": DEEP, b"progress": DEEP, b"spec": DEEP, b"attempt:1": DEEP})
@example({b"spec": b'{"handler":"known","args":' + b"[" * 100_000 + b"]" * 100_000 + b',"secret":["a"]}'})
def test_any_hash_of_a_job_is_shown(fields: dict[bytes, bytes]) -> None:
    record = read_record("id", "q", fields)
    assert isinstance(record, JobRecord) if fields else record is None


SAID: list[Message] = [
    Hello(7, True, ("known",), ""),
    SettingUp(1, 2.0),
    Begin(1, 10, 10, 0),
    Reported(1, Progress(0.5, message="half")),
    Saved(1, b'{"page":6}'),
    Logged(1, "info", "line"),
    end(1, Completed(b'{"a":1}')),
    end(1, Raised(ErrorInfo("E", "m", "t", "f"))),
    end(1, TimedOut(1.0, True, ErrorInfo("E", "m"))),
]


@fuzzed(500)
@given(seed=SEEDS, hits=HITS, cuts=SEEDS)
def test_any_bytes_from_a_child_are_messages_or_garbled(seed: int, hits: int, cuts: int) -> None:
    luck = random.Random(cuts)
    stream = b"".join(map(frame, luck.choices(SAID, k=6)))
    words = [b"\x92" * 5000, b"\xc0", b"\xdf\xff\xff\xff\xff", b"\xd9\xff", b"\xa1\xff", b"\0\0\0\1"]
    feed(mutated(stream, seed, hits, words), luck)


def feed(stream: bytes, luck: random.Random) -> None:
    frames = Frames()
    while stream:
        cut = luck.randint(1, 100)
        piece, stream = stream[:cut], stream[cut:]
        try:
            for message in frames.feed(piece):
                assert isinstance(message, Message)
                if isinstance(message, End):
                    assert isinstance(outcome_in(message), Outcome)
        except Garbled:
            return  # the keeper ends the process


def test_frames_that_are_deep_or_no_text_are_garbled() -> None:
    for body in (b"\x91" * 100_000 + b"\xc0", b"\x83\xa4type\xa5Saved\xa4call\x01\xa5state" + b"\xa1\xff"):
        feed(len(body).to_bytes(4, "big") + body, random.Random(1))
    for outcome in (b"\x91" * 100_000, b"\x81\xa5error\xa1\xff"):
        feed(frame(End(1, "Raised", msgspec.Raw(outcome))), random.Random(1))

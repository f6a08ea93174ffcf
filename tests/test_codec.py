"""Results and envelopes survive the way to Redis and back, or are refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heavylift.codec import (
    decode_envelope,
    decode_result,
    encode_args,
    encode_envelope,
    encode_progress,
    encode_result,
    seal,
)
from heavylift.errors import InvalidJob, InvalidResult, PayloadTooLarge
from heavylift.handler import handler
from heavylift.job import Envelope, JobSpec, Progress
from heavylift.options import Backoff, JobOptions

LIMIT = 1000


@dataclass
class Size:
    width: int
    path: Path


class Invoice(pydantic.BaseModel):
    number: str


# --- results ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, type(None)),
        ({"a": [1, 2.5, None, True]}, dict[str, Any]),
        (Size(3, Path("a/b")), Size),
        ([Size(3, Path("a/b"))], list[Size]),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime),
        (b"\x00\xff", bytes),
        (Path("a/b"), Path),
        (Invoice(number="7"), Invoice),
        ((1, "x"), tuple[int, str]),
    ],
)
def test_a_result_comes_back_as_the_type_the_handler_returns(value: Any, kind: Any) -> None:
    assert decode_result(encode_result(value, LIMIT), kind) == value


def test_a_result_of_unknown_type_comes_back_as_plain_data() -> None:
    assert decode_result(encode_result(Size(3, Path("a/b")), LIMIT)) == {"width": 3, "path": "a/b"}


def test_a_result_of_another_release_comes_back_as_plain_data() -> None:
    """Whoever reads it is told what was stored, rather than nothing."""
    assert decode_result(b'{"breadth":3}', Size) == {"breadth": 3}


@pytest.mark.parametrize("value", [object(), lambda: None, {1, object()}, "\ud800", {(1, 2): object()}])
def test_a_result_that_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(InvalidResult, match="cannot be stored as JSON"):
        encode_result(value, LIMIT)


def test_an_endless_result_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidResult, match="cannot be stored as JSON"):
        encode_result(endless, LIMIT)


def test_a_result_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert len(encode_result("x" * (LIMIT - 2), LIMIT)) == LIMIT
    with pytest.raises(InvalidResult, match=r"1001 bytes.*max_result"):
        encode_result("x" * (LIMIT - 1), LIMIT)


# --- envelopes -------------------------------------------------------------------------------------------

seconds = st.none() | st.floats(0, 1e9)
backoffs = st.none() | st.builds(Backoff, initial=st.floats(0, 1e6), factor=st.floats(1, 10), jitter=st.floats(0, 1))
envelopes = st.builds(
    Envelope,
    handler=st.from_regex(r"[A-Za-z0-9_.\-]{1,100}", fullmatch=True),
    args=st.just(msgspec.Raw(b'{"a":1}')),
    enqueued_at=st.integers(0, 2**53),
    retries=st.none() | st.integers(0, 1000),
    backoff=backoffs,
    timeout=seconds,
    grace=seconds,
    keep=seconds,
    tags=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3).map(tuple),
    correlation_id=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
)


@given(envelopes)
def test_an_envelope_is_read_as_it_was_written(envelope: Envelope) -> None:
    assert decode_envelope(encode_envelope(envelope)) == envelope


@pytest.mark.parametrize(
    "stored",
    [b"", b"null", b"[]", b"{}", b'{"handler":7}', b'{"handler":"a"', b"\xff", b"[" * 100_000,
     b'{"handler":"a","backoff":{"factor":0}}', b'{"handler":"a","retries":"3"}'],
)  # fmt: skip
def test_what_is_no_envelope_is_refused(stored: bytes) -> None:
    with pytest.raises(InvalidJob, match="is not an envelope of a job"):
        decode_envelope(stored)


@given(st.binary(max_size=100))
def test_whatever_is_stored_is_either_refused_or_read(stored: bytes) -> None:
    try:
        decode_envelope(stored)
    except InvalidJob:
        pass


def test_fields_of_a_newer_producer_are_ignored() -> None:
    assert decode_envelope(b'{"handler":"a","args":{},"colour":"red","v":2}').v == 2


def test_progress_is_stored_without_what_was_not_said() -> None:
    assert encode_progress(Progress(fraction=0.5)) == b'{"fraction":0.5}'


# --- sealing a request -----------------------------------------------------------------------------------


@handler(retries=7, timeout=60, keep=10, tags=("a",))
def resize(source: str, width: int) -> None: ...


def test_a_sealed_request_holds_its_arguments_and_its_own_options() -> None:
    options = JobOptions(
        retries=1, backoff=Backoff(initial=3), keep=timedelta(hours=1), tags=("x",), correlation_id="c"
    )
    spec = resize.job("a.jpg", 800)
    envelope = decode_envelope(seal(spec, spec.options.merged(options), limit=LIMIT, enqueued_at=5))
    assert envelope == Envelope(
        handler="resize",
        args=msgspec.Raw(b'{"source":"a.jpg","width":800}'),
        enqueued_at=5,
        retries=1,
        backoff=Backoff(initial=3),
        keep=3600.0,
        tags=("x",),
        correlation_id="c",
    )


def test_rules_of_the_handler_are_not_sealed_into_the_job() -> None:
    """So that a new release of the handler changes them for waiting jobs too."""
    spec = resize.job("a.jpg", 800)
    envelope = decode_envelope(seal(spec, spec.options, limit=LIMIT))
    assert (envelope.retries, envelope.timeout) == (None, None)
    assert (envelope.keep, envelope.tags) == (10.0, ("a",))


def test_a_request_made_by_name_is_sealed_as_it_is() -> None:
    spec = JobSpec("resize", {"source": Path("a.jpg"), "at": datetime(2026, 1, 1, tzinfo=UTC)})
    assert encode_args(spec) == b'{"source":"a.jpg","at":"2026-01-01T00:00:00Z"}'


def test_arguments_checked_once_are_not_encoded_again() -> None:
    """What was checked is what is stored, whatever becomes of the caller's own objects."""
    sizes = [1, 2]

    @handler
    def thumbnails(sizes: list[int]) -> None: ...

    spec = thumbnails.job(sizes)
    sizes.append(3)
    assert encode_args(spec) == b'{"sizes":[1,2]}'


@pytest.mark.parametrize("args", [{"a": object()}, {"a": {1: object()}}, {1: 2}, [1], "a"])
def test_a_request_made_by_name_that_is_not_json_is_refused(args: Any) -> None:
    with pytest.raises(InvalidJob):
        encode_args(JobSpec("resize", args))


def test_the_argument_that_is_not_json_is_named() -> None:
    with pytest.raises(InvalidJob) as refused:
        encode_args(JobSpec("resize", {"good": 1, "bad": object()}))
    assert refused.value.field == "bad"


def test_arguments_may_be_as_large_as_the_limit_and_no_larger() -> None:
    fits = JobSpec("resize", {"a": "x" * (LIMIT - len('{"a":""}'))})
    seal(fits, fits.options, limit=LIMIT)
    larger = JobSpec("resize", {"a": fits.args["a"] + "x"})
    with pytest.raises(PayloadTooLarge, match=r"1001 bytes.*max_payload"):
        seal(larger, larger.options, limit=LIMIT)

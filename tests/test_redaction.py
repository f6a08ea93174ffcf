"""Which values are left out, and that nothing else is."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from heavylift import HandlerError, InvalidJob, JobSpec, Secret, handler
from heavylift.codec import decode_envelope, seal
from heavylift.errors import InvalidArgument
from heavylift.options import JobOptions, check_options
from heavylift.redaction import Hush, redacted
from heavylift.store.reading import read_record

ARGS = {"password": "Hunter2", "cards": [{"number": "4111-1", "name": "Ada"}, {"number": "5500-0"}], "n": 1}


@handler(secret=["card.number"])
def pay(password: Secret[str], card: dict[str, str], amount: int = 1) -> None: ...


def test_paths_go_through_mappings_and_lists() -> None:
    assert redacted(ARGS, ("password", "cards.number", "nothing.there")) == {
        "password": "[secret]",
        "cards": [{"number": "[secret]", "name": "Ada"}, {"number": "[secret]"}],
        "n": 1,
    }


def test_both_ways_of_naming_them_travel_with_the_job() -> None:
    spec = pay.job("Hunter2", {"number": "4111-1"})
    assert set(spec.options.secret) == {"card.number", "password"}
    envelope = decode_envelope(seal(spec, spec.options, limit=1000))
    assert set(envelope.secret) == {"card.number", "password"}
    assert msgspec.json.decode(envelope.args) == {"password": "Hunter2", "card": {"number": "4111-1"}}
    assert "Hunter2" not in repr(spec)
    assert "4111-1" not in repr(spec)


def test_what_is_said_with_enqueue_adds_to_the_handlers() -> None:
    merged = pay.carried.merged(JobOptions(secret=("amount",)))
    assert set(merged.secret) == {"card.number", "password", "amount"}


def test_a_reader_without_the_code_leaves_them_out() -> None:
    spec = pay.job("Hunter2", {"number": "4111-1", "holder": "Ada"})
    record = read_record("j", "q", {b"state": b"waiting", b"spec": seal(spec, spec.options, limit=1000)})
    assert record is not None
    assert record.args == {"password": "[secret]", "card": {"number": "[secret]", "holder": "Ada"}}
    assert b"Hunter2" not in msgspec.json.encode(record, enc_hook=str)


@handler(secret=["card.number"], key=lambda token: token, unique=lambda card: card["number"], group=lambda shop: shop)
def charge(token: Secret[str], card: dict[str, str], shop: str = "main") -> None: ...


def test_what_is_made_of_a_secret_is_a_hash_of_it_equal_for_equal_values() -> None:
    spec = charge.job("tok Hunter2", {"number": "4111-1111"}, "second")
    for shown in (repr(spec), repr(spec.options)):
        assert "Hunter2" not in shown
        assert "4111-1" not in shown
    check_options(spec.options)
    assert spec.options.key == charge.job("tok Hunter2", {"number": "5500-0"}).options.key
    assert spec.options.key != charge.job("tok Hunter3", {"number": "4111-1111"}).options.key
    assert spec.options.unique == charge.job("other", {"number": "4111-1111"}).options.unique
    assert spec.options.group == "second", "it takes no secret"


def test_handlers_of_a_group_make_one_key_of_one_secret() -> None:
    @handler(group="shop", key=lambda token: token)
    def refund(token: Secret[str]) -> None: ...

    assert refund.job("tok-1").options.key == charge.job("tok-1", {"number": "4111-1"}).options.key


def test_a_function_that_fails_over_a_secret_does_not_quote_it() -> None:
    @handler(unique=lambda password: {}[password])
    def login(password: Secret[str]) -> None: ...

    with pytest.raises(InvalidJob, match="failed \\(KeyError\\)") as wrong:
        login.job(ARGS["password"])
    assert "Hunter2" not in "".join(traceback.format_exception(wrong.value))


REFUSED: list[Callable[..., Any]] = [
    lambda: pay.job("Hunter2", "Hunter2"),  # type: ignore[arg-type]
    lambda: pay.job(["Hunter2"], {}),  # type: ignore[arg-type]
    lambda: pay.job(pasword="Hunter2", card={}),  # type: ignore[call-arg]
    lambda: pay.job("Hunter2", {}, 1, "Hunter2"),  # type: ignore[call-arg]
    lambda: pay.job("x", {"number": b"Hunter2"}),  # type: ignore[dict-item]
    lambda: pay.arguments.decode(b'{"password": ["Hunter2"], "card": {}}'),
    lambda: pay.arguments.decode(b"Hunter2 is no JSON"),
]


@pytest.mark.parametrize("refused", REFUSED)
def test_a_refusal_names_the_argument_and_not_its_value(refused: Callable[..., Any]) -> None:
    with pytest.raises(InvalidJob) as wrong:
        refused()
    assert "Hunter2" not in str(wrong.value)
    assert "Hunter2" not in repr(wrong.value.value)


def test_a_refusal_shows_what_is_no_secret() -> None:
    with pytest.raises(InvalidJob, match="amount='much'"):
        pay.job("Hunter2", {}, "much")  # type: ignore[arg-type]


@given(st.text(min_size=4), st.text())
def test_no_form_of_a_value_gets_through(value: str, around: str) -> None:
    hush = Hush({"password": value}, ("password",))
    for text in (value, repr(value), repr({"password": value}), msgspec.json.encode(value, enc_hook=str).decode()):
        assert value not in hush(f"<<{text}>>") or value in "<<[secret]>>'\"{}: password"


def test_short_values_are_left_in_texts_where_they_would_be_found_everywhere() -> None:
    assert Hush({"pin": 1}, ("pin",))("1 of 10") == "1 of 10"
    assert Hush({"pin": 12345}, ("pin",))("pin 12345") == "pin [secret]"


def test_what_cannot_be_meant_is_refused_early() -> None:
    with pytest.raises(HandlerError, match="is no argument of the handler, which takes name"):

        @handler(secret=("pasword",))
        def greet(name: str) -> None: ...

    for wrong in ("password", ("a b",), (1,)):
        with pytest.raises(InvalidArgument, match="secret"):
            check_options(JobOptions(secret=wrong))  # type: ignore[arg-type]


def test_of_a_request_by_hand_what_cannot_be_stored_is_not_quoted() -> None:
    spec = JobSpec("h", {"password": object()}, options=JobOptions(secret=("password",)))
    with pytest.raises(InvalidJob) as wrong:
        seal(spec, spec.options, limit=1000)
    assert "object at" not in str(wrong.value)

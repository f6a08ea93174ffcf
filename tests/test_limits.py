"""Limits as they are said: rates in short, options of a handler, and what is refused of them."""

from __future__ import annotations

from typing import Any

import pytest

from heavylift import HandlerError, InvalidJob, Limit, Rate, handler
from heavylift.errors import InvalidArgument
from heavylift.limits import read_rate
from heavylift.registry import Registry

# --- rates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "count", "seconds", "shown"),
    [
        ("100/min", 100, 60, "100/min"),
        ("10/s", 10, 1, "10/s"),
        (" 5000 / hour ", 5000, 3600, "5000/h"),
        ("1/d", 1, 86400, "1/day"),
        ("3/10s", 3, 10, "3/10s"),
        ("1/2min", 1, 120, "1/120s"),
    ],
)
def test_a_rate_is_said_in_short_and_shown_so(said: str, count: int, seconds: float, shown: str) -> None:
    assert Rate.of(said) == Rate(count, seconds)
    assert str(Rate.of(said)) == shown
    assert Rate.of(shown) == Rate.of(said)


def test_a_burst_goes_over_the_rates_own() -> None:
    assert read_rate("10/s", 3) == Rate(10, 1, 3)
    assert read_rate(Rate(10, 1, 5), 3) == Rate(10, 1, 3)
    assert read_rate(Rate(10, 1, 5)) == Rate(10, 1, 5)
    assert [Rate.of(said).at_once for said in ("100/min", "4/s", "400/s")] == [1, 1, 100]


@pytest.mark.parametrize(
    ("said", "burst", "field"),
    [
        ("fast", None, "rate"),
        ("100", None, "rate"),
        ("10/fortnight", None, "rate"),
        ("-1/s", None, "rate"),
        ("1.5/s", None, "rate"),
        (100, None, "rate"),
        ("0/s", None, "rate.count"),
        ("1/0s", None, "rate.seconds"),
        ("1/40day", None, "rate.seconds"),
        ("2000000/s", None, "rate"),
        ("10/s", 0, "burst"),
        ("10/s", 2.5, "burst"),
        ("10/s", True, "burst"),
        ("1/day", 400, "burst"),
        (None, 5, "burst"),
    ],
)
def test_a_rate_that_is_none_is_refused_by_name(said: Any, burst: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_rate(said, burst)
    assert refused.value.field == field


# --- what a handler declares -----------------------------------------------------------------------------


def declared(**options: Any) -> tuple[Limit, ...]:
    @handler(**options)
    def fetch(host: str, path: str = "/") -> None: ...

    return fetch.limits


def test_a_handler_without_limits_declares_none() -> None:
    assert declared() == declared(key=lambda host: host, group="web") == ()


def test_without_a_key_limits_hold_for_the_handler_or_for_the_group_it_names() -> None:
    assert declared(concurrency=2) == (Limit("fetch", False, 2, declared=True),)
    assert declared(name="get", rate="10/s", burst=3) == (Limit("get", False, None, Rate(10, 1, 3), True),)
    assert declared(group="web", concurrency=2) == (Limit("web", False, 2, declared=True),)


def test_with_a_key_limits_hold_for_each_key_and_the_group_has_its_own() -> None:
    of_keys = Limit("fetch", True, 2, Rate(1, 1), True)
    assert declared(key=lambda host: host, concurrency=2, rate="1/s") == (of_keys,)
    assert declared(key="all", concurrency=2, rate="1/s", group_rate="9/s", group_concurrency=5) == (
        Limit("fetch", False, 5, Rate(9, 1), True),
        of_keys,
    )


@pytest.mark.parametrize(
    ("options", "field", "expected"),
    [
        ({"concurrency": 0}, "concurrency", "1 to 1,000,000"),
        ({"concurrency": "2"}, "concurrency", "give a whole number"),
        ({"concurrency": True}, "concurrency", "give a whole number"),
        ({"rate": "often"}, "rate", "100/min"),
        ({"rate": "0/s"}, "rate", "1 or more"),
        ({"burst": 3}, "burst", "goes with rate"),
        ({"rate": "1/s", "burst": 0}, "burst", "whole number"),
        ({"group_concurrency": 3}, "group_concurrency", "goes with key="),
        ({"group_rate": "3/s"}, "group_rate", "without, rate= holds for the whole group"),
        ({"key": "a", "group_rate": "often"}, "group_rate", "100/min"),
        ({"group": "a b", "concurrency": 2}, "group", "letters, digits"),
        ({"group": lambda host: host, "concurrency": 2}, "group", "give its name, or a function as key="),
        ({"key": "a b"}, "key", "letters, digits"),
        ({"key": 7}, "key", "letters, digits"),
        ({"key": "host"}, "key", "write key=lambda host: host"),
        ({"key": lambda tenant: tenant}, "key", "wants tenant, and the handler takes host, path"),
        ({"group": lambda *all: "g"}, "group", "name the arguments it takes"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_when_declared(options: Any, field: str, expected: str) -> None:
    with pytest.raises(HandlerError) as refused:
        declared(**options)
    assert refused.value.field == field
    assert expected in str(refused.value)


# --- where its jobs stand --------------------------------------------------------------------------------


def test_key_and_group_are_made_of_the_arguments_with_their_defaults() -> None:
    @handler(key=lambda host, path: host + path, group=lambda path: path.strip("/") or "root", unique=lambda host: host)
    def fetch(host: str, path: str = "/") -> None: ...

    options = fetch.job("a.org").options
    assert (options.key, options.group) == ("a.org/", "root")
    assert options.unique
    assert options.unique.by == "a.org"
    assert fetch.job("a.org", "/b").options.group == "b"


def test_a_key_or_group_that_is_a_string_is_that_of_all_its_jobs() -> None:
    @handler(key="only", group="web")
    def fetch(host: str) -> None: ...

    assert (fetch.job("a").options.key, fetch.job("b").options.group) == ("only", "web")


def test_a_function_that_makes_no_string_is_refused_with_the_job() -> None:
    @handler(key=lambda account: account)
    def bill(account: int) -> None: ...

    with pytest.raises(InvalidJob, match="must give a string that is not empty"):
        bill.job(7)


# --- limits at odds --------------------------------------------------------------------------------------


@handler(group="mail", concurrency=2)
def letter() -> None: ...


@handler(group="mail")
def card() -> None: ...


@handler(group="mail", concurrency=3)
def parcel() -> None: ...


@handler(group="mail", queue="abroad", concurrency=3)
def telegram() -> None: ...


def test_two_handlers_that_limit_one_group_differently_are_refused() -> None:
    with pytest.raises(HandlerError) as refused:
        Registry([letter, parcel])
    for text in ("group='mail'", "letter", "2 at once", "parcel", "3 at once"):
        assert text in str(refused.value)


def test_a_group_is_limited_by_any_of_its_handlers_and_in_each_queue_by_itself() -> None:
    known = Registry([letter, card, telegram])
    assert [limit for limit in known.limits["default"] if limit.concurrency] == list(letter.limits)
    assert [limit for limit in known.limits["abroad"] if limit.concurrency] == list(telegram.limits)


def test_a_registry_also_says_what_is_not_limited() -> None:
    """So that a limit goes which the code does not declare any more."""
    said = {(limit.group, limit.per_key): str(limit) for limit in Registry([card]).limits["default"]}
    nothing = "no limit"
    assert said == dict.fromkeys([("card", False), ("card", True), ("mail", False), ("mail", True)], nothing)

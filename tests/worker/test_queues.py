"""Which queue gets which places: pure bookkeeping."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heavylift.errors import InvalidArgument
from heavylift.worker.queues import ServedQueues

LANES = {"default": "io", "mail": "io", "images": "cpu", "documents": "cpu"}


def test_serves_every_queue_of_the_registry_unless_told() -> None:
    assert set(ServedQueues.build(LANES).queues) == set(LANES)
    assert list(ServedQueues.build(LANES, {"mail": 2}).queues) == ["mail"]


def test_refuses_a_queue_no_handler_names_and_says_which_there_are() -> None:
    with pytest.raises(InvalidArgument, match=r"typo.*known: default, documents, images, mail"):
        ServedQueues.build(LANES, {"typo": 1})


def test_refuses_a_weight_below_one() -> None:
    with pytest.raises(InvalidArgument, match="weights of 1 or more"):
        ServedQueues.build(LANES, {"mail": 0})


def test_only_flagged_queues_of_the_lane_are_asked() -> None:
    queues = ServedQueues.build(LANES)
    queues.queues["mail"].flagged = False
    assert [(q.name, n) for q, n in queues.allot("io", 10)] == [("default", 10)]


def test_nothing_is_allotted_without_a_free_place() -> None:
    queues = ServedQueues.build(LANES)
    assert queues.allot("io", 0) == []
    assert queues.allot("io", -3) == []


def test_a_queue_with_a_claim_in_flight_is_not_asked_again() -> None:
    queues = ServedQueues.build(LANES)
    assert [(q.name, n) for q, n in queues.allot("io", 4, busy=["default"])] == [("mail", 4)]


def test_strict_asks_the_first_and_the_next_only_when_it_has_no_work() -> None:
    queues = ServedQueues.build(LANES, {"mail": 1, "default": 1}, strict=True)
    assert [(q.name, n) for q, n in queues.allot("io", 4)] == [("mail", 4)]
    queues.queues["mail"].flagged = False
    assert [(q.name, n) for q, n in queues.allot("io", 4)] == [("default", 4)]


@given(
    weights=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    frees=st.lists(st.integers(0, 7), min_size=1, max_size=60),
)
def test_places_are_all_spent_and_never_overspent(weights: list[int], frees: list[int]) -> None:
    names = [f"q{i}" for i in range(len(weights))]
    queues = ServedQueues.build(dict.fromkeys(names, "io"), dict(zip(names, weights, strict=True)))
    for free in frees:
        assert sum(credits for _, credits in queues.allot("io", free)) == free


def test_single_places_are_shared_by_weight_over_time() -> None:
    queues = ServedQueues.build(LANES, {"default": 1, "mail": 3})
    given: Counter[str] = Counter()
    for _ in range(400):
        given.update({q.name: credits for q, credits in queues.allot("io", 1)})
    assert given == {"default": 100, "mail": 300}


def test_a_due_time_flags_its_queue_once() -> None:
    queues = ServedQueues.build(LANES)
    for queue in queues.queues.values():
        queue.flagged = False
    queues.queues["mail"].due = 10.0
    queues.flag_due(9.9)
    assert not queues.queues["mail"].flagged
    assert queues.next_due() == 10.0
    queues.flag_due(10.0)
    assert queues.queues["mail"].flagged
    assert queues.next_due() is None

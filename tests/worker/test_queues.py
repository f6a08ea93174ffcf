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


def test_what_one_lane_gives_out_changes_nothing_in_another() -> None:
    queues = ServedQueues.build(LANES, {"default": 1, "mail": 3, "images": 1, "documents": 1})
    given: Counter[str] = Counter()
    for _ in range(400):
        given.update({q.name: jobs for q, jobs in queues.allot("io", 1)})
        queues.allot("cpu", 7)
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


# --- queues whose jobs take several places -----------------------------------------------------------------


class Lane:
    """A lane of so many places, and queues that always have work; each job ends after a number of rounds."""

    def __init__(self, size: int, weights: dict[str, int], costs: dict[str, int], strict: bool = False) -> None:
        self.size, self.costs = size, costs
        self.queues = ServedQueues.build(dict.fromkeys(weights, "io"), weights, strict, costs)
        self.running: list[tuple[int, str]] = []  # rounds left, queue
        self.places: Counter[str] = Counter()
        self.empty: set[str] = set()

    def cost(self, name: str) -> int:
        return min(self.costs.get(name, 1), self.size)

    def free(self) -> int:
        return self.size - sum(self.cost(name) for _, name in self.running)

    def round(self, lasts: int) -> None:
        self.running = [(left - 1, name) for left, name in self.running if left > 1]
        while allotted := self.queues.allot("io", self.free(), size=self.size):
            for queue, jobs in allotted:
                if queue.name in self.empty:
                    queue.flagged = False
                    self.queues.unused(queue, jobs, self.size)
                    continue
                self.running += [(lasts, queue.name)] * jobs
                self.places[queue.name] += jobs * self.cost(queue.name)
            assert self.free() >= 0


@given(
    size=st.integers(1, 8),
    queues=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), min_size=2, max_size=4),
    lasts=st.lists(st.integers(1, 5), min_size=3, max_size=9),
)
def test_what_runs_always_fits_and_nobody_starves(size: int, queues: list[tuple[int, int]], lasts: list[int]) -> None:
    names = [f"q{number}" for number in range(len(queues))]
    weights = {name: weight for name, (weight, _) in zip(names, queues, strict=True)}
    lane = Lane(size, weights, {name: cost for name, (_, cost) in zip(names, queues, strict=True)})
    for turn in range(400):
        lane.round(lasts[turn % len(lasts)])
    total = sum(lane.places.values())
    for name in names:
        share = weights[name] / sum(weights.values())
        assert lane.places[name] / total == pytest.approx(share, abs=0.05)


def test_a_job_that_needs_all_places_is_not_starved_by_those_that_need_one() -> None:
    lane = Lane(4, {"small": 1, "large": 1}, {"large": 4})
    for turn in range(100):
        lane.round(lasts=1 + turn % 4)
    assert lane.places["large"] > 0.4 * sum(lane.places.values())


def test_nothing_is_saved_for_a_queue_that_turns_out_to_be_empty() -> None:
    lane = Lane(4, {"large": 1, "small": 1}, {"large": 4})
    lane.empty.add("large")
    lane.round(lasts=3)
    lane.queues.flag_all()
    for _ in range(10):
        lane.round(lasts=3)
        assert lane.free() == 0


def test_a_job_that_costs_more_than_there_are_places_takes_all_of_them() -> None:
    queues = ServedQueues.build(LANES, {"mail": 1}, costs={"mail": 9})
    assert [(q.name, n) for q, n in queues.allot("io", 4, size=4)] == [("mail", 1)]


def test_strict_saves_places_for_the_first_before_anything_goes_to_the_next() -> None:
    lane = Lane(4, {"large": 1, "small": 1}, {"large": 3}, strict=True)
    for _ in range(20):
        lane.round(lasts=2)
    assert lane.places == {"large": 30}


def test_places_given_to_a_queue_that_had_no_jobs_for_them_do_not_count_as_its_share() -> None:
    queues = ServedQueues.build(LANES, {"default": 1, "mail": 1})
    given = dict.fromkeys(["default", "mail"], 0)
    for _ in range(50):
        for queue, jobs in queues.allot("io", 10):
            used = min(jobs, 1) if queue.name == "mail" else jobs
            queues.unused(queue, jobs - used, 10)
            given[queue.name] += used
        for queue, jobs in queues.allot("io", 1):
            given[queue.name] += jobs
    assert given["mail"] == 100

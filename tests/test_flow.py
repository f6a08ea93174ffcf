"""Flows as values: who waits for whom, and what is refused."""

from __future__ import annotations

import pytest

from heavylift import JobSpec, batch, chain, group
from heavylift.errors import InvalidArgument
from heavylift.flow import FlowSpec
from heavylift.options import JobOptions, JobRef


def job(name: str, **options: object) -> JobSpec[object]:
    return JobSpec(name, options=JobOptions(**options))  # type: ignore[arg-type]


def drawn(flow: FlowSpec) -> dict[str, str]:
    """Each job and the names of its parents."""
    names = [node.spec.handler for node in flow.nodes]
    return {node.spec.handler: "".join(names[place] for place in node.after) for node in flow.nodes}


def test_a_chain_is_each_after_the_one_before() -> None:
    assert drawn(chain(job("a"), job("b"), job("c"))) == {"a": "", "b": "a", "c": "b"}


def test_a_group_in_a_chain_fans_out_and_in() -> None:
    flow = chain(job("a"), group([job("b"), chain(job("c"), job("d"))]), job("e"))
    assert drawn(flow) == {"a": "", "b": "a", "c": "a", "d": "c", "e": "bd"}


def test_after_two_groups_all_of_the_second_wait_for_all_of_the_first() -> None:
    flow = chain(group([job("a"), job("b")]), group([job("c"), job("d")]))
    assert drawn(flow) == {"a": "", "b": "", "c": "ab", "d": "ab"}


def test_a_batch_tells_somebody_either_way_and_a_chain_goes_on_after_completion() -> None:
    flow = chain(batch([job("a"), job("b")], on_complete=job("c"), on_failure=job("f")), job("z"))
    assert drawn(flow) == {"a": "", "b": "", "c": "ab", "f": "ab", "z": "c"}
    assert [node.on_parent_failure for node in flow.nodes] == [None, None, "cancel", "require", None]


def test_parents_stand_before_their_children() -> None:
    flow = chain(group([batch([job("a")], on_failure=job("b")), job("c")]), batch([job("d"), job("e")]), job("f"))
    assert all(place < at for at, node in enumerate(flow.nodes) for place in node.after)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: chain(), "steps"),
        (lambda: group([]), "jobs"),
        (lambda: chain("a"), "flow"),  # type: ignore[arg-type]
        (lambda: chain(job("a", after=(JobRef("q", "x"),))), "after"),
        (lambda: chain(group(job(f"a{n}") for n in range(500)), group(job(f"b{n}") for n in range(500))), "flow"),
    ],
)
def test_what_cannot_be_a_flow_is_refused_by_name(make: object, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        make()  # type: ignore[operator]
    assert refused.value.field == field

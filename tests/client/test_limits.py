"""Limits set by hand through both clients: they hold at the next claim, and are read as they were said."""

from __future__ import annotations

from typing import Any

import pytest

from heavylift import JobSpec, Limit, QueueLimits, Rate, handler
from heavylift.errors import InvalidArgument
from tests.client.hand import Hand


@handler(key=lambda account: account)
def bill(account: str) -> None: ...


def jobs(client: Any, *accounts: str, **options: Any) -> list[Any]:
    return [client.enqueue(bill.job(account), **options) for account in accounts]


def test_a_queue_without_limits_says_so(client: Any) -> None:
    assert client.limits("default") == QueueLimits((), "priority", 60.0)


def test_what_is_limited_is_read_as_it_was_said_and_lifted_by_a_word(client: Any) -> None:
    client.limit("default", concurrency=5)
    client.limit("default", group="bill", per_key=True, concurrency=1, rate="2/s", burst=4)
    client.limit("default", group="bill", rate=Rate(100, 60))
    assert client.limits("default").limits == (
        Limit(None, False, 5),
        Limit("bill", False, None, Rate(100, 60)),
        Limit("bill", True, 1, Rate(2, 1, 4)),
    )
    client.limit("default", concurrency="unlimited")
    client.limit("default", group="bill", rate="unlimited")
    client.limit("default", group="bill", per_key=True, rate="unlimited")
    assert client.limits("default").limits == (Limit("bill", True, 1),)


def test_a_limited_queue_is_known_before_it_has_jobs(client: Any) -> None:
    client.limit("mail", concurrency=0)
    assert client.queues() == ["mail"]


def test_a_limit_holds_at_the_next_claim_and_no_more_once_lifted(client: Any, hand: Hand) -> None:
    jobs(client, "ada", "ada", "bob")
    client.limit("default", group="bill", per_key=True, concurrency=1)
    held = hand.claim_some("default", 10)
    assert len(held) == 2
    client.limit("default", group="bill", per_key=True, concurrency="unlimited")
    assert len(hand.claim_some("default", 10)) == 1


def test_a_key_said_with_the_job_goes_over_that_of_its_handler(client: Any, hand: Hand) -> None:
    client.limit("default", group="bill", per_key=True, concurrency=1)
    jobs(client, "ada", "bob", key="both")
    assert len(hand.claim_some("default", 10)) == 1


def test_handlers_share_the_limits_of_a_group(client: Any, hand: Hand) -> None:
    client.limit("default", group="money", concurrency=1)
    jobs(client, "ada", group="money")
    client.enqueue(JobSpec("other", {}), group="money")
    client.enqueue(JobSpec("other", {}))
    assert len(hand.claim_some("default", 10)) == 2


def test_keys_take_turns_where_the_order_is_fair(client: Any, hand: Hand) -> None:
    assert client.order("default", "fair")
    assert not client.order("default", "fair")
    many, few = jobs(client, *["ada"] * 50), jobs(client, *["bob"] * 3)
    taken = [job.id for job in hand.claim_some("default", 8)]
    assert {job.id for job in few} < set(taken), "three of fifty-three, and all among the first eight"
    assert [id for id in taken if id in {job.id for job in many}] == [job.id for job in many[:5]]
    assert client.limits("default").order == "fair"


@pytest.mark.parametrize(("step", "first"), [(0, "old"), (1e-6, "old"), (60, "urgent"), ("strict", "urgent")])
def test_the_step_says_how_much_waiting_a_priority_is_worth(client: Any, hand: Hand, step: Any, first: str) -> None:
    client.step("default", step)
    [old] = jobs(client, "a")
    [urgent] = jobs(client, "b", priority=-1)
    assert hand.claim().id == {"old": old, "urgent": urgent}[first].id
    assert client.limits("default").step == (7e6 if step == "strict" else step)


@pytest.mark.parametrize(
    ("verb", "args", "said", "field"),
    [
        ("limit", ["q"], {}, "concurrency"),
        ("limit", ["q"], {"concurrency": -1}, "concurrency"),
        ("limit", ["q"], {"concurrency": 1.5}, "concurrency"),
        ("limit", ["q"], {"concurrency": "many"}, "concurrency"),
        ("limit", ["q"], {"concurrency": True}, "concurrency"),
        ("limit", ["q"], {"rate": "often"}, "rate"),
        ("limit", ["q"], {"burst": 3}, "burst"),
        ("limit", ["q"], {"rate": "unlimited", "burst": 3}, "burst"),
        ("limit", ["q"], {"concurrency": 1, "per_key": True}, "group"),
        ("limit", ["q"], {"concurrency": 0, "group": "g", "per_key": True}, "concurrency"),
        ("limit", ["q"], {"concurrency": 1, "group": "a/b"}, "group"),
        ("limit", ["q"], {"concurrency": 1, "group": ""}, "group"),
        ("limit", ["a b"], {"concurrency": 1}, "queue"),
        ("limits", ["a b"], {}, "queue"),
        ("order", ["q", "random"], {}, "order"),
        ("step", ["q", "loose"], {}, "step"),
        ("step", ["q", -1], {}, "step"),
        ("step", ["q", True], {}, "step"),
        ("step", ["q", 1e9], {}, "step"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(client: Any, verb: str, args: Any, said: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        getattr(client, verb)(*args, **said)
    assert refused.value.field == field

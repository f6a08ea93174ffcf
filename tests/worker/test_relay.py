"""What running attempts report is not lost between the relay and the settlement."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from heavylift.errors import Unavailable
from heavylift.job import Progress
from heavylift.store.jobs import Jobs
from heavylift.worker.contact import Contact
from heavylift.worker.relay import Relay
from tests.waiting import wait_until


class Slow(Contact):
    """A contact whose reply comes when the test lets it come."""

    def __init__(self) -> None:
        super().__init__("relay", lambda role: (_ for _ in ()).throw(Unavailable(role)))
        self.sent = threading.Event()
        self.answer = threading.Event()
        self.lost = False
        self.calls: list[Any] = []

    def round_trip(self, calls: Sequence[Any], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        self.calls += calls
        self.sent.set()
        self.answer.wait(10)
        if self.lost:
            raise Unavailable("the reply was lost")
        return [["ok"] for _ in calls]


def relay_at_work(contact: Slow) -> Relay:
    relay = Relay(Jobs(), contact)
    relay.start()
    relay.checkpointed("q", "job", "token", b"5")
    relay.progressed("q", "job", "token", Progress(0.5))
    wait_until("it is on its way", contact.sent.is_set)
    return relay


def test_what_is_on_its_way_travels_with_the_settlement_too() -> None:
    """The settlement may arrive first; what comes after it is refused."""
    contact = Slow()
    relay = relay_at_work(contact)
    try:
        assert relay.take("job", "token") == (Progress(0.5), b"5")
    finally:
        contact.answer.set()
        relay.stop()


def test_what_came_since_goes_before_what_is_on_its_way() -> None:
    contact = Slow()
    relay = relay_at_work(contact)
    try:
        relay.checkpointed("q", "job", "token", b"6")
        assert relay.take("job", "token") == (Progress(0.5), b"6")
    finally:
        contact.answer.set()
        relay.stop()


def test_what_was_written_is_not_written_again() -> None:
    contact = Slow()
    relay = relay_at_work(contact)
    try:
        contact.answer.set()
        wait_until("it is answered", lambda: not relay._sending)
        assert relay.take("job", "token") == (None, None)
    finally:
        relay.stop()


def test_no_call_carries_more_than_redis_should_take_at_once() -> None:
    """Forty checkpoints of 200 kB, together 8 MB, go in calls of about one."""
    contact = Slow()
    contact.answer.set()
    relay = Relay(Jobs(), contact)
    for number in range(40):
        relay.checkpointed("q", f"job{number}", "token", b"7" * 200_000)
    relay.start()
    try:
        wait_until("all are written", lambda: contact.sent.is_set() and not relay._reports and not relay._sending)
    finally:
        relay.stop()
    assert len(contact.calls) >= 8
    assert all(sum(map(len, map(str, call.command))) < 1_500_000 for call in contact.calls)


def test_what_was_lost_on_its_way_is_kept() -> None:
    contact = Slow()
    contact.lost = True
    relay = relay_at_work(contact)
    try:
        contact.answer.set()
        wait_until("it is back", lambda: relay._reports)
    finally:
        relay.stop()
    assert relay.take("job", "token") == (Progress(0.5), b"5")

"""The dispatcher's ear: nudges are never lost, channels come and go."""

from __future__ import annotations

import threading
import time

from heavylift.errors import Unavailable
from heavylift.nudge import Nudge
from heavylift.store.channel import Channel
from heavylift.worker.mailbox import Mailbox


def _no_channel() -> Channel:
    raise Unavailable("there is no server in this test")


def test_a_nudge_given_before_the_wait_ends_it_at_once() -> None:
    mailbox = Mailbox(_no_channel)
    try:
        mailbox.nudge()
        before = time.monotonic()
        assert mailbox.wait(30.0) == []
        assert time.monotonic() - before < 5.0
    finally:
        mailbox.close()


def test_no_nudge_is_lost_however_threads_interleave() -> None:
    """Four threads hand over 5,000 things each with a nudge; the waiter, told nothing else, sees them all."""
    nudge = Nudge()
    things: list[int] = []
    total = 20_000

    def produce() -> None:
        for number in range(total // 4):
            things.append(number)
            nudge.set()

    threads = [threading.Thread(target=produce) for _ in range(4)]
    seen = 0
    import select

    for thread in threads:
        thread.start()
    try:
        while seen < total:
            ready, _, _ = select.select([nudge], [], [], 10.0)
            assert ready, f"a nudge was lost: {seen} of {total} seen, {len(things)} there"
            nudge.clear()
            seen = len(things)
    finally:
        for thread in threads:
            thread.join()
        nudge.close()


def test_without_a_channel_it_still_waits_and_polls() -> None:
    mailbox = Mailbox(_no_channel)
    try:
        assert mailbox.wait(0.01) == []
        assert not mailbox.connected
    finally:
        mailbox.close()

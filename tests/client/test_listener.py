from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from heavylift.client import inbox, listener
from heavylift.client.inbox import LIMIT, Mark, ThreadInbox
from heavylift.client.listener import Listener
from heavylift.errors import Stop
from heavylift.store.channel import Channel
from heavylift.store.target import Target
from tests.servers import Server
from tests.striking import Strike
from tests.waiting import wait_until


@pytest.fixture
def ear(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """A listener, which soon notices who has left."""
    monkeypatch.setattr(listener, "GLANCE", 0.02)
    ear = Listener(lambda: Channel(Target.from_url(url), name="listener"))
    yield ear
    ear.close()


def box_on(ear: Listener, *channels: str, patterns: tuple[str, ...] = ()) -> ThreadInbox:
    """A box that is live."""
    box = ThreadInbox(ear.leave)
    ear.join(box, channels, patterns)
    assert box.take(5) == [Mark.LIVE]
    return box


def test_a_box_is_live_when_redis_has_confirmed_and_not_before(ear: Listener, any_server: Server) -> None:
    """A frozen server takes the subscription and does nothing."""
    box_on(ear, "a")
    any_server.pause()
    box = ThreadInbox(ear.leave)
    ear.join(box, ["b"], [])
    assert box.take(0.1) == []
    any_server.resume()
    assert box.take(5) == [Mark.LIVE]
    assert any_server.command("PUBLISH", "b", "x") == 1
    assert box.take(5) == [b"x"]


def test_each_box_gets_what_it_listens_to_and_nothing_else(ear: Listener, any_server: Server) -> None:
    a, ab, all_of_them = box_on(ear, "q:a"), box_on(ear, "q:a", "q:b"), box_on(ear, patterns=("q:*",))
    for name in ("q:a", "q:b", "q:c"):
        any_server.command("PUBLISH", name, name)
    wait_until("the last has arrived", lambda: len(all_of_them._heard) == 3)
    assert a.take(1) == [b"q:a"]
    assert ab.take(1) == [b"q:a", b"q:b"]
    assert all_of_them.take(1) == [b"q:a", b"q:b", b"q:c"]


def test_a_channel_is_left_with_its_last_box(ear: Listener, any_server: Server) -> None:
    first, second = box_on(ear, "a"), box_on(ear, "a")
    first.close()
    first.close()
    assert any_server.command("PUBLISH", "a", "x") == 1
    assert second.take(5) == [b"x"]
    second.close()
    wait_until("nobody listens", lambda: any_server.command("PUBLISH", "a", "x") == 0)


def test_a_lost_connection_is_told_and_mended(ear: Listener, any_server: Server) -> None:
    box = box_on(ear, "a")
    any_server.command("CLIENT", "KILL", "TYPE", "pubsub")
    heard = []
    wait_until("it is live again", lambda: heard.extend(box.take(0.1)) or Mark.LIVE in heard)
    assert heard == [Mark.LOST, Mark.LIVE]
    any_server.command("PUBLISH", "a", "x")
    assert box.take(5) == [b"x"]


def test_a_listener_that_nobody_needs_gives_up_its_thread_and_starts_anew(
    ear: Listener, any_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "LINGER", 0.05)
    box_on(ear, "a").close()
    wait_until("its connection is gone", lambda: b"heavylift:listener" not in any_server.command("CLIENT", "LIST"))
    wait_until("its thread is gone", lambda: "heavylift-listener" not in [t.name for t in threading.enumerate()])
    box = box_on(ear, "a")
    any_server.command("PUBLISH", "a", "x")
    assert box.take(5) == [b"x"]


def test_many_threads_come_and_go_on_the_same_channel(ear: Listener, any_server: Server) -> None:
    """Every one of them becomes live, whatever the others have under way."""

    def come_and_go() -> None:
        for _ in range(100):
            box_on(ear, "a", "b").close()

    threads = [threading.Thread(target=come_and_go) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    wait_until("nobody listens", lambda: any_server.command("PUBSUB", "CHANNELS") == [])
    assert (ear._boxes, ear._listening, ear._joined, ear._patterns) == ({}, {}, {}, set())


def test_a_box_that_nobody_watches_any_more_has_left(ear: Listener, any_server: Server) -> None:
    box = box_on(ear, "a")
    del box
    wait_until("nobody listens", lambda: any_server.command("PUBLISH", "a", "x") == 0)


def test_the_collector_may_close_an_abandoned_watch_wherever_a_thread_is_in_the_listener(
    url: str, any_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "GLANCE", 0.02)

    def abandon(ear: Listener) -> None:
        """A watch that only the collector finds."""

        def watch() -> Iterator[None]:
            box = box_on(ear, "a")
            try:
                yield
            finally:
                box.close()

        holder: list[Any] = [watch()]
        holder.append(holder)
        next(holder[0])

    def join(ear: Listener, strike: Strike) -> None:
        with strike.watched():
            box_on(ear, "b").close()

    def play(so_far: int) -> bool:
        with closing(Listener(lambda: Channel(Target.from_url(url), name="listener"))) as ear:
            abandon(ear)
            strike = Strike(listener, so_far, gc.collect)
            joins = threading.Thread(target=join, args=(ear, strike), daemon=True)
            joins.start()
            joins.join(10)
            assert not joins.is_alive(), f"it hangs: the collector came at {so_far}"
            gc.collect()
            wait_until("nobody listens", lambda: any_server.command("PUBSUB", "CHANNELS") == [])
        return strike.done

    gc.disable()
    try:
        so_far = 1
        while play(so_far):
            so_far += 1
    finally:
        gc.enable()
    assert so_far > 5


def test_a_stop_that_strikes_whoever_joins_leaves_the_channel_to_others_and_nothing_behind(
    url: str, any_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "GLANCE", 0.02)

    def stop() -> None:
        raise Stop("timeout")

    def join(ear: Listener, strike: Strike) -> None:
        with suppress(Stop), strike.watched():
            box_on(ear, "a", patterns=("b*",)).close()

    def play(so_far: int) -> bool:
        with closing(Listener(lambda: Channel(Target.from_url(url), name="listener"))) as ear:
            strike = Strike(listener, so_far, stop)
            joins = threading.Thread(target=join, args=(ear, strike), daemon=True)
            joins.start()
            joins.join(10)
            assert not joins.is_alive()
            box = box_on(ear, "a", patterns=("b*",))
            for name in ("a", "bb"):
                any_server.command("PUBLISH", name, name)
            heard: list[Any] = []
            wait_until("both are heard", lambda: heard.extend(box.take(0.1)) or heard == [b"a", b"bb"])
            box.close()
            wait_until("nobody listens", lambda: any_server.command("PUBSUB", "CHANNELS") == [])
            wait_until("no box is left", lambda: not ear._boxes and not ear._joined and not ear._listening)
        return strike.done

    so_far = 1
    while play(so_far):
        so_far += 1
    assert so_far > 5


def test_a_closed_listener_says_so(ear: Listener) -> None:
    box = box_on(ear, "a")
    ear.close()
    assert box.take(1) == [Mark.CLOSED]
    late = ThreadInbox(ear.leave)
    ear.join(late, ["a"], [])
    assert late.take(1) == [Mark.CLOSED]


def test_a_box_that_overflows_is_emptied_and_sends_its_watcher_to_read() -> None:
    box = ThreadInbox(lambda box: None)
    for n in range(LIMIT + 1):
        box.put(str(n).encode())
    assert box.take(0) == [inbox.Mark.LIVE, str(LIMIT).encode()]

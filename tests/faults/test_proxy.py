"""The proxy does to a connection what it is told, while it is open, and leaves no thread and no descriptor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.faults.proxy import Proxy
from tests.servers import Server

LOST = (redis.ConnectionError, redis.TimeoutError)


@pytest.fixture
def proxy(any_server: Server) -> Iterator[Proxy]:
    assert any_server.socket is not None
    with Proxy(any_server.socket) as proxy:
        yield proxy


@contextmanager
def talking(proxy: Proxy) -> Iterator[redis.Redis]:
    client = redis.Redis(
        port=proxy.port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0), single_connection_client=True
    )
    try:
        yield client
    finally:
        client.close()
        client.connection_pool.disconnect()


def test_it_passes_everything_on_both_ways(proxy: Proxy) -> None:
    with talking(proxy) as client:
        client.set("a", b"x" * 200_000)
        assert client.get("a") == b"x" * 200_000
        client.delete("a")


def test_it_refuses_and_lets_in_again(proxy: Proxy) -> None:
    with talking(proxy) as client:
        proxy.refuse()
        for _ in range(2):
            with pytest.raises(LOST):
                client.ping()
        proxy.pass_on()
        assert client.ping()


def test_it_cuts_after_some_bytes(proxy: Proxy) -> None:
    with talking(proxy) as client:
        client.ping()
        proxy.cut_after(3, "down")
        with pytest.raises(LOST):
            client.ping()
        assert client.ping(), "only once"


@pytest.mark.allow_keys("n")
def test_it_drops_the_reply_to_a_command_that_has_run(proxy: Proxy) -> None:
    with talking(proxy) as client:
        client.ping()
        proxy.drop_reply(b"INCR")
        client.ping()
        with pytest.raises(LOST):
            client.incr("n")
        assert client.get("n") == b"1"
        assert proxy.dropped == 1


def test_it_delays_and_throttles(proxy: Proxy) -> None:
    with talking(proxy) as client:
        client.ping()
        for slow in (lambda: proxy.delay(0.05), lambda: proxy.throttle(200)):
            slow()
            began = time.monotonic()
            client.ping()
            assert time.monotonic() - began > 0.09
            proxy.pass_on()


@pytest.mark.parametrize("way", ["up", "down"])
def test_it_swallows_one_direction_with_the_connection_open(proxy: Proxy, way: str) -> None:
    with talking(proxy) as client:
        client.ping()
        proxy.black_hole("up" if way == "up" else "down")
        with pytest.raises(redis.TimeoutError):
            client.ping()
        proxy.pass_on()
        assert client.ping()


def test_nothing_is_left_of_it(any_server: Server) -> None:
    assert any_server.socket is not None
    before = threading.active_count()
    with Proxy(any_server.socket) as proxy, talking(proxy) as client:
        client.ping()
        proxy.black_hole()
    assert threading.active_count() == before

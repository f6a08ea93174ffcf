"""`client`: the client under test, once as `Client` and once as `AsyncClient`; `hand`: a worker's work by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from heavylift.client import AsyncClient, Client
from heavylift.settings import Settings
from tests.client.hand import Hand
from tests.client.shells import Loop, OnLoop

MakeClient = Callable[..., Any]


def settings(url: str, **said: Any) -> Settings:
    """Settings of a client under test, and no one else's."""
    return Settings.load(env={}, redis_url=url, **said)


@pytest.fixture(params=["threads", "loop"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """`make_client(url, poll=0.2)` gives a client of the shell under test, closed after it."""
    made: list[Any] = []
    loop = Loop() if request.param == "loop" else None

    def make(url: str, *, patience: float = 5.0, **said: Any) -> Any:
        if loop is None:
            made.append(Client(settings=settings(url, **said), patience=patience))
        else:
            made.append(OnLoop(AsyncClient(settings=settings(url, **said), patience=patience), loop))
        return made[-1]

    yield make
    for client in made:
        client.close()
    if loop is not None:
        loop.close()


@pytest.fixture
def client(make_client: MakeClient, url: str) -> Any:
    """A client of the shell under test."""
    return make_client(url)


@pytest.fixture
def hand(url: str) -> Iterator[Hand]:
    """A worker's work by hand."""
    with Hand(url) as hand:
        yield hand

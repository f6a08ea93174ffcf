"""The pytest plugin. Installed with `heavylift[testing]`; it does nothing until one of its fixtures is asked for.

| fixture | gives |
|---|---|
| `jobs` | a `Harness` on an empty server; `Client()` made in the test talks to the same |
| `heavylift_client`, `heavylift_async_client` | its clients |
| `heavylift_worker` | a real worker, running for the test |
| `heavylift_settings`, `heavylift_handlers`, `heavylift_url` | what the others are made with; override them |

Each process of pytest-xdist has a server of its own, which ends with it. Option `--heavylift-url`: a server that is
there already; each test keeps to a prefix of its own and deletes it.

pytest loads this in every run, so what the fixtures are made of is imported by those that need it, and not named here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--heavylift-url` and the ini option `heavylift_modules`."""
    group = parser.getgroup("heavylift")
    group.addoption("--heavylift-url", metavar="URL", help="Redis for the fixture `jobs` instead of one of its own")
    parser.addini("heavylift_modules", "modules with handlers, beside the folder handlers/", type="args", default=[])


@pytest.fixture(scope="session")
def heavylift_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """Where Redis is: `--heavylift-url`, else a Valkey of this process' own."""
    if given := pytestconfig.getoption("--heavylift-url"):
        yield given
        return
    from heavylift.testing.server import ThrowAwayServer

    server = ThrowAwayServer()
    yield server.url
    server.close()


@pytest.fixture
def heavylift_settings(heavylift_url: str, pytestconfig: pytest.Config) -> Any:
    """The settings of `jobs`: the test's server, a prefix of the test's own, the project's root."""
    import secrets

    from heavylift.settings import Settings

    prefix = f"test-{secrets.token_hex(6)}"
    return Settings.load(env={}, redis_url=heavylift_url, prefix=prefix, root=pytestconfig.rootpath)


@pytest.fixture
def heavylift_handlers(request: pytest.FixtureRequest, heavylift_settings: Any) -> list[Any]:
    """The handlers there are: the project's `handlers/`, the modules of `heavylift_modules`, the test's own module."""
    from heavylift.handler import Handler
    from heavylift.registry import Registry

    modules = request.config.getini("heavylift_modules")
    project = Registry.load(heavylift_settings.root, modules).handlers
    own = [value for value in vars(request.module).values() if isinstance(value, Handler)]
    return [*project, *own]


@pytest.fixture
def jobs(request: pytest.FixtureRequest, heavylift_settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A `Harness` on an empty server. `Client()` in the test, without a URL of its own, talks to the same server."""
    from heavylift.testing.harness import Harness

    monkeypatch.setenv("HEAVYLIFT_REDIS_URL", heavylift_settings.redis_url or "")
    monkeypatch.setenv("HEAVYLIFT_PREFIX", heavylift_settings.prefix)
    with Harness(heavylift_settings, lambda: request.getfixturevalue("heavylift_handlers")) as harness:
        yield harness


@pytest.fixture
def heavylift_client(jobs: Any) -> Any:
    """A `Client` on the test's server."""
    return jobs.client


@pytest.fixture
def heavylift_async_client(jobs: Any) -> Any:
    """An `AsyncClient` on the test's server; use it as `async with heavylift_async_client as client`."""
    return jobs.async_client


@pytest.fixture
def heavylift_worker(jobs: Any) -> Iterator[Any]:
    """A real worker of the test's handlers, running until the test ends."""
    with jobs.worker() as worker:
        yield worker

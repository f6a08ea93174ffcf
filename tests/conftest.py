"""Fixtures: real servers, empty for each test, and a check after each test that nothing is left behind.

`redis_server`, `valkey_server`   one server for the whole run, as new for each test
`server`                          each test once per kind; `HEAVYLIFT_TEST_SERVERS=redis` (or `valkey`) restricts it
`url`                             of one of them (the machine's Redis if there is one): for tests that do not care which
`tls_server`                      the machine's Redis behind TLS
`cluster`                         three primaries
`leftover_keys`                   call it when every job has ended: fails if a lock, a line, an unfinished job is left

Markers: `allow_keys("pattern", ...)` for a test that writes keys of its own; `leaves_descriptors` for one that may keep
file descriptors open.
"""

from __future__ import annotations

import multiprocessing.util
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import keyspace, leftovers
from tests.fleets import Cluster
from tests.servers import BASE, Server, ServerMissing, any_binary, redis_binary, valkey_binary
from tests.waiting import wait_until

# Also where the environment was made before the package had this entry point.
pytest_plugins = ["heavylift.pytest_plugin"]

LASTING = pytest.StashKey[list[Server]]()
KINDS = {"redis": redis_binary, "valkey": valkey_binary}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "allow_keys(*patterns): keys this test may leave in Redis")
    config.addinivalue_line("markers", "leaves_descriptors: this test may leave file descriptors open")
    config.stash[LASTING] = []
    leftovers.adopt_orphans()
    # What a shell starts in the background ignores it, as would all that the tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: the tests wait about as long as they compute."""
    return min(4, (os.cpu_count() or 1) + 1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        wanted = os.environ.get("HEAVYLIFT_TEST_SERVERS", "redis,valkey").split(",")
        metafunc.parametrize("server", [kind for kind in KINDS if kind in wanted], indirect=True)


# --- servers -------------------------------------------------------------------------------------------------


def _lasting(config: pytest.Config, find: Callable[[], str], **how: bool) -> Iterator[Server]:
    """A server for the whole run. Missing: skipped by hand, an error where everything must be there (CI)."""
    try:
        binary = find()
    except ServerMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    with Server(binary, **how) as server:
        config.stash[LASTING].append(server)
        yield server


@pytest.fixture(scope="session")
def lasting_redis(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from _lasting(request.config, redis_binary)


@pytest.fixture(scope="session")
def lasting_valkey(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from _lasting(request.config, valkey_binary)


@pytest.fixture(scope="session")
def lasting_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with Cluster(any_binary()) as cluster:
        request.config.stash[LASTING].extend(cluster.nodes)
        yield cluster


@pytest.fixture(scope="session")
def lasting_tls(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from _lasting(request.config, redis_binary, tls=True)


def _as_new(server: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    server.reset()
    yield server
    server.revive()
    with server.client() as client:
        stray = keyspace.stray_keys(client, _allowed(request))
    assert not stray, f"keys that no queue should have: {stray}"


def _allowed(request: pytest.FixtureRequest) -> list[str]:
    return [str(pattern) for mark in request.node.iter_markers("allow_keys") for pattern in mark.args]


@pytest.fixture
def redis_server(lasting_redis: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The machine's Redis, as new."""
    yield from _as_new(lasting_redis, request)


@pytest.fixture
def valkey_server(lasting_valkey: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The wheel's Valkey, as new."""
    yield from _as_new(lasting_valkey, request)


@pytest.fixture
def tls_server(lasting_tls: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The machine's Redis behind TLS, as new."""
    yield from _as_new(lasting_tls, request)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    """A server as new; the test runs once with Redis and once with Valkey."""
    found = request.getfixturevalue(f"{request.param}_server")
    assert isinstance(found, Server)
    return found


@pytest.fixture
def any_server(request: pytest.FixtureRequest) -> Server:
    """One server as new, the machine's Redis if there is one: for tests that do not care which."""
    found = request.getfixturevalue("redis_server" if shutil.which("redis-server") else "valkey_server")
    assert isinstance(found, Server)
    return found


@pytest.fixture
def url(any_server: Server) -> str:
    """Where `any_server` listens."""
    return any_server.url


@pytest.fixture
def cluster(lasting_cluster: Cluster) -> Cluster:
    """Three primaries, empty, every slot at its first owner."""
    lasting_cluster.reset()
    return lasting_cluster


@pytest.fixture
def patchy_cluster() -> Iterator[Cluster]:
    """Three primaries; what one of them has is served also while another is away."""
    with Cluster(any_binary(), config={"cluster-require-full-coverage": "no"}) as cluster:
        yield cluster


@pytest.fixture
def leftover_keys(request: pytest.FixtureRequest) -> Callable[[Server], None]:
    """`leftover_keys(server)` when every job has ended: fails if anything is left of their running."""

    def check(server: Server) -> None:
        with server.client() as client:
            left = keyspace.keys_after_drain(client, _allowed(request))
        assert not left, f"left after the drain: {left}"

    return check


# --- nothing left behind -------------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def made_before_the_first_test(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Folders that live as long as the run must not be made inside a test's own temp folder."""
    tmp_path_factory.getbasetemp()
    multiprocessing.util.get_temp_dir()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests reaches them."""
    for name in list(os.environ):
        if name.startswith("HEAVYLIFT_") or name in ("REDIS_URL", "XDG_RUNTIME_DIR"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test that leaves processes, descriptors or temporary files behind."""
    folder = Path(tempfile.mkdtemp(prefix="hlt-", dir=BASE))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = leftovers.descriptors()
    already = {line.split()[0] for line in leftovers.processes(_lasting_pids(request))}
    try:
        yield
        left = _left_behind(request, before, already, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert not left, "left behind:\n  " + "\n  ".join(left)


def _lasting_pids(request: pytest.FixtureRequest) -> list[int]:
    return [server.pid for server in request.config.stash[LASTING] if server.process is not None]


def _left_behind(request: pytest.FixtureRequest, before: dict[int, str], already: set[str], folder: Path) -> list[str]:
    def look() -> list[str]:
        lasting = _lasting_pids(request)
        return [
            *(f"process {line}" for line in leftovers.processes(lasting) if line.split()[0] not in already),
            *(f"descriptor {line}" for line in _descriptors(request, before)),
            *(f"file {name}" for name in leftovers.files(folder)),
        ]

    seen: list[str] = []

    def nothing() -> bool:
        seen[:] = look()
        return not seen

    try:
        wait_until("nothing left behind", nothing, timeout=10.0)
    except AssertionError:
        return seen
    return []


def _descriptors(request: pytest.FixtureRequest, before: dict[int, str]) -> list[str]:
    if request.node.get_closest_marker("leaves_descriptors"):
        return []
    return leftovers.new_descriptors(before)

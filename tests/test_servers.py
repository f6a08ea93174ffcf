"""The ground the other tests stand on: servers that are what they say, and checks that find what they look for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests import keyspace, leftovers
from tests.fleets import Cluster, Sentinel
from tests.servers import Server
from tests.waiting import running, wait_until


def test_server_answers_on_its_url(server: Server) -> None:
    with server.client() as client:
        assert client.ping()


def test_server_is_empty_and_configured_as_new_after_reset(any_server: Server) -> None:
    any_server.command("SET", "a", "b")
    any_server.config("maxmemory", "512mb")
    any_server.pause()
    any_server.reset()
    assert any_server.command("DBSIZE") == 0
    with any_server.client(decode_responses=True) as client:
        assert client.config_get("maxmemory")["maxmemory"] == "0"


def test_append_only_server_keeps_its_data_over_kill_9() -> None:
    with Server(appendonly=True) as server:
        server.command("SET", "a", "b")
        server.kill9()
        server.start()
        assert server.command("GET", "a") == b"b"


def test_password_is_asked_for_and_part_of_the_url() -> None:
    with Server(config={"requirepass": "s3:c/ret"}) as server:
        assert server.command("PING")
        del server.options["requirepass"]
        with pytest.raises(redis.AuthenticationError):
            server.command("PING")


def test_tls_server_answers_whoever_trusts_its_certificate(tls_server: Server) -> None:
    assert tls_server.url.startswith("rediss://")
    assert tls_server.command("PING")


def test_close_removes_process_and_folder() -> None:
    server = Server().start()
    pid, folder = server.pid, server.folder
    server.close()
    assert not running(pid)
    assert not folder.exists()


@pytest.mark.cluster
def test_cluster_moves_a_slot_key_by_key_and_back_on_reset(cluster: Cluster) -> None:
    slot = cluster.slot("{q}")
    first = cluster.owner(slot)
    for name in ("{q}:a", "{q}:b"):
        first.command("SET", name, "1")
    move = cluster.begin_move(slot)
    assert move.keys() == ["{q}:a", "{q}:b"]
    move.key("{q}:a")
    assert move.keys() == ["{q}:b"]
    move.finish()
    assert cluster.owner(slot) is move.target
    assert move.target.command("GET", "{q}:b") == b"1"
    cluster.reset()
    assert cluster.owner(slot) is first


@pytest.mark.fault
def test_sentinel_set_fails_over_to_the_replica() -> None:
    with Sentinel() as sentinel:
        assert sentinel.address() == sentinel.primary.port
        sentinel.primary.kill9()
        wait_until("the replica is the primary", lambda: sentinel.address() == sentinel.replica.port, timeout=20)


def test_key_of_unknown_shape_is_stray(any_server: Server) -> None:
    any_server.command("SET", "heavylift:{q}:surprise", "1")
    with any_server.client() as client:
        assert keyspace.stray_keys(client) == ["heavylift:{q}:surprise: of unknown shape"]
        assert keyspace.stray_keys(client, ["*:surprise"]) == []
    any_server.command("FLUSHALL")


def test_numbered_call_without_an_expiry_is_stray(any_server: Server) -> None:
    any_server.command("HSET", "heavylift:{q}:call:w", "1", "x")
    with any_server.client() as client:
        assert keyspace.stray_keys(client) == ["heavylift:{q}:call:w: without an expiry"]
    any_server.command("FLUSHALL")


def test_waiting_job_and_its_line_are_left_over_after_a_drain(
    any_server: Server, leftover_keys: Callable[[Server], None]
) -> None:
    any_server.command("HSET", "heavylift:{q}:job:1", "state", "completed")
    leftover_keys(any_server)
    any_server.command("HSET", "heavylift:{q}:job:1", "state", "waiting")
    any_server.command("ZADD", "heavylift:{q}:line:", 1, "1")
    with pytest.raises(AssertionError, match="still there after the drain"):
        leftover_keys(any_server)


def found(pid: int) -> bool:
    return any(line.startswith(f"{pid} ") for line in leftovers.processes())


def test_forgotten_child_is_found() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert found(child.pid)
        child.communicate(b"\n")
    assert not found(child.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt its orphans")
def test_orphan_of_a_dead_child_is_found() -> None:
    make_orphan = "import subprocess, sys; print(subprocess.Popen(['sleep', '60'], stdout=2).pid)"
    done = subprocess.run([sys.executable, "-c", make_orphan], stdout=subprocess.PIPE, check=True, text=True)
    orphan = int(done.stdout)
    assert found(orphan)
    os.kill(orphan, signal.SIGKILL)
    wait_until("the orphan is reaped", lambda: not found(orphan))


def test_open_descriptor_is_found() -> None:
    before = leftovers.descriptors()
    if not before:
        pytest.skip("this system does not list descriptors")
    with tempfile.TemporaryFile():
        assert leftovers.new_descriptors(before)
    assert not leftovers.new_descriptors(before)


def test_temp_files_of_a_test_land_in_a_folder_that_is_looked_at() -> None:
    with tempfile.NamedTemporaryFile() as file:
        folder = Path(file.name).parent
        assert leftovers.files(folder) == [Path(file.name).name]
    assert leftovers.files(folder) == []

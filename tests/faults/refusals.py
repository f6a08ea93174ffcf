"""Makes a running Redis say no, for as long as a `with` block lasts: full, read-only, unable to save, busy, crowded."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import redis as redis_py

from tests.servers import Server, free_port
from tests.waiting import wait_until


@contextlib.contextmanager
def full(server: Server) -> Iterator[None]:
    """It has more in it than it may have, and deletes nothing."""
    with server.client() as redis:
        server.config("maxmemory", str(int(redis.info("memory")["used_memory"] // 2)))
    try:
        yield
    finally:
        server.config("maxmemory", "0")


@contextlib.contextmanager
def read_only(server: Server) -> Iterator[None]:
    """It is the replica of a server that is not there."""
    server.command("REPLICAOF", "127.0.0.1", free_port())
    try:
        yield
    finally:
        server.command("REPLICAOF", "NO", "ONE")


@contextlib.contextmanager
def unable_to_save(server: Server) -> Iterator[None]:
    """Something is where the dump should be written, and it has noticed."""
    blocker = server.folder / "dump.rdb"
    with server.client() as redis:
        redis.config_set("save", "3600 1")
        blocker.unlink(missing_ok=True)
        blocker.mkdir()
        (blocker / "in the way").touch()
        try:
            _save(redis, "err")
            yield
        finally:
            (blocker / "in the way").unlink()
            blocker.rmdir()
            _save(redis, "ok")
            redis.config_set("save", "")
            blocker.unlink(missing_ok=True)


def _save(redis: redis_py.Redis, status: str) -> None:
    def saved() -> bool:
        info = redis.info("persistence")
        if info["rdb_bgsave_in_progress"] or info["rdb_last_bgsave_status"] == status:
            return not info["rdb_bgsave_in_progress"]
        with contextlib.suppress(redis_py.ResponseError):  # the append-only file is being written anew
            redis.bgsave()
        return False

    wait_until(f"saved: {status}", saved, timeout=10)


@contextlib.contextmanager
def busy(server: Server) -> Iterator[None]:
    """A script of somebody else never ends."""
    server.config("busy-reply-threshold", "100")
    endless = threading.Thread(target=_run_endless_script, args=(server,))
    endless.start()
    try:
        wait_until("the server is busy", lambda: _is_busy(server))
        yield
    finally:
        server.command("SCRIPT", "KILL")
        endless.join()
        server.config("busy-reply-threshold", "5000")


def _run_endless_script(server: Server) -> None:
    with contextlib.suppress(redis_py.RedisError), server.client(socket_timeout=30) as redis:
        redis.eval("while true do end", 0)


def _is_busy(server: Server) -> bool:
    try:
        server.command("PING")
    except redis_py.RedisError:
        return True
    return False


EVERYTHING = ("~*", "&*", "+@all")


@contextlib.contextmanager
def user(server: Server, name: str) -> Iterator[str]:
    """The URL of a user who may do everything."""
    server.command("ACL", "SETUSER", name, "reset", "on", ">pw", *EVERYTHING)
    try:
        yield server.url.replace("://", f"://{name}:pw@")
    finally:
        server.command("ACL", "DELUSER", name)


@contextlib.contextmanager
def narrowed(server: Server, name: str, taken: str) -> Iterator[None]:
    """A user has lost some rights; connections stay."""
    server.command("ACL", "SETUSER", name, taken)
    try:
        yield
    finally:
        server.command("ACL", "SETUSER", name, *EVERYTHING)


@contextlib.contextmanager
def crowded(server: Server) -> Iterator[None]:
    """Every client but this one is thrown out, and none but it is let in."""
    with server.client() as redis:
        redis.config_set("maxclients", 2)
        redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        try:
            yield
        finally:
            redis.config_set("maxclients", 1000)

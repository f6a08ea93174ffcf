"""A server that is thrown away after use."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from heavylift.embedded import binary
from heavylift.errors import Unavailable
from heavylift.store.connection import Connection
from heavylift.store.target import Target

START = 10.0
"""Seconds a server may take until it answers."""

# The shell ends the server and removes its folder when its input closes: also when the process that holds the other
# end of it is killed.
_GUARD = 'folder="$1"; shift; "$@" >"$folder/log" 2>&1 & read -r _; kill -9 $!; wait $! 2>/dev/null; rm -rf "$folder"'


class ThrowAwayServer:
    """An embedded Valkey of its own, without persistence, on a unix socket in a folder of its own.

    It ends with `close`, and with the process that started it, however that ends.

    Attributes:
        url: what to connect to, `unix://...`.
    """

    def __init__(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            ServerUnsupported: the extra `heavylift[embedded]` is not installed, or has no server for this platform.
            Unavailable: it does not start within ten seconds; says what it said.
        """
        server = str(binary())
        self._folder = Path(tempfile.mkdtemp(prefix="hlv-"))
        socket = self._folder / "s"
        self.url = f"unix://{socket}"
        options = ["--port", "0", "--unixsocket", str(socket), "--dir", str(self._folder), "--save", ""]
        options += ["--appendonly", "no", "--maxmemory-policy", "noeviction"]
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", str(self._folder), server, *options],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        connection = Connection(Target.from_url(self.url), name="testing")
        deadline = time.monotonic() + START
        try:
            while True:
                try:
                    connection.command("PING")
                    return
                except Unavailable as wrong:
                    if time.monotonic() > deadline:
                        said = (self._folder / "log").read_text(errors="replace")[-1000:]
                        raise Unavailable(f"the server for tests does not start ({wrong}): {said}") from None
                time.sleep(0.005)
        finally:
            connection.close()

    def close(self) -> None:
        """End it and remove its folder. May be called again."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

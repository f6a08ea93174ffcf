"""The process that slots are forked from: a fork server of the lane's own.

`multiprocessing` keeps one fork server for the whole interpreter, starts it with whatever was set up first, never stops
it, and runs the parent's `__main__` again in every child. A lane needs its own: with its handlers loaded, stopped
when the lane closes, and without anybody's `__main__`. The classes for that are the standard library's; what is done
here is to pass them an instance of `ForkServer` instead of the global one (see docs/decisions).

A context is made for each slot. It hands the executor a process class, and remembers the process the executor made with
it: pid, exit code and sentinel are known without looking into the executor.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import forkserver, popen_forkserver, reduction, spawn, util
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess, set_spawning_popen
from typing import Any

PRELOAD = "HEAVYLIFT_PRELOAD"
"""Environment variable through which the fork server is told what to load (JSON)."""

DESCRIPTORS = 6
"""Needed to ask the server for a process: a connection, and two pipes. One more for the copy of one end of a pipe."""

LOST = 255
"""The exit code of a child whose fork server died before it could say the true one."""


class ForkServer:
    """Starts the server when it is first needed, and again should it have died.

    Args:
        orders: for `preload`, JSON.
    """

    def __init__(self, orders: str) -> None:
        self._orders = orders
        self._guard = threading.Lock()
        self._over = False
        self._forked: int | None = None  # the server that has done so, by its process id
        self._server: Any = forkserver.ForkServer()
        self._server.set_forkserver_preload(["heavylift.lanes.preload"])

    def connect(self, fds: list[int]) -> tuple[int, int]:
        """Fork a process; see `multiprocessing.forkserver`. It comes when the server has loaded what it is to load.

        Raises:
            OSError: descriptors or processes are short.
        """
        _need(DESCRIPTORS)
        with self._guard, self._environment():
            if self._over:
                raise RuntimeError("no more processes are started")
            try:
                self._server.ensure_running()
            except ChildProcessError:  # it has died, and somebody else has taken note of it
                self._forget()
                self._server.ensure_running()
        status, data = self._server.connect_to_new_process(fds)
        return status, data

    def forked(self) -> None:
        """The server has brought a process forth: it has loaded what it is to load."""
        self._forked = self.pid

    def give_up(self) -> None:
        """Start no more processes. A server that still loads, which may take minutes, is ended: nobody needs it now."""
        with self._guard:
            self._over = True
            if self._forked != self.pid:
                self.kill()

    @property
    def pid(self) -> int | None:
        """The server's process id, if it was started."""
        pid: int | None = self._server._forkserver_pid
        return pid

    def kill(self) -> None:
        """End a server that does not answer. The next `connect` starts another."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self, timeout: float = 2.0) -> None:
        """End the server. It ends when nobody holds its pipe; its children have given theirs up (see `child`)."""
        timer = threading.Timer(timeout, self.kill)
        timer.daemon = True
        timer.start()
        try:
            with self._guard, contextlib.suppress(ChildProcessError, FileNotFoundError):
                self._server._stop()
        finally:
            timer.cancel()
            timer.join()

    def _forget(self) -> None:
        """Make the standard class believe that it has not started a server yet."""
        os.close(self._server._forkserver_alive_fd)
        self._server._forkserver_pid = self._server._forkserver_alive_fd = self._server._forkserver_address = None

    @contextlib.contextmanager
    def _environment(self) -> Iterator[None]:
        """The server inherits the environment as it is when it starts; there is no other way to tell it anything."""
        os.environ[PRELOAD] = self._orders
        try:
            yield
        finally:
            os.environ.pop(PRELOAD, None)


class SlotContext(ForkServerContext):
    """What an executor takes its process and queues from. One for each executor.

    Attributes:
        spawned: the process that was started with it.
    """

    def __init__(self, server: ForkServer) -> None:
        self.spawned: SlotProcess | None = None
        self._server = server
        self.Process = functools.partial(SlotProcess, made_by=self)  # type: ignore[assignment,misc]

    def launch(self, process: SlotProcess) -> SlotPopen:
        """Start it."""
        self.spawned = process
        return SlotPopen(process, self._server)

    def forget(self) -> None:
        """Let go of a process that did not start. They know each other, so its pipes would stay open for a while."""
        self.spawned = None


class SlotProcess(ForkServerProcess):
    """A process of a slot. Pickled to the child without what belongs to the parent."""

    def __init__(self, *args: Any, made_by: SlotContext, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._made_by = made_by

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_made_by"}

    def _Popen(self, process_obj: Any) -> SlotPopen:  # type: ignore[override]
        return self._made_by.launch(process_obj)


class SlotPopen(popen_forkserver.Popen):
    """As the standard one, but with the lane's server, without `__main__`, and safe to ask from two threads."""

    def __init__(self, process_obj: Any, server: ForkServer) -> None:
        self._fds: list[int] = []
        self._server = server
        self._reading = threading.Lock()
        super().__init__(process_obj)

    def _launch(self, process_obj: Any) -> None:
        data = spawn.get_preparation_data(process_obj.name)
        for name in ("init_main_from_name", "init_main_from_path"):
            data.pop(name, None)
        pickled = io.BytesIO()
        set_spawning_popen(self)
        try:
            reduction.dump(data, pickled)
            reduction.dump(process_obj, pickled)
        finally:
            set_spawning_popen(None)
        self.sentinel, write_end = self._server.connect(self._fds)
        try:
            kept = os.dup(write_end)  # the child watches its other end to see the parent go
        except OSError:
            _close(self.sentinel, write_end)
            raise
        self.finalizer = util.Finalize(self, _close, (kept, self.sentinel))
        with open(write_end, "wb") as stream:
            stream.write(pickled.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)
        self._server.forked()

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """The exit code, or None. The executor's thread and the lane's both ask; the code can be read only once.

        Whether there is something to read is therefore asked under the lock too: while one thread has read the code
        and not yet said so, the other would find nothing and take the process for alive.
        """
        if self.returncode is None:
            if flag != os.WNOHANG:
                wait([self.sentinel])
            with self._reading:
                if self.returncode is None and wait([self.sentinel], 0):
                    try:
                        self.returncode = forkserver.read_signed(self.sentinel)
                    except (OSError, EOFError):
                        self.returncode = LOST
        return self.returncode


def _need(count: int) -> None:
    """Fail if so many descriptors cannot be opened: the standard library loses some of those it got before it fails."""
    opened: list[int] = []
    try:
        while len(opened) < count:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        _close(*opened)


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


class Passed:
    """A descriptor that is handed to the child together with the arguments of its initializer."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> tuple[Any, ...]:
        return _receive, (reduction.DupFd(self.fd),)


def _receive(passed: Any) -> int:
    fd: int = passed.detach()
    return fd

"""A server whose disk fails: its fsync and fdatasync answer EIO for as long as a test says so. Linux only.

The server installs a filter on itself before it becomes the server: from then on the kernel asks a watcher beside it
about each of these calls (seccomp's user notification). The watcher lets them through, or has them fail. No rights are
needed for that.

`python -m tests.failing_disk SWITCH COMMAND ...` becomes the command; they fail while the file SWITCH exists.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# Of each machine: its name for the kernel's audit, and the numbers of seccomp, fsync and fdatasync.
MACHINES = {"x86_64": (0xC000003E, 317, 74, 75), "aarch64": (0xC00000B7, 277, 82, 83)}

LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
NO_NEW_PRIVILEGES, SET_FILTER, NEW_LISTENER = 38, 1, 8
RECEIVE, SEND, GO_ON = 0xC0502100, 0xC0182101, 1
NOTICE = 80
"""Bytes of one notification; its first eight are its number."""


class FailingDisk:
    """The switch, and the program that becomes the server."""

    def __init__(self, folder: Path, binary: str) -> None:
        self._switch = folder / "the-disk-fails"
        self._program = folder / "server"
        words = [sys.executable, "-m", "tests.failing_disk", str(self._switch), binary]
        self._program.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {shlex.join(words)} "$@"\n')
        self._program.chmod(0o755)

    @property
    def binary(self) -> str:
        """To be started instead of the server. Skips the test where the kernel cannot do it."""
        if sys.platform != "linux" or platform.machine() not in MACHINES:
            pytest.skip("fails fsync by seccomp, which needs Linux on x86_64 or aarch64")
        tried = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"no calls can be filtered here: {tried.stderr.strip().splitlines()[-1]}")
        return str(self._program)

    def fail(self) -> None:
        """From here on nothing can be synced."""
        self._switch.touch()

    def heal(self) -> None:
        """It can again."""
        self._switch.unlink()


def main() -> None:
    """Fork the watcher, install the filter, hand the watcher its end, become the command."""
    switch, command = Path(sys.argv[1]), sys.argv[2:]
    ours, theirs = socket.socketpair()
    if not os.fork():
        ours.close()
        watch(theirs, switch)
        os._exit(0)
    theirs.close()
    listener = install()
    socket.send_fds(ours, [b"."], [listener])
    assert ours.recv(1) == b".", "the watcher is there"
    os.execv(command[0], command)


def install() -> int:
    """Filter this process and all that it becomes; where the kernel asks."""
    machine, seccomp, *calls = MACHINES[platform.machine()]
    steps = [
        (LOAD, 0, 0, 4),  # the machine
        (JUMP_EQUAL, 0, 3, machine),
        (LOAD, 0, 0, 0),  # the number of the call
        (JUMP_EQUAL, 2, 0, calls[0]),
        (JUMP_EQUAL, 1, 0, calls[1]),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, NOTIFY),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    listener: int = libc.syscall(seccomp, SET_FILTER, NEW_LISTENER, program)
    if listener < 0:
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")
    return listener


def watch(other: socket.socket, switch: Path) -> None:
    """Answer the kernel until nobody is left to be asked about."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, fds, _, _ = socket.recv_fds(other, 1, 1)
    if not fds:
        return  # the filter could not be installed
    (listener,) = fds
    other.send(b".")
    other.close()
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        for _, events in poll.poll():
            if not events & select.POLLIN:
                return
            with contextlib.suppress(FileNotFoundError):  # who called has just ended
                notice = bytearray(NOTICE)
                fcntl.ioctl(listener, RECEIVE, notice, True)
                (number,) = struct.unpack_from("Q", notice)
                refuse = switch.exists()
                answer = struct.pack("QqiI", number, 0, -errno.EIO if refuse else 0, 0 if refuse else GO_ON)
                fcntl.ioctl(listener, SEND, answer)


if __name__ == "__main__":
    main()

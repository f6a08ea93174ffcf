"""A file that is being written and has no name yet, or only a hidden one."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from contextlib import suppress

_PART_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Draft:
    """A file that is being written: without a name where that is possible, else under a hidden one."""

    def __init__(self, folder: int, name: str) -> None:
        self._folder = folder
        self._name = name
        self._part: str | None = None
        self.descriptor = -1
        nameless = _open_nameless(folder)
        if nameless is not None:
            self.descriptor = nameless
        else:
            self.descriptor, self._part = _open_part(folder, name)

    def publish(self) -> None:
        """Give it its name, replacing what had it."""
        if self._part is None:
            mine = f"/proc/self/fd/{self.descriptor}"
            try:
                os.link(mine, self._name, dst_dir_fd=self._folder)
                return
            except FileExistsError:  # a link cannot replace: one step more
                part = _spare_name()
                os.link(mine, part, dst_dir_fd=self._folder)
                self._part = part
        os.replace(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._part = None

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._part is not None:
            with suppress(OSError):
                os.unlink(self._part, dir_fd=self._folder)


def _open_nameless(folder: int) -> int | None:
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.open(".", flag | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=folder)
    except OSError as wrong:
        if wrong.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
            return None
        raise


def _open_part(folder: int, name: str) -> tuple[int, str]:
    """A hidden file, locked by us. The first name is fixed, so that a killed writer's is found and used again."""
    for part in (f".{name}.part", _spare_name(), _spare_name()):
        try:
            descriptor = os.open(part, _PART_FLAGS, 0o666, dir_fd=folder)
        except OSError as wrong:
            if wrong.errno in (errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR):
                continue
            raise
        if hold(descriptor, folder, part):
            os.ftruncate(descriptor, 0)
            return descriptor, part
        os.close(descriptor)
    raise OSError(errno.EAGAIN, "no free name for the file being written")


def hold(descriptor: int, folder: int, part: str) -> bool:
    """Lock it, and make sure that the name still means this file: its last writer may just have renamed it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        named = os.stat(part, dir_fd=folder, follow_symlinks=False)
    except (BlockingIOError, FileNotFoundError):
        return False
    return stat.S_ISREG(named.st_mode) and os.path.samestat(named, os.fstat(descriptor))


def _spare_name() -> str:
    return f".{secrets.token_hex(8)}.part"

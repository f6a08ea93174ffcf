"""The way from an allowed root to a file, one opened folder after the other. No path is ever resolved twice."""

from __future__ import annotations

import errno
import os
from collections import deque
from contextlib import suppress
from pathlib import PurePosixPath
from typing import NoReturn

from heavylift.files.roots import Roots, explain, parse, refuse
from heavylift.settings import FOLDER

MOST_LINKS = 40

_FOLDER_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Walk:
    """One way from an allowed root to a file. Holds the folders on the way open, and closes them."""

    def __init__(self, reference: str, roots: Roots | None) -> None:
        self._reference = reference
        self._roots = Roots.current() if roots is None else roots
        self._folders: list[int] = []
        self._ahead: deque[str] = deque()
        self._links = 0

    def __enter__(self) -> Walk:
        self._begin(PurePosixPath(self._roots.root) / parse(self._reference))
        return self

    def __exit__(self, *_: object) -> None:
        while self._folders:
            os.close(self._folders.pop())

    def to_file(self) -> int:
        """A descriptor of the file itself, read-only."""
        while True:
            part = self._next(make=False)
            if part is None:  # a link that ended in a folder
                refuse(self._reference, "it is a folder")
            descriptor = self._open(part, _FILE_FLAGS)
            if descriptor is not None:
                return descriptor

    def to_place(self) -> tuple[int, str]:
        """The folder it is to be in, made if missing, and its name there."""
        part = self._next(make=True)
        if part is None:
            refuse(self._reference, "it is a folder")
        return self._folders[-1], part

    def _begin(self, path: PurePosixPath) -> None:
        found = self._roots.place(path)
        if found is None:
            self._outside()
        folder, parts = found
        self.__exit__()
        self._folders.append(os.open(folder, _FOLDER_FLAGS & ~os.O_NOFOLLOW))
        self._ahead.extendleft(reversed(parts))

    def _next(self, *, make: bool) -> str | None:
        """Walk on to the last part and return it unopened; None if the way ended before one."""
        while self._ahead:
            part = self._ahead.popleft()
            if part == "..":  # only links bring these
                if len(self._folders) == 1:
                    self._outside()
                os.close(self._folders.pop())
                continue
            if part.casefold() == FOLDER:
                refuse(self._reference, f"{FOLDER}/ is heavylift's own")
            if not self._ahead:
                return part
            descriptor = self._open(part, _FOLDER_FLAGS, make=make)
            if descriptor is not None:
                self._folders.append(descriptor)
        return None

    def _open(self, part: str, flags: int, *, make: bool = False) -> int | None:
        """Open one part below the last folder; None if it was a link, whose parts are ahead now."""
        folder = self._folders[-1]
        try:
            return os.open(part, flags, dir_fd=folder)
        except OSError as wrong:
            if wrong.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK) and self._follow(folder, part):
                return None
            if not (make and wrong.errno == errno.ENOENT):
                explain(self._reference, wrong)
        try:
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=folder)
            return os.open(part, flags, dir_fd=folder)
        except OSError as wrong:
            explain(self._reference, wrong)

    def _follow(self, folder: int, part: str) -> bool:
        try:
            target = PurePosixPath(os.readlink(part, dir_fd=folder))
        except OSError:
            return False
        self._links += 1
        if self._links > MOST_LINKS:
            refuse(self._reference, "it goes round in links")
        if target.is_absolute():
            self._begin(target)
        else:
            self._ahead.extendleft(reversed(target.parts))
        return True

    def _outside(self) -> NoReturn:
        allowed = ", ".join(str(folder) for folder in self._roots.allowed or (self._roots.root,))
        refuse(self._reference, f"it leads outside the allowed folders ({allowed})")

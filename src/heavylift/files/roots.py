"""The folders that jobs may name files in, and how a reference is refused."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NoReturn

from heavylift.errors import Reject
from heavylift.settings import Settings, project_root

LONGEST = 4096
"""Characters in a reference; longer ones are refused unread."""

_ASKED_WRONG = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "a part of it is not a folder",
    errno.EISDIR: "it is a folder",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENAMETOOLONG: "a part of it is too long",
    errno.EILSEQ: "its name cannot be used on this file system",
    errno.ENXIO: "it is not a regular file",
}


@dataclass(frozen=True, slots=True)
class Roots:
    """Where files may be read and written.

    Attributes:
        root: the project's root; relative references start here.
        allowed: the folders references must lie below; the root alone if empty.
    """

    root: Path = field(default_factory=project_root)
    allowed: tuple[Path, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Roots:
        """The roots these settings name."""
        return cls(settings.root, settings.allowed_roots)

    @classmethod
    def current(cls) -> Roots:
        """The roots of this process: its worker's, else those that the environment and the project's settings name."""
        return _installed or cls.of(Settings.load())

    def install(self) -> None:
        """Have the handlers of this process use these. A worker does so, and so does each process of its cpu lane."""
        global _installed
        _installed = self

    def uninstall(self) -> None:
        """The worker has gone; if another has installed its own meanwhile, those stay."""
        global _installed
        if _installed is self:
            _installed = None

    def environment(self) -> dict[str, str]:
        """The variables from which `current` makes the same roots in another process."""
        allowed = os.pathsep.join(str(folder) for folder in self.allowed)
        return {"HEAVYLIFT_ROOT": str(self.root), "HEAVYLIFT_ALLOWED_ROOTS": allowed}

    def place(self, path: PurePosixPath) -> tuple[Path, tuple[str, ...]] | None:
        """The allowed root that an absolute path lies below, and the parts from there; None if there is none."""
        allowed = self.allowed or (self.root,)
        for folder in sorted((form for base in allowed for form in {base.absolute(), base.resolve()}), reverse=True):
            if path.is_relative_to(folder):
                return folder, path.relative_to(folder).parts
        return None


_installed: Roots | None = None


def parse(reference: str) -> PurePosixPath:
    """The reference as a path, if it can be one. Says nothing about where it leads."""
    if not reference or len(reference) > LONGEST:
        refuse(reference, f"give 1 to {LONGEST} characters")
    if "\0" in reference:
        refuse(reference, "it has a NUL character")
    try:
        os.fsencode(reference)
    except UnicodeEncodeError:
        refuse(reference, "its name cannot be used on this file system")
    path = PurePosixPath(reference)
    if ".." in path.parts:
        refuse(reference, "`..` is not allowed")
    return path


def explain(reference: str, wrong: OSError) -> NoReturn:
    """Raise what a failed system call means: `Reject` where the reference is at fault, else the error itself."""
    why = _ASKED_WRONG.get(wrong.errno or 0)
    if why is None:
        raise wrong
    raise Reject(f"{_shown(reference)}: {why}") from wrong


def refuse(reference: str, why: str) -> NoReturn:
    """Raise `Reject`, naming the reference."""
    raise Reject(f"{_shown(reference)}: {why}")


def _shown(reference: str) -> str:
    text = repr(reference)
    return text if len(text) <= 200 else text[:197] + "..."

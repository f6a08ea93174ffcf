"""`--watch FOLDER:HANDLER`: which files of a folder are to become jobs.

A file needs it if the handler's output for it is missing or older. Where that output would be is asked of the handler's
own module: a function `<handler>_target(source)`, next to the handler, says so, and raises `Reject` for files
that are none of its business. Without one, each version of a file is given to the handler once.

Hidden files, temporary ones and folders are left alone, and half-written ones until they are whole (see `whole`).

Two workers that watch the same folder must not do the work twice: the job's id is made from the file's name, time and
size, so the second enqueue finds the first one's job. An image whose job has failed is therefore not tried
again until it changes; one whose output was deleted afterwards is.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from heavylift.cli.whole import is_whole
from heavylift.errors import InvalidArgument, Reject
from heavylift.handler import Handler
from heavylift.job import JobSpec
from heavylift.registry import Registry

TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".download", ".swp", ".filepart", "~")


@dataclass(frozen=True)
class Watched:
    """One folder and the handler its files go to."""

    folder: Path
    handler: Handler[..., Any]
    root: Path

    @classmethod
    def parse(cls, text: str, registry: Registry, root: Path) -> Watched:
        """From `FOLDER:HANDLER` as it stands on the command line.

        Raises:
            InvalidArgument: no such folder or handler, or the folder is not below the root.
        """
        place, _, name = text.rpartition(":")
        folder = Path(place).resolve()
        if not place or not folder.is_dir():
            raise InvalidArgument("--watch", text, "give FOLDER:HANDLER, an existing folder and a handler's name")
        if not folder.is_relative_to(root):
            raise InvalidArgument("--watch", text, f"the folder is not below the project's root ({root})")
        handler = registry.get(name)
        if handler is None:
            known = ", ".join(found.name for found in registry.handlers) or "none"
            raise InvalidArgument("--watch", text, f"no handler named {name!r} (known: {known})")
        if not handler.parameters or any(p.required for p in handler.parameters[1:]):
            raise InvalidArgument("--watch", text, f"{name} needs more than a file: only its first parameter is filled")
        return cls(folder, handler, root)

    def target_of(self, reference: str) -> Path | None:
        """Where the handler's output for this file would be; None if it does not say.

        Raises:
            Reject: the file is none of its business.
        """
        module = sys.modules[self.handler.function.__module__]
        target = getattr(module, f"{self.handler.function.__name__}_target", None)
        return None if target is None else self.root / target(reference)

    def request(self, reference: str) -> JobSpec[Any]:
        """The job for one file."""
        return self.handler.job(**{self.handler.parameters[0].name: reference})


@dataclass(slots=True)
class _Seen:
    """A version of a file: when it was first seen to be this one (monotonic seconds), and whether it is dealt with."""

    version: tuple[int, int]
    since: float
    done: bool = False


@dataclass
class Scanner:
    """Looks at a folder and says which files have become whole and need work. Belongs to one thread."""

    watched: Watched
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def scan(self) -> Iterator[tuple[str, str]]:
        """Pairs of reference and job id. A file is named again by the next scan unless `done` was called for it."""
        found = dict(_candidates(self.watched.folder))
        self._seen = {name: seen for name, seen in self._seen.items() if name in found}
        now = time.monotonic()
        for name, facts in found.items():
            version = (facts.st_mtime_ns, facts.st_size)
            seen = self._seen.get(name)
            if seen is None or seen.version != version:
                # What was there before us has been still for as long as its time says.
                age = max(0.0, time.time() - facts.st_mtime) if seen is None else 0.0
                seen = self._seen[name] = _Seen(version, now - age)
            if not seen.done and self._is_due(name, seen, facts, now - seen.since):
                reference = self._reference(name)
                yield reference, _id(self.watched.handler.name, reference, version)

    def done(self, reference: str) -> None:
        """This version of the file is dealt with."""
        if seen := self._seen.get(PurePosixPath(reference).name):
            seen.done = True

    @property
    def waiting(self) -> bool:
        """True while a file is not whole yet, or could not be handed on."""
        return any(not seen.done for seen in self._seen.values())

    def _reference(self, name: str) -> str:
        return (self.watched.folder.relative_to(self.watched.root) / name).as_posix()

    def _is_due(self, name: str, seen: _Seen, facts: os.stat_result, still: float) -> bool:
        try:
            target = self.watched.target_of(self._reference(name))
            if target is not None and _newer(target, facts):
                seen.done = True
                return False
            return is_whole(self.watched.folder / name, still)
        except (Reject, PermissionError):
            seen.done = True
        except OSError:
            pass  # gone since we looked
        return False


def _candidates(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.name.startswith(".") or entry.name.lower().endswith(TEMPORARY):
                continue
            try:
                facts = entry.stat()
            except OSError:
                continue
            if stat.S_ISREG(facts.st_mode):
                yield entry.name, facts


def _newer(target: Path, source: os.stat_result) -> bool:
    try:
        return target.stat().st_mtime_ns >= source.st_mtime_ns
    except OSError:
        return False


def _id(handler: str, reference: str, version: tuple[int, int]) -> str:
    digest = hashlib.blake2b(f"{reference}\0{version[0]}\0{version[1]}".encode(), digest_size=8).hexdigest()
    return f"watch:{handler}:{digest}"

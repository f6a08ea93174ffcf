"""Files named in jobs: opened only below the allowed roots, written whole or not at all.

A job carries a *reference*, not a file: a path relative to the project's root (or an absolute one), with `/`
between its parts. Whoever can enqueue can write any text there, so a reference is never handed to `open`.

**Reading.** Checking a path and then opening it leaves a moment in which a folder can be swapped for a link.
So nothing is checked beforehand: the path is walked from the allowed root, each part opened relative to the
folder before it and never through a link. A link is read and walked in the same way: links that stay below
the roots work, links that leave end in `Reject`. What is opened is what was checked. Only regular files are
handed out, so a pipe in the folder cannot hang an attempt.

**Writing.** The bytes go to a file without a name in the target's folder, are synced, and get their name in
one step; a handler that fails, is stopped or is killed leaves nothing behind. Where the file system knows no
nameless files, a hidden `.<name>.part` stands in; one left by a killed process is taken over by the next.

Whose fault: what the job's author got wrong (no such file, outside the roots, not writable) is a `Reject` and
is not tried again. What the machine got wrong (disk full, I/O error) stays the `OSError` it was, and is.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

from heavylift.files.draft import Draft
from heavylift.files.roots import Roots, explain, refuse
from heavylift.files.walk import Walk

__all__ = ["Roots", "output", "source"]


def source(reference: str, roots: Roots | None = None, *, limit: int | None = None) -> BinaryIO:
    """Open the file a job names, for reading.

    Args:
        reference: as it stands in the job.
        roots: where files may be; those of this process if not given.
        limit: refuse files of more bytes.

    Raises:
        Reject: outside the allowed roots, missing, not readable, not a regular file, or too large.
        OSError: the machine failed.
    """
    with Walk(reference, roots) as walk:
        descriptor = walk.to_file()
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            what = "it is a folder" if stat.S_ISDIR(facts.st_mode) else "it is not a regular file"
            refuse(reference, what)
        if limit is not None and facts.st_size > limit:
            refuse(reference, f"it has {facts.st_size:,} bytes, more than the {limit:,} allowed")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


@contextmanager
def output(reference: str, roots: Roots | None = None, *, unlike: Iterable[BinaryIO] = ()) -> Iterator[BinaryIO]:
    """Write the file a job names, whole or not at all; use it as `with output(target) as file:`.

    The file appears, synced, when the block ends; an earlier one of that name is replaced in the same step. If
    the block raises (`Stop` included), nothing changes. Missing folders are made.

    Args:
        reference: as it stands in the job.
        roots: where files may be; those of this process if not given.
        unlike: open files that must not be overwritten: a handler's sources.

    Raises:
        Reject: outside the allowed roots, not writable, a folder, or one of `unlike`.
        OSError: the machine failed, for example with `ENOSPC`.
    """
    with Walk(reference, roots) as walk:
        folder, name = walk.to_place()
        _refuse_over(reference, folder, name, unlike)
        try:
            draft = Draft(folder, name)
        except OSError as wrong:
            explain(reference, wrong)
        file = cast(BinaryIO, open(draft.descriptor, "w+b", closefd=False))  # noqa: SIM115 - closed below
        try:
            yield file
            if not file.closed:
                file.flush()
            os.fsync(draft.descriptor)
            _publish(reference, draft)
        except BaseException:
            with suppress(OSError):
                file.close()
            draft.discard()
            raise
        finally:
            file.close()
            os.close(draft.descriptor)
        _sync_folder(folder)


def _publish(reference: str, draft: Draft) -> None:
    try:
        draft.publish()
    except OSError as wrong:
        explain(reference, wrong)


def _refuse_over(reference: str, folder: int, name: str, unlike: Iterable[BinaryIO]) -> None:
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return
    if stat.S_ISDIR(there.st_mode):
        refuse(reference, "it is a folder")
    for file in unlike:
        if os.path.samestat(there, os.fstat(file.fileno())):
            refuse(reference, "it is the source itself, which would be overwritten")


def _sync_folder(folder: int) -> None:
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(descriptor)
    except OSError as wrong:
        if wrong.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)

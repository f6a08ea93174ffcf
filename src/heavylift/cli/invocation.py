"""How this command was started, so that what we tell people to type can be pasted as it stands."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def program(folder: Path | None = None) -> str:
    """The words that start heavylift from `folder` (the current one if not given).

    A path below the folder is given relative to it: a second terminal is likely to be there, but not to have the same
    environment activated. The bare name is used only where it is on the PATH without one.
    """
    here = (folder or Path.cwd()).resolve()
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        beside = Path(sys.executable).with_name("heavylift")
        if not beside.exists():
            return f"{_nearest(Path(sys.executable), here)} -m heavylift"
        started = beside
    found = shutil.which(str(started))
    path = Path(os.path.abspath(found)) if found else started
    if "VIRTUAL_ENV" not in os.environ and shutil.which(path.name) == str(path):
        return path.name
    return _nearest(path, here)


def command_line(*words: str, folder: Path | None = None) -> str:
    """`program` and more words, as a shell reads them; words that hold a pattern are left to the shell."""
    return " ".join([program(folder), *words])


def _nearest(path: Path, here: Path) -> str:
    absolute = Path(os.path.abspath(path))
    if absolute.is_relative_to(here):
        return shlex.quote(str(absolute.relative_to(here)))
    return shlex.quote(str(absolute))

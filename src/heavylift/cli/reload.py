"""`--reload`: the worker as a child process that is started anew whenever code changes. For development.

The whole process is renewed, not only its modules: the processes of the cpu lane are forked from one that has loaded
the handlers, and there is no way to make it forget them. The old worker is told to end first, so that running jobs may
finish or go back to their place.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import watchfiles

from heavylift.log import log


def run(folders: Sequence[Path], args: Sequence[str]) -> int:
    """Run `heavylift` with these arguments until it ends by itself or is told to; its exit code.

    Args:
        folders: where code is; Python files and `heavylift.toml` in them.
        args: of the command line, without `--reload`.
    """
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:
        if child is not None:
            child.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, lambda *_: None)  # the terminal has told the child already
    while True:
        child = subprocess.Popen([sys.executable, "-m", "heavylift", *args])
        if not _changed_before_end(folders, child):
            return child.wait()
        log.info("code has changed: starting anew")
        child.send_signal(signal.SIGTERM)
        child.wait()


def _changed_before_end(folders: Sequence[Path], child: subprocess.Popen[bytes]) -> bool:
    changes = watchfiles.watch(
        *folders, watch_filter=_is_code, rust_timeout=200, yield_on_timeout=True, raise_interrupt=False
    )
    return any(bool(found) or child.poll() is not None for found in changes) and child.poll() is None


def _is_code(change: watchfiles.Change, path: str) -> bool:
    parts = Path(path).parts
    hidden = any(part.startswith(".") or part in ("__pycache__", "site-packages") for part in parts)
    return not hidden and (path.endswith(".py") or parts[-1] == "heavylift.toml")

"""`--reload`: the worker as a child process that is started anew whenever code changes. For development.

The whole process is renewed, not only its modules: the processes of the cpu lane are forked from one that has loaded
the handlers, and there is no way to make it forget them. The old worker is told to end first, so that running jobs may
finish or go back to their place.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import watchfiles

from heavylift.log import log


def run(folders: Sequence[Path], args: Sequence[str]) -> int:
    """Run `heavylift` with these arguments until it ends well or is told to; its exit code.

    One that fails is started anew as well, at the next change.

    Args:
        folders: where code is; Python files and `heavylift.toml` in them.
        args: of the command line, without `--reload`.
    """
    return _Reloading(folders, [sys.executable, "-m", "heavylift", *args]).run()


class _Reloading:
    def __init__(self, folders: Sequence[Path], command: Sequence[str]) -> None:
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._told = False  # to end
        # One for all turns: what changes between two of them is not missed.
        self._changes = watchfiles.watch(
            *folders, watch_filter=_is_code, rust_timeout=200, yield_on_timeout=True, raise_interrupt=False
        )

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self._pass_on)
        signal.signal(signal.SIGINT, self._heed)
        while True:
            child = self._child = subprocess.Popen(self._command)
            if self._changed_before(self._ended):
                child.send_signal(signal.SIGTERM)
                child.wait()
            elif (code := child.wait()) == 0 or self._told:
                return code
            else:  # half a file was saved, say: the rest of it will follow
                log.error("the worker has ended: waiting for the code to change", code=code)
                if not self._changed_before(lambda: self._told):
                    return code
            log.info("code has changed: starting anew")

    def _ended(self) -> bool:
        return self._child is not None and self._child.poll() is not None

    def _changed_before(self, end: Callable[[], bool]) -> bool:
        return any(bool(found) or end() for found in self._changes) and not end()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._told = True
        if self._child is not None:
            self._child.send_signal(number)

    def _heed(self, number: int, frame: FrameType | None) -> None:
        self._told = True  # the terminal has told the child already


def _is_code(change: watchfiles.Change, path: str) -> bool:
    parts = Path(path).parts
    hidden = any(part.startswith(".") or part in ("__pycache__", "site-packages") for part in parts)
    return not hidden and (path.endswith(".py") or parts[-1] == "heavylift.toml")

"""Makes processes that no signal ends, not even SIGKILL: as a hung disk does, but for as long as a test wants.

It takes the freezer of the first version of control groups, and the right to make a group in it.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.waiting import wait_until

HOME = Path("/sys/fs/cgroup/freezer")


class Freezer:
    """A group whose members stand still."""

    def __init__(self, group: Path) -> None:
        self._group = group

    def freeze(self, *pids: int) -> None:
        """Have these stand still; returns when they do."""
        for pid in pids:
            (self._group / "cgroup.procs").write_text(str(pid))
        (self._group / "freezer.state").write_text("FROZEN")
        wait_until("they stand still", lambda: (self._group / "freezer.state").read_text().strip() == "FROZEN")
        assert all(psutil.Process(pid).status() == psutil.STATUS_DISK_SLEEP for pid in pids)

    def thaw(self) -> None:
        """Let them go on; those that were killed end."""
        (self._group / "freezer.state").write_text("THAWED")


@contextlib.contextmanager
def freezer() -> Iterator[Freezer]:
    """One that is thawed and gone at the end. Skips the test where there cannot be one."""
    group = HOME / f"heavylift-test-{secrets.token_hex(4)}"
    if not (HOME / "cgroup.procs").exists():
        pytest.skip("the freezer of control groups (v1) is not mounted here")
    try:
        group.mkdir()
    except OSError as refused:
        pytest.skip(f"no control group can be made here: {refused}")
    made = Freezer(group)
    try:
        yield made
    finally:
        made.thaw()
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):  # it has just ended
                (HOME / "cgroup.procs").write_text(pid)
        wait_until("nobody is left in the group", lambda: not (group / "cgroup.procs").read_text(), timeout=30)
        group.rmdir()

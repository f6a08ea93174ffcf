"""Makes processes that no signal ends, not even SIGKILL: as a hung disk does, but for as long as a test wants.

It takes the freezer of the first version of control groups, and the right to make a group in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.faults.groups import control_group, enter
from tests.waiting import wait_until


class Freezer:
    """A group whose members stand still."""

    def __init__(self, group: Path) -> None:
        self._group = group

    def freeze(self, *pids: int) -> None:
        """Have these stand still; returns when they do."""
        enter(self._group, *pids)
        (self._group / "freezer.state").write_text("FROZEN")
        wait_until("they stand still", lambda: (self._group / "freezer.state").read_text().strip() == "FROZEN")
        assert all(psutil.Process(pid).status() == psutil.STATUS_DISK_SLEEP for pid in pids)

    def thaw(self) -> None:
        """Let them go on; those that were killed end."""
        (self._group / "freezer.state").write_text("THAWED")


@contextlib.contextmanager
def freezer() -> Iterator[Freezer]:
    """One that is thawed and gone at the end. Skips the test where there cannot be one."""
    with control_group("freezer") as group:
        made = Freezer(group)
        try:
            yield made
        finally:
            made.thaw()

"""Control groups (the first version of them) for processes under test, and the right to make one."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until

HOME = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def control_group(controller: str) -> Iterator[Path]:
    """The folder of a new group of this controller, gone at the end; its last members may take half a minute to leave.

    Skips the test where there cannot be one.
    """
    home = HOME / controller
    group = home / f"heavylift-test-{secrets.token_hex(4)}"
    if not (home / "cgroup.procs").exists():
        pytest.skip(f"the {controller} controller of control groups (v1) is not mounted here")
    try:
        group.mkdir()
    except OSError as refused:
        pytest.skip(f"no control group can be made here: {refused}")
    try:
        yield group
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):  # it has just ended
                (home / "cgroup.procs").write_text(pid)
        wait_until("nobody is left in the group", lambda: not (group / "cgroup.procs").read_text(), timeout=30)
        group.rmdir()


def enter(group: Path, *pids: int) -> None:
    """Make these members of a group."""
    for pid in pids:
        (group / "cgroup.procs").write_text(str(pid))

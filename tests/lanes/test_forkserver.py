"""The exit code of a slot's process, asked for by two threads."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver

import pytest

from heavylift.lanes.forkserver import SlotPopen


def test_a_code_that_one_thread_is_reading_is_not_missed_by_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fork server writes the code first and closes its end later; in between there is nothing left to read."""
    ours, servers = os.pipe()
    popen = SlotPopen.__new__(SlotPopen)
    popen._reading, popen.sentinel, popen.returncode = threading.Lock(), ours, None
    forkserver.write_signed(servers, 77)
    has_read, may_go_on = threading.Event(), threading.Event()
    read = forkserver.read_signed

    def slow_read(fd: int) -> int:
        code = read(fd)
        has_read.set()
        assert may_go_on.wait(10)
        return code

    monkeypatch.setattr(forkserver, "read_signed", slow_read)
    try:
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(popen.poll)
            assert has_read.wait(10)
            second = threads.submit(popen.poll)
            with pytest.raises(TimeoutError):
                second.result(0.2)  # it waits for the first; it must not say "alive"
            may_go_on.set()
            assert (first.result(10), second.result(10)) == (77, 77)
    finally:
        may_go_on.set()
        os.close(ours)
        os.close(servers)

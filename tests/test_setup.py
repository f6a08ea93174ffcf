"""A value that is loaded once in each process."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from typing import Any

import pytest

from heavylift.errors import HandlerError
from heavylift.handler import handler
from heavylift.setup import Setup
from heavylift.testing import run_job


def test_it_is_loaded_at_its_first_use_and_only_then() -> None:
    loads: list[int] = []
    model = Setup(lambda: loads.append(1) or "model")
    assert (loads, model.ready) == ([], False)
    assert (model.value, model.value, model.ready, loads) == ("model", "model", True, [1])


def test_threads_that_need_it_at_the_same_time_wait_for_one_load() -> None:
    loads: list[int] = []
    entered, go_on = threading.Event(), threading.Event()

    def load() -> int:
        loads.append(1)
        entered.set()
        go_on.wait(5)
        return 7

    model = Setup(load)
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(model.value)) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert entered.wait(5)
    go_on.set()
    for thread in threads:
        thread.join(5)
    assert (seen, loads) == ([7] * 5, [1])


def test_a_load_that_fails_is_tried_again_at_the_next_use() -> None:
    answers: list[Any] = [OSError("not yet"), 7]

    def load() -> int:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return int(answer)

    model = Setup(load)
    with pytest.raises(OSError, match="not yet"):
        _ = model.value
    assert model.value == 7


def test_a_forked_process_loads_its_own() -> None:
    model = Setup(os.getpid)
    assert model.value == os.getpid()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if model.value == os.getpid() else 1)
    assert os.waitpid(pid, 0)[1] == 0


async def _async_load() -> None: ...


@pytest.mark.parametrize("load", ["model.bin", _async_load, lambda path: path])
def test_what_cannot_be_called_without_arguments_is_refused(load: Any) -> None:
    with pytest.raises(HandlerError, match="give a plain function that can be called without arguments"):
        Setup(load)


@pytest.mark.parametrize("timeout", [0, -1, True, "5", float("inf")])
def test_a_time_that_is_none_is_refused(timeout: Any) -> None:
    with pytest.raises(HandlerError, match="give seconds above zero"):
        Setup(dict, timeout=timeout)


def test_the_time_it_may_take_is_said_in_seconds_or_as_a_timedelta() -> None:
    assert Setup(dict, timeout=timedelta(minutes=2)).timeout == Setup(dict, timeout=120).timeout == 120.0


def test_a_job_run_in_a_test_has_it_loaded_and_fails_with_the_cause_setup() -> None:
    words = Setup(lambda: ["one", "two"])
    broken = Setup(lambda: [][0])

    @handler(lane="cpu", setup=words)
    def count() -> int:
        assert words.ready
        return len(words.value)

    @handler(lane="cpu", setup=(words, broken))
    def fail() -> None: ...

    assert run_job(count.job(), [count]).result == 2
    assert run_job(fail.job(), [fail]).cause == "setup"

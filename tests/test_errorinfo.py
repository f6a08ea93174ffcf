"""Whatever a handler raises becomes plain text of bounded size, and equal faults get equal fingerprints."""

from __future__ import annotations

import importlib.util
import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heavylift.attempt import Prepared, Start, prepare, run
from heavylift.codec import encode_envelope
from heavylift.context import Silent
from heavylift.errorinfo import MESSAGE_LIMIT, TRACEBACK_LIMIT, cut, error_info
from heavylift.errors import Stop
from heavylift.handler import handler
from heavylift.job import Envelope
from heavylift.outcome import ErrorInfo, Raised
from heavylift.registry import Registry


def info_of(fn: Callable[[], Any]) -> ErrorInfo:
    try:
        fn()
    except BaseException as raised:
        return error_info(raised)
    raise AssertionError("it did not raise")


def module(folder: Path, source: str, name: str = "images") -> types.ModuleType:
    """A module of a user, from a file, so that tracebacks have its lines."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def storable(info: ErrorInfo) -> bool:
    return json.loads(msgspec.json.encode(info))["type"] == info.type


class Odd(Exception):
    pass


def test_an_exception_is_told_by_type_message_and_traceback() -> None:
    info = info_of(lambda: int("x"))
    assert info.type == "ValueError"
    assert info.message == "invalid literal for int() with base 10: 'x'"
    assert info.traceback.startswith("Traceback")
    assert info.traceback.endswith(f"ValueError: {info.message}\n")
    assert Path(__file__).name in info.traceback


def test_the_type_of_somebody_elses_exception_is_qualified() -> None:
    assert error_info(Odd()).type == f"{__name__}.Odd"
    assert error_info(json.JSONDecodeError("x", "y", 0)).type == "json.decoder.JSONDecodeError"


def test_causes_are_told_too() -> None:
    def fail() -> None:
        try:
            int("x")
        except ValueError as wrong:
            raise Odd("outer") from wrong

    assert "direct cause" in info_of(fail).traceback
    assert "invalid literal" in info_of(fail).traceback


def test_the_members_of_a_group_are_told() -> None:
    assert "inner" in error_info(ExceptionGroup("several", [ValueError("inner"), Odd()])).traceback


def test_a_long_message_is_cut_in_the_middle() -> None:
    info = error_info(ValueError("start" + "x" * 100_000 + "end"))
    assert len(info.message.encode()) <= MESSAGE_LIMIT
    assert info.message.startswith("start")
    assert info.message.endswith("end")


def test_a_long_traceback_keeps_its_beginning_and_its_end() -> None:
    info = info_of(lambda: exec("raise ValueError('start' + 'x' * 100_000 + 'end')"))
    assert len(info.traceback.encode()) <= TRACEBACK_LIMIT
    assert info.traceback.startswith("Traceback")
    assert info.traceback.endswith("end\n")


@given(st.text(), st.integers(60, 500))
def test_a_cut_text_is_never_above_the_limit_and_always_text(text: str, limit: int) -> None:
    shown = cut(text, limit)
    assert len(shown.encode()) <= limit
    if len(text.encode("utf-8", "backslashreplace")) <= limit and text.isascii():
        assert shown == text


def raising(worse: BaseException) -> Exception:
    class Wrong(Exception):
        def __str__(self) -> str:
            raise worse

    return Wrong()


@pytest.mark.parametrize("worse", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), RecursionError()])
def test_an_exception_that_cannot_be_shown_is_survived(worse: BaseException) -> None:
    info = error_info(raising(worse))
    assert type(worse).__name__ in info.message
    assert storable(info)


def test_a_stop_while_an_exception_is_shown_goes_through() -> None:
    """Whoever asked the attempt to end must not be ignored because of bad luck with the moment."""
    with pytest.raises(Stop):
        error_info(raising(Stop("timeout")))


def test_a_str_that_is_no_string_is_survived() -> None:
    class Wrong(Exception):
        def __str__(self) -> str:
            return 7  # type: ignore[return-value]

    assert "TypeError" in error_info(Wrong()).message


def test_a_recursion_is_told_in_bounds() -> None:
    def down(depth: int = 0) -> int:
        return down(depth + 1)

    info = info_of(down)
    assert info.type == "RecursionError"
    assert len(info.traceback) <= TRACEBACK_LIMIT


def test_an_exception_that_causes_itself_is_told() -> None:
    first, second = Odd("first"), Odd("second")
    first.__cause__, second.__cause__ = second, first
    assert "second" in error_info(first).traceback


def test_a_chain_of_a_thousand_is_told_in_bounds() -> None:
    error = Odd("0")
    for number in range(1, 1001):
        outer = Odd(str(number))
        outer.__cause__ = error
        error = outer
    assert len(error_info(error).traceback.encode()) <= TRACEBACK_LIMIT


@given(st.text())
def test_any_message_can_be_stored(message: str) -> None:
    assert storable(error_info(ValueError(message)))


def test_half_a_character_can_be_stored() -> None:
    info = error_info(ValueError("bad \ud800 name"))
    assert info.message == "bad \\ud800 name"
    assert storable(info)


# --- fingerprints ----------------------------------------------------------------------------------------

FAULTY = "def inner(x):\n    return 1 / x\n\ndef resize(x):\n    return inner(x)\n\ndef crop(x):\n    return inner(x)\n"


def test_the_same_fault_has_the_same_fingerprint(tmp_path: Path) -> None:
    images = module(tmp_path, FAULTY)
    assert info_of(lambda: images.resize(0)).fingerprint == info_of(lambda: images.resize(0.0)).fingerprint


def test_a_line_added_above_does_not_make_a_new_fault(tmp_path: Path) -> None:
    releases = [module(tmp_path / "a", FAULTY), module(tmp_path / "b", "import os\n\n\n" + FAULTY)]
    before, after = [info_of(lambda release=release: release.resize(0)) for release in releases]
    assert before.fingerprint == after.fingerprint
    assert before.traceback != after.traceback


def test_another_way_to_the_same_line_is_another_fault(tmp_path: Path) -> None:
    images = module(tmp_path, FAULTY)
    assert info_of(lambda: images.resize(0)).fingerprint != info_of(lambda: images.crop(0)).fingerprint


def test_another_type_at_the_same_line_is_another_fault(tmp_path: Path) -> None:
    images = module(tmp_path, FAULTY)
    assert info_of(lambda: images.resize(0)).fingerprint != info_of(lambda: images.resize("x")).fingerprint


def test_the_depth_of_a_recursion_is_not_part_of_the_fault(tmp_path: Path) -> None:
    images = module(tmp_path, "def down(n):\n    return 1 / n if n == 0 else down(n - 1)\n")
    assert info_of(lambda: images.down(3)).fingerprint == info_of(lambda: images.down(30)).fingerprint


def test_frames_of_libraries_are_not_part_of_the_fault(tmp_path: Path) -> None:
    """An update of a library must not make new faults of all old ones; the handler's own line says enough."""
    images = module(tmp_path, "import json\ndef read(text):\n    return json.loads(text)\n")
    assert info_of(lambda: images.read("{")).fingerprint == info_of(lambda: images.read("{'")).fingerprint
    assert "decoder.py" in info_of(lambda: images.read("{")).traceback


def test_heavylifts_own_frames_at_the_top_are_left_out() -> None:
    """What called the handler is of no interest to its author."""

    @handler
    def broken() -> None:
        raise ValueError("x")

    start = Start(id="1", queue="default", token="t", spec=encode_envelope(Envelope("broken")))
    prepared = prepare(start, Registry([broken]))
    assert isinstance(prepared, Prepared)
    outcome = run(prepared, Silent(), 1000)
    assert isinstance(outcome, Raised)
    first_file = outcome.error.traceback.splitlines()[1]
    assert Path(__file__).name in first_file

"""Handlers' parameters as options."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from heavylift.cli.asking import Asked, named, relocated
from heavylift.errors import InvalidArgument
from heavylift.handler import handler
from heavylift.parameters import Parameter


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("annotation", "kind", "json", "listed"),
    [
        (int, int, False, False),
        (str, str, False, False),
        (bool, bool, False, False),
        (float | None, float, False, False),
        (Annotated[int, Meta(ge=1)], int, False, False),
        (Annotated[int, Meta(ge=1)] | None, int, False, False),
        (Path, str, False, False),
        (datetime, str, False, False),
        (Colour, Literal["red", "blue"], False, False),
        (Literal["a", "b"], Literal["a", "b"], False, False),
        (Literal[1, 2], str, True, False),
        (list[int], list[int], False, True),
        (tuple[str, ...], list[str], False, True),
        (tuple[int, str], str, True, False),
        (dict[str, int], str, True, False),
        (list[dict[str, int]], str, True, False),
        (int | str, str, True, False),
    ],
)
def test_a_type_is_asked_for_as(annotation: Any, kind: Any, json: bool, listed: bool) -> None:
    asked = Asked.of(Parameter("given", annotation))
    assert (asked.kind, asked.json, asked.listed) == (kind, json, listed)


def test_named_arguments_are_text_where_text_is_taken_and_json_elsewhere() -> None:
    @handler
    def fn(text: str, number: int, box: dict[str, int]) -> None: ...

    assert named(fn, ["text=5", "number=5", 'box={"a":1}', "other=x=y"]) == {
        "text": "5",
        "number": 5,
        "box": {"a": 1},
        "other": "x=y",
    }


def test_a_named_argument_without_a_value_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="NAME=VALUE"):
        named(None, ["width"])


def test_files_are_named_from_the_root(tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    (folder / "a.jpg").touch()
    (tmp_path / "b.jpg").touch()
    assert relocated("a.jpg", tmp_path, folder) == "sub/a.jpg"
    assert relocated("../b.jpg", tmp_path, folder) == "b.jpg"
    assert relocated("no file", tmp_path, folder) == "no file"
    assert relocated("b.jpg", tmp_path, tmp_path) == "b.jpg"
    assert relocated(str(folder / "a.jpg"), tmp_path, folder) == str(folder / "a.jpg")

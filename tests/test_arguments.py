"""Arguments reach the function as they were given, or are refused with the name of the one that is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heavylift.arguments import Arguments, refusal, type_name
from heavylift.errors import InvalidJob
from heavylift.parameters import read_parameters


@dataclass
class Box:
    left: int
    top: int = 0


class Point(msgspec.Struct):
    x: float
    y: float


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    a: int


class Size(TypedDict):
    width: int
    height: NotRequired[int]


class Format(Enum):
    JPEG = "jpeg"
    PNG = "png"


class Invoice(pydantic.BaseModel):
    number: str
    total: Decimal
    due: date


class Tree(msgspec.Struct):
    name: str
    children: list[Tree] = []


def arguments(fn: Any) -> Arguments:
    return Arguments(fn.__name__, read_parameters(fn, {}))


def resize(source: str, width: int, target: str | None = None) -> None: ...


def tour(value: Any, arguments: Arguments) -> Any:
    """What the function would get for the parameter `it`."""
    _, encoded = arguments.encode((), {"it": value})
    return arguments.decode(encoded)[1]["it"]


def of_type(annotation: Any) -> Arguments:
    def take(it: Any) -> None: ...

    take.__annotations__["it"] = annotation
    return arguments(take)


# --- what is given arrives -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, "a.jpg"),
        (str, ""),
        (str, "Größe \N{SNOWMAN} \x00"),
        (int, 800),
        (int, -(2**63)),
        (int, 2**80),
        (float, 0.1),
        (bool, True),
        (bytes, b"\x00\xff"),
        (Path, Path("photos/a.jpg")),
        (PurePosixPath, PurePosixPath("photos/a.jpg")),
        (Path | None, None),
        (list[Path], [Path("a"), Path("b")]),
        (datetime, datetime(2026, 3, 29, 2, 30, tzinfo=UTC)),
        (date, date(2026, 2, 28)),
        (UUID, UUID(int=7)),
        (Decimal, Decimal("0.10")),
        (Format, Format.PNG),
        (Literal["cover", "contain"], "cover"),
        (int | str, "x"),
        (int | list[int] | None, [1, 2]),
        (tuple[int, int], (3, 4)),
        (set[int], {1, 2}),
        (dict[str, list[int]], {"small": [80, 60]}),
        (dict[int, str], {1: "x"}),
        (Box, Box(1, 2)),
        (Point, Point(1.5, 2.0)),
        (Size, {"width": 3}),
        (list[Box], [Box(1), Box(2)]),
        (Invoice, Invoice(number="7", total=Decimal("9.90"), due=date(2026, 1, 1))),
        (Invoice | None, None),
        (list[Invoice], [Invoice(number="7", total=Decimal(1), due=date(2026, 1, 1))]),
        (Tree, Tree("root", [Tree("leaf")])),
        (Annotated[int, msgspec.Meta(ge=1)], 1),
        (Any, {"anything": [1, None, "x"]}),
    ],
)
def test_a_value_arrives_as_the_value_that_was_given(annotation: Any, value: Any) -> None:
    got = tour(value, of_type(annotation))
    assert got == value
    assert type(got) is type(value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # no lone surrogates: they are not text
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


@given(json_values)
def test_any_json_arrives_unchanged(value: Any) -> None:
    assert tour(value, of_type(Any)) == value


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(), st.none() | st.just("t"))
def test_position_and_name_make_the_same_job(source: str, width: int, target: str | None) -> None:
    codec = arguments(resize)
    by_position = codec.encode((source, width, target), {})
    assert by_position == codec.encode((source,), {"width": width, "target": target})
    assert codec.decode(by_position[1]) == ((), {"source": source, "width": width, "target": target})


def test_a_default_is_left_to_the_function() -> None:
    """Not stored, so the default of the code that runs counts."""
    assert arguments(resize).encode(("a", 1), {}) == ({"source": "a", "width": 1}, b'{"source":"a","width":1}')


def test_none_is_stored_where_it_was_said() -> None:
    assert arguments(resize).encode(("a", 1, None), {})[1] == b'{"source":"a","width":1,"target":null}'


def test_json_forms_of_a_value_are_taken_too() -> None:
    """A caller that has read its arguments from JSON need not build the types first."""

    def take(box: Box, when: datetime, path: Path, invoice: Invoice) -> None: ...

    codec = arguments(take)
    invoice = {"number": "7", "total": "9.90", "due": "2026-01-01"}
    _, encoded = codec.encode(({"left": 1}, "2026-01-01T00:00:00Z", "a/b", invoice), {})
    assert codec.decode(encoded)[1] == {
        "box": Box(1),
        "when": datetime(2026, 1, 1, tzinfo=UTC),
        "path": Path("a/b"),
        "invoice": Invoice(number="7", total=Decimal("9.90"), due=date(2026, 1, 1)),
    }


def test_positional_only_parameters_are_given_by_position() -> None:
    def scale(a: int, b: int = 2, c: int = 3, /, d: int = 4) -> None: ...

    codec = arguments(scale)
    assert codec.decode(codec.encode((1,), {})[1]) == ((1,), {})
    assert codec.decode(codec.encode((1, 5), {"d": 9})[1]) == ((1, 5), {"d": 9})


def test_a_gap_between_positional_only_arguments_is_filled_by_its_default() -> None:
    def scale(a: int, b: int = 2, c: int = 3, /) -> None: ...

    assert arguments(scale).decode(b'{"a":1,"c":5}') == ((1, 2, 5), {})


def test_a_parameter_may_have_any_name() -> None:
    def odd(self_: int, copy: int, __weird: int, keys: int, type: int, id: int) -> None: ...

    codec = arguments(odd)
    names = list(odd.__annotations__)[:-1]
    assert codec.decode(codec.encode((1, 2, 3, 4, 5, 6), {})[1]) == ((), dict(zip(names, range(1, 7), strict=True)))


def test_a_function_without_parameters_takes_an_empty_job() -> None:
    def tick() -> None: ...

    assert arguments(tick).decode(arguments(tick).encode((), {})[1]) == ((), {})


# --- what does not fit is refused by name ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value", "field", "shown", "expected"),
    [
        (int, "800", "it", "'800'", "expected `int`, got `str`"),
        (int, 800.0, "it", "800.0", "expected `int`, got `float`"),
        (int, True, "it", "True", "expected `int`, got `bool`"),
        (int, None, "it", "None", "expected `int`, got `null`"),
        (str, b"a.jpg", "it", "b'a.jpg'", "expected `str`, got `bytes`"),
        (str, Path("a.jpg"), "it", "Path('a.jpg')", "expected `str`, got `PosixPath`"),
        (bytes, "abcd", "it", "'abcd'", "expected `bytes`, got `str`"),
        (float, float("nan"), "it", "nan", "expected `float`, got `null`"),
        (Path, 3, "it", "3", "expected `path`, got `int`"),
        (Literal["cover", "contain"], "stretch", "it", "'stretch'", "invalid enum value 'stretch'"),
        (Annotated[int, msgspec.Meta(ge=1)], 0, "it", "0", "expected `int` >= 1"),
        (list[int], [1, 2, "x"], "it[2]", "'x'", "expected `int`, got `str`"),
        (dict[str, int], {1: 2}, "it", "{1: 2}", "expected `str`, got `int` as a key"),
        (dict[str, int], {"a": "b"}, "it[...]", "{'a': 'b'}", "expected `int`, got `str`"),
        (Box, Box("1"), "it.left", "'1'", "expected `int`, got `str`"),  # type: ignore[arg-type]
        (Box, {"top": 1}, "it.left", "<missing>", "take needs it"),
        (list[Box], [Box(1), {"left": None}], "it[1].left", "None", "expected `int`, got `null`"),
        (Strict, {"a": 1, "b": 2}, "it.b", "2", "there is no such field; in take"),
        (Size, {"height": 2}, "it.width", "<missing>", "take needs it"),
        (Invoice, {"number": "7", "total": "1", "due": "soon"}, "it", "{'number'", "due: Input should be a valid date"),
        (datetime, "yesterday", "it", "'yesterday'", "invalid RFC3339"),
        (str, "\ud800", "it", r"'\ud800'", "cannot be stored as JSON"),
        (Any, object(), "it", "<object object", "cannot be stored as JSON (object is not a JSON type)"),
        (Any, [lambda: None], "it", "[<function", "cannot be stored as JSON (function is not a JSON type)"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_what_was_expected(
    annotation: Any, value: Any, field: str, shown: str, expected: str
) -> None:
    with pytest.raises(InvalidJob) as refused:
        of_type(annotation).encode((value,), {})
    assert refused.value.field == field
    assert shown in str(refused.value)
    assert expected in str(refused.value)
    assert "take" in str(refused.value), "the handler is named too"


@pytest.mark.parametrize(
    ("args", "kwargs", "field", "expected"),
    [
        ((), {}, "source", "resize needs it (str)"),
        (("a",), {}, "width", "resize needs it (int)"),
        (("a", 1), {"widht": 2}, "widht", "did you mean width? it takes source, width, target"),
        (("a", 1), {"zzz": 2}, "zzz", "resize has no such argument; it takes source, width, target"),
        (("a", 1), {"source": "b"}, "source", "was given it twice"),
        (("a", 1, None, 4), {}, "arguments", "takes at most 3 by position"),
    ],
)
def test_missing_unknown_and_surplus_arguments_are_named(
    args: tuple[Any, ...], kwargs: dict[str, Any], field: str, expected: str
) -> None:
    with pytest.raises(InvalidJob) as refused:
        arguments(resize).encode(args, kwargs)
    assert refused.value.field == field
    assert expected in str(refused.value)


def test_a_keyword_only_parameter_is_not_taken_by_position() -> None:
    def crop(source: str, *, width: int) -> None: ...

    with pytest.raises(InvalidJob, match="takes at most 1 by position"):
        arguments(crop).encode(("a", 3), {})


@pytest.mark.parametrize(
    ("stored", "field", "expected"),
    [
        (b'{"source":"a","width":"800"}', "width", "expected `int`, got `str`"),
        (b'{"source":"a"}', "width", "resize needs it"),
        (b'{"source":"a","width":1,"depth":2}', "depth", "resize has no such argument"),
        (b"[1]", "arguments", "expected `object`, got `array`"),
        (b'{"source":', "arguments", "cannot be read as JSON"),
        (b'{"source":"\xff","width":1}', "arguments", "cannot be read as JSON"),
        (b"[" * 100_000, "arguments", ""),
    ],
)
def test_stored_arguments_are_checked_again(stored: bytes, field: str, expected: str) -> None:
    """The code that runs may be of another release than the code that enqueued."""
    with pytest.raises(InvalidJob) as refused:
        arguments(resize).decode(stored)
    assert refused.value.field == field
    assert expected in str(refused.value)


def test_an_endless_value_is_refused_and_not_followed() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidJob, match="cannot be stored as JSON"):
        of_type(Any).encode((endless,), {})


def test_a_refusal_shows_at_most_a_line_of_a_huge_value() -> None:
    with pytest.raises(InvalidJob) as refused:
        of_type(int).encode(("x" * 100_000,), {})
    assert len(str(refused.value)) < 300


@given(st.dictionaries(st.sampled_from(["source", "width", "target", "depth"]), json_values))
def test_whatever_is_given_is_either_refused_or_arrives(values: dict[str, Any]) -> None:
    codec = arguments(resize)
    try:
        _, encoded = codec.encode((), values)
    except InvalidJob:
        return
    assert codec.decode(encoded) == ((), values)


@given(st.binary(max_size=200))
def test_whatever_is_stored_is_either_refused_or_read(stored: bytes) -> None:
    try:
        arguments(resize).decode(stored)
    except InvalidJob:
        pass


# --- which types can be carried --------------------------------------------------------------------------


class Foreign:
    pass


class Holder(msgspec.Struct):
    foreign: Foreign


@pytest.mark.parametrize(
    "annotation",
    [Foreign, object, list[Foreign], dict[str, Foreign], Foreign | None, Holder, tuple[int, Foreign], type[int]],
)
def test_a_type_that_json_cannot_carry_is_found_wherever_it_stands(annotation: Any) -> None:
    assert refusal(annotation)


@pytest.mark.parametrize("annotation", [Box | Point, Path | str, Invoice | dict[str, int]])
def test_a_union_that_json_cannot_tell_apart_is_found(annotation: Any) -> None:
    assert "union" in (refusal(annotation) or "")


@pytest.mark.parametrize("annotation", [int, Any, Tree, Box, Invoice, list[Path], Size, Path | None])
def test_what_can_be_carried_is_not_refused(annotation: Any) -> None:
    assert refusal(annotation) is None


@pytest.mark.parametrize(
    ("annotation", "name"),
    [(int, "int"), (list[str], "list[str]"), (str | None, "str | None"), (Any, "Any"), (Path, "Path")],
)
def test_types_are_named_as_they_are_written(annotation: Any, name: str) -> None:
    assert type_name(annotation) == name

"""The arguments of a job, checked against the handler's signature in both directions.

They are checked twice: when a job is made, so that nothing wrong is enqueued, and again before the handler runs,
because the code that runs may be older or newer than the code that enqueued. The second check is also part of the
first: the bytes are decoded as the worker will decode them. Before that, the Python values are held against the
types as they are, because JSON would hide some mistakes (`b"x"` where text is wanted becomes base64, a dictionary's
`1` becomes `"1"`). Nothing is coerced: `"800"` is not 800.

Defaults are left to the function: an argument that was not given is not stored, so the default of the code
that runs counts.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import msgspec
from msgspec import UNSET

from heavylift import plain
from heavylift.errors import UNREADABLE, InvalidJob
from heavylift.parameters import Parameter
from heavylift.redaction import HIDDEN, Hush

_BYTES = (bytes, bytearray, memoryview)


class Arguments:
    """The arguments of one handler: encodes what a caller gives, decodes what the function is called with.

    The decoder is built at first use: a producer that imports a hundred handlers pays for those it enqueues.
    """

    __slots__ = ("_allowed", "_decoder", "_model", "_names", "_parameters", "_positional", "_secret", "handler")

    def __init__(self, handler: str, parameters: Sequence[Parameter], secret: Sequence[str] = ()) -> None:
        self.handler = handler
        self._secret = tuple(secret)
        self._parameters = tuple(parameters)
        self._names = tuple(p.name for p in parameters)
        self._allowed = sum(p.positional for p in parameters)
        self._positional = sum(not p.keyword for p in parameters)
        self._model: type[msgspec.Struct] | None = None
        self._decoder: msgspec.json.Decoder[Any] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called, in order."""
        return self._names

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The arguments of a call by name, and as JSON.

        Raises:
            InvalidJob: they do not fit the signature; names the argument, its value and what was expected.
        """
        if not self._secret:
            return self._encode(args, kwargs)
        try:
            return self._encode(args, kwargs)
        except InvalidJob as wrong:
            raise self._hushed(wrong, {**dict(zip(self._names, args, strict=False)), **kwargs}) from None

    def _encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        given = self._bind(args, kwargs)
        if self._model is None:
            self._build()
        try:
            checked = msgspec.convert(given, self._model, dec_hook=decode_other, builtin_types=_BYTES)
            data = msgspec.json.encode(checked, enc_hook=encode_other)
        except msgspec.ValidationError as wrong:
            raise self._explain(wrong, given) from None
        except (TypeError, ValueError, OverflowError, RecursionError) as wrong:
            raise blame(wrong, given, self.handler) from None
        self._parse(data, given)
        return given, data

    def decode(self, raw: bytes | msgspec.Raw) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the function is to be called with: `fn(*args, **kwargs)`.

        Raises:
            InvalidJob: the stored arguments do not fit the signature.
        """
        try:
            values = msgspec.structs.astuple(self._parse(raw, None))
        except InvalidJob as wrong:
            raise (self._hushed(wrong, _loosely(raw)) if self._secret else wrong) from None
        if not self._positional:
            return (), {name: value for name, value in zip(self._names, values, strict=True) if value is not UNSET}
        first = self._positional
        rest = zip(self._names[first:], values[first:], strict=True)
        return self._by_position(values[:first]), {name: value for name, value in rest if value is not UNSET}

    def _hushed(self, wrong: InvalidJob, given: Any) -> InvalidJob:
        """The same complaint, showing only a value that is plainly no secret."""
        name = re.split(r"[.\[]", wrong.field, maxsplit=1)[0]
        secret = {path.partition(".")[0] for path in self._secret}
        plain = name in self._names and name not in secret and wrong.field != "arguments"
        shown = plain or wrong.value is MISSING
        return InvalidJob(wrong.field, wrong.value if shown else HIDDEN, Hush(given, self._secret)(wrong.remedy))

    def _by_position(self, values: Sequence[Any]) -> tuple[Any, ...]:
        count = len(values)
        while count and values[count - 1] is UNSET:
            count -= 1
        pairs = zip(self._parameters, values[:count], strict=False)  # a gap can only be filled by its default
        return tuple(p.default if value is UNSET else value for p, value in pairs)

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if not args:
            return dict(kwargs)
        if len(args) > self._allowed:
            raise InvalidJob("arguments", tuple(args), f"{self.handler} takes at most {self._allowed} by position")
        given = dict(zip(self._names, args, strict=False))
        if twice := given.keys() & kwargs.keys():
            raise InvalidJob(min(twice), kwargs[min(twice)], f"{self.handler} was given it twice")
        return {**given, **kwargs}

    def _build(self) -> None:
        # The fields have names of our own: a parameter may be called like anything that a Struct has.
        fields = [
            (f"f{i}", p.annotation) if p.required else (f"f{i}", p.annotation, UNSET)
            for i, p in enumerate(self._parameters)
        ]
        names = {f"f{i}": name for i, name in enumerate(self._names)}
        model = msgspec.defstruct("Arguments", fields, rename=names, forbid_unknown_fields=True, kw_only=True, gc=False)
        self._decoder = msgspec.json.Decoder(model, dec_hook=decode_other)
        self._model = model

    def _parse(self, raw: bytes | msgspec.Raw, given: Mapping[str, Any] | None) -> Any:
        if self._decoder is None:
            self._build()
        assert self._decoder is not None
        try:
            return self._decoder.decode(raw)
        except msgspec.ValidationError as wrong:
            raise self._explain(wrong, _loosely(raw) if given is None else given) from None
        except UNREADABLE as wrong:
            raise InvalidJob("arguments", bytes(raw)[:100], f"cannot be read as JSON ({wrong})") from None

    def _explain(self, wrong: msgspec.ValidationError, given: Any) -> InvalidJob:
        """msgspec's complaint with the argument's name, its value and the handler's."""
        placed = _PLACED.fullmatch(str(wrong))
        said, key, path = (placed["said"], placed["key"], placed["path"]) if placed else (str(wrong), None, "")
        place, value = _follow(path, given)
        if match := _LACKING.fullmatch(said):
            name = match[1]
            needs = f"{self.handler} needs it ({self._kind(name)})" if not path else f"{self.handler} needs it"
            return InvalidJob(f"{place}.{name}" if path else name, MISSING, needs)
        if match := _UNKNOWN.fullmatch(said):
            name = match[1]
            value = value.get(name) if isinstance(value, Mapping) else None
            return self._unknown(f"{place}.{name}" if path else name, value)
        said = said[:1].lower() + said[1:] + (" as a key" if key else "")
        return InvalidJob(place or "arguments", value, f"{said}; in {self.handler}")

    def _unknown(self, name: str, value: Any) -> InvalidJob:
        if "." in name:
            return InvalidJob(name, value, f"there is no such field; in {self.handler}")
        takes = ", ".join(self._names) or "nothing"
        near = difflib.get_close_matches(name, self._names, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return InvalidJob(name, value, f"{self.handler} has no such argument; {hint}it takes {takes}")

    def _kind(self, name: str) -> str:
        found = [p.annotation for p in self._parameters if p.name == name]
        return type_name(found[0]) if found else "unknown"


def blame(wrong: Exception, given: Mapping[str, Any], handler: str) -> InvalidJob:
    """Which argument cannot be encoded: asked only once it is known that one cannot."""
    for name, value in given.items():
        try:
            msgspec.json.encode(value, enc_hook=encode_other)
        except Exception as found:
            return InvalidJob(name, value, f"cannot be stored as JSON ({found}); in {handler}")
    return InvalidJob("arguments", given, f"cannot be stored as JSON ({wrong}); in {handler}")


class _Missing:
    """Stands for the value of an argument that was not given."""

    def __repr__(self) -> str:
        return "<missing>"


MISSING = _Missing()

_LACKING = re.compile(r"Object missing required field `(.+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+)`")
_PLACED = re.compile(r"(?P<said>.*) - at (?P<key>`key(?:\[\.\.\.\])?` in )?`\$(?P<path>.*)`", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")


def _follow(path: str, given: Any) -> tuple[str, Any]:
    """The name (`box.left`, `sizes[2]`) and the value that a path of msgspec's (`.box.left`) points at."""
    value = given
    for step in _STEP.finditer(path):
        name, index = step[1], step[2]
        try:
            if name is not None:
                value = value[name] if isinstance(value, Mapping) else getattr(value, name)
            elif index is not None:
                value = list(value)[int(index)]
            else:
                break  # somewhere in a mapping: msgspec does not say where, so the whole of it is shown
        except (LookupError, AttributeError, TypeError):
            break
    return path.lstrip("."), value


def _loosely(raw: bytes | msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except UNREADABLE:
        return bytes(raw)[:100]


# --- types beyond msgspec's own -----------------------------------------------------------------------


def _is_model(kind: Any) -> bool:
    """True for a pydantic model. Whoever has one has loaded pydantic, so it is never imported from here."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def encode_other(value: Any) -> Any:
    """For msgspec: a value that is not one of its own types, as one that is."""
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, str):
        return plain.text(value)
    if isinstance(value, (int, float)):
        return plain.number(value)
    if _is_model(type(value)):
        return value.model_dump(mode="json")
    raise TypeError(f"{type_name(type(value))} is not a JSON type")


def decode_other(kind: type[Any], value: Any) -> Any:
    """For msgspec: a JSON value as a type that is not one of its own."""
    if isinstance(value, kind):
        return value
    if issubclass(kind, PurePath):
        if not isinstance(value, str):
            raise ValueError(f"Expected `path`, got `{type(value).__name__}`")
        return kind(value)
    if not _is_model(kind):
        raise ValueError(f"Expected `{kind.__name__}`, which JSON cannot carry")
    try:
        return kind.model_validate(value)
    except ValueError as wrong:
        raise ValueError(_first_of(wrong)) from None


def _first_of(wrong: ValueError) -> str:
    """The first complaint of a pydantic error, on one line."""
    errors: Callable[[], list[dict[str, Any]]] | None = getattr(wrong, "errors", None)
    if errors is None:
        return str(wrong)
    first = errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def refusal(annotation: Any) -> str | None:
    """Why a type cannot be that of an argument, or None if it can."""
    try:
        msgspec.json.Decoder(annotation, dec_hook=decode_other)
        return _foreign(msgspec.inspect.type_info(annotation), set())
    except (TypeError, ValueError, NotImplementedError) as wrong:
        return str(wrong)


def _foreign(info: Any, seen: set[int]) -> str | None:
    """The first type within a type that neither msgspec nor this module can read."""
    if isinstance(info, msgspec.inspect.CustomType):
        known = isinstance(info.cls, type) and (issubclass(info.cls, PurePath) or _is_model(info.cls))
        return None if known else f"JSON cannot carry {type_name(info.cls)}"
    if id(info) in seen:
        return None
    seen.add(id(info))
    parts: list[Any] = [getattr(info, name, None) for name in ("type", "item_type", "key_type", "value_type")]
    parts.extend(getattr(info, "types", ()) or ())
    parts.extend(getattr(info, "item_types", ()) or ())
    parts.extend(f.type for f in getattr(info, "fields", ()) or ())
    return next((found for part in parts if part is not None and (found := _foreign(part, seen))), None)


def type_name(kind: Any) -> str:
    """A type as a person would write it: `int`, `list[str]`, `Path`."""
    return (
        str(kind.__name__)
        if isinstance(kind, type) and not hasattr(kind, "__args__")
        else str(kind).replace("typing.", "")
    )

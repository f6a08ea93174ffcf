"""Loads the verbs: one Lua file each, its keys and arguments bound to names by what its header says.

A verb's file begins with its `#!lua` line (mandatory: a script without one can half-run when Redis is full) and a
comment that is read by people and by this loader:

    -- keys: meta call(worker) locks        names of `Keys`; in brackets the argument a key is made from
    -- args: worker:str number:int rest     names and kinds; `rest` is a run of further arguments, from REST on
    -- include: numbered wake               files of `lua/shared`, in this order; one that itself begins with
                                            `-- include:` has those before it; `states` is written by
                                            `heavylift.states`

The verbs of a queue begin with the key `meta`, from which `lua/prelude.lua` names what scripts find on the way; they
have the time (`shared/clock.lua`) without asking for it. The script then finds `meta_key`, `call_key`, `worker`,
`number` as locals. In Python the same names are given as
keywords, so nobody counts positions, in either language.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from heavylift.states import as_lua
from heavylift.store.call import Arg, Script
from heavylift.store.keys import Common, Keys
from heavylift.store.needs import word_for

STATES = "states"
"""An include that is no file: the sets of states, from the table."""

_SHEBANG = re.compile(r"#!lua( flags=[a-z,-]+)?\Z")
_HEADER = re.compile(r"-- (keys|args|include):(.*)\Z")
_KEY = re.compile(r"([a-z]+)(?:\(([a-z]+)\))?\Z")
_ARG = re.compile(r"([a-z_]+):(str|int)\Z")
_KINDS = {"str": "ARGV[{}]", "int": "tonumber(ARGV[{}])"}


class ScriptShape(Exception):
    """A Lua file's header does not say what it must. A defect of the package, found when it is loaded."""

    def __init__(self, verb: str, wrong: str) -> None:
        super().__init__(f"lua/{verb}.lua: {wrong}")


@dataclass(frozen=True, slots=True)
class Verb:
    """One script and its shape.

    Attributes:
        keys: (name in `Keys`, argument it is made from or "").
        args: names, in order.
        rest: further arguments may follow.
    """

    script: Script
    keys: tuple[tuple[str, str], ...]
    args: tuple[str, ...]
    rest: bool

    def bind(
        self, keys: Keys | Common, args: dict[str, Arg], rest: Sequence[Arg]
    ) -> tuple[tuple[str, ...], tuple[Arg, ...]]:
        """The declared keys and the raw command for one call of the verb."""
        names = tuple(_key(keys, name, args.get(source)) for name, source in self.keys)
        if len(args) != len(self.args) or (rest and not self.rest):
            raise ScriptShape(self.script.verb, f"takes {self.args}, was given {tuple(args)} and {len(rest)} more")
        given = tuple(args[name] for name in self.args)
        return names, (word_for(self.script.source), self.script.sha, len(names), *names, *given, *rest)


def _key(keys: Keys | Common, name: str, made_from: Arg | None) -> str:
    found = getattr(keys, name)
    if isinstance(found, str):
        return found
    key: str = found() if made_from is None else found(made_from)
    return key


class Scripts:
    """All verbs, loaded for one kind of server.

    Args:
        offset_ms: added to Redis' clock in every script; lets tests pass time without waiting.
        single_node: no Cluster: the pre-flight reads are left out, and a wake-up nobody heard is noticed.
    """

    def __init__(self, offset_ms: int = 0, single_node: bool = True) -> None:
        self.offset_ms = offset_ms
        self.single_node = single_node
        folder = files("heavylift.store") / "lua"
        names = sorted(f.name.removesuffix(".lua") for f in folder.iterdir() if f.name.endswith(".lua"))
        self.verbs = {name: self._load(folder, name) for name in names if name != "prelude"}

    def __getitem__(self, verb: str) -> Verb:
        return self.verbs[verb]

    def _load(self, folder: Traversable, name: str) -> Verb:
        text = (folder / f"{name}.lua").read_text("utf-8")
        shebang, _, body = text.partition("\n")
        if not _SHEBANG.match(shebang):
            raise ScriptShape(name, "must begin with #!lua and its flags")
        header = _read_header(name, body)
        keys = tuple(_parse(name, _KEY, word) for word in header["keys"])
        rest = header["args"][-1:] == ["rest"]
        args = [_parse(name, _ARG, word) for word in header["args"] if word != "rest"]
        _check(name, keys, args)
        lines = [shebang, f"local CLUSTER, OFFSET = {str(not self.single_node).lower()}, {self.offset_ms}"]
        lines += [f"local {key}_key = KEYS[{i}]" for i, (key, _) in enumerate(keys, 1)]
        lines += [f"local {arg} = {_KINDS[kind].format(i)}" for i, (arg, kind) in enumerate(args, 1)]
        lines += [f"local REST = {len(args) + 1}"] * rest
        of_queue = keys[0][0] == "meta"
        lines += [(folder / name).read_text("utf-8") for name in ("shared/clock.lua", "prelude.lua") if of_queue]
        lines += _included(folder / "shared", header["include"], []).values()
        source = "\n".join([*lines, body])
        sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        return Verb(Script(name, source, sha), keys, tuple(arg for arg, _ in args), rest)


def _included(folder: Traversable, names: Sequence[str], under: Sequence[str]) -> dict[str, str]:
    """The shared files of these names and those they need, each once, in an order that Lua can read."""
    found: dict[str, str] = {}
    for name in names:
        text = as_lua() if name == STATES else (folder / f"{name}.lua").read_text("utf-8")
        first = _HEADER.match(text.partition("\n")[0])
        if name in under:
            raise ScriptShape(name, f"includes itself, by {' '.join(under)}")
        needed = _included(folder, first[2].split(), [*under, name]) if first else {}
        found.update({part: source for part, source in (needed | {name: text}).items() if part not in found})
    return found


def _read_header(verb: str, body: str) -> dict[str, list[str]]:
    header: dict[str, list[str]] = {}
    for line in body.splitlines():
        if not line.startswith("--"):
            break
        if found := _HEADER.match(line):
            header[found[1]] = found[2].split()
    if missing := {"keys", "args", "include"} - set(header):
        raise ScriptShape(verb, f"header lacks {min(missing)}")
    if not body.startswith(f"-- {verb}: "):
        raise ScriptShape(verb, "header must begin with the verb and the rule of the game")
    return header


def _parse(verb: str, shape: re.Pattern[str], word: str) -> tuple[str, str]:
    found = shape.match(word)
    if not found:
        raise ScriptShape(verb, f"cannot read {word!r} in its header")
    return found[1], found[2] or ""


def _check(verb: str, keys: Sequence[tuple[str, str]], args: Sequence[tuple[str, str]]) -> None:
    known = {arg for arg, _ in args}
    home: type = Keys if keys and keys[0][0] == "meta" else Common
    for key, source in keys:
        if not hasattr(home, key):
            raise ScriptShape(verb, f"{key} is not a key; those of a queue come after meta")
        if source and source not in known:
            raise ScriptShape(verb, f"{key} is made from {source}, which is not an argument")

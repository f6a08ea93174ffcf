"""The loader binds names, and refuses a file whose header does not say what it must."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from heavylift.store.keys import Keys
from heavylift.store.scripts import _ARG as ARG
from heavylift.store.scripts import STATES, Scripts, ScriptShape, _check, _parse, _read_header

LUA = files("heavylift.store") / "lua"
VERBS = sorted(Scripts().verbs)
MUST_RUN_WHEN_FULL = {"claim", "settle", "extend", "takeover", "progress", "cancel", "sweep", "remove", "resume"}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_uses_every_key_and_argument_it_declares_and_no_other_key(verb: str) -> None:
    loaded = Scripts()[verb]
    source = loaded.script.source
    body = re.sub(r"--.*", "", source.partition("local call = redis.call")[2] or source)
    for key, _ in loaded.keys:
        indirect = key in ("completed", "failed", "cancelled") and "base .. state" in body
        assert f"{key}_key" in body or indirect, f"declares {key} and never uses it"
    for arg in set(loaded.args) - {made_from for _, made_from in loaded.keys}:
        assert re.search(rf"\b{arg}\b", body), f"declares {arg} and never uses it"
    declared = {f"{key}_key" for key, _ in loaded.keys} | {"gate_key", "tat_key", "vt_key"}
    own = (LUA / f"{verb}.lua").read_text()
    named = set(re.findall(r"\b[a-z]+_key\b", re.sub(r"--.*", "", own)))
    assert named & {f"{key}_key" for key in vars(Keys)} - {"job_key"} <= declared


@pytest.mark.parametrize("verb", VERBS)
def test_only_what_drains_a_full_redis_may_run_in_one(verb: str) -> None:
    shebang = (LUA / f"{verb}.lua").read_text().partition("\n")[0]
    if verb in MUST_RUN_WHEN_FULL:
        assert "allow-oom" in shebang
    if verb in ("enqueue", "replay", "promote"):
        assert "allow-oom" not in shebang


@pytest.mark.parametrize("verb", VERBS)
def test_no_script_is_long(verb: str) -> None:
    assert len((LUA / f"{verb}.lua").read_text().splitlines()) < 200


def test_scripts_of_the_same_kind_are_the_same_and_of_another_time_are_not() -> None:
    assert Scripts()["claim"].script.sha == Scripts()["claim"].script.sha
    assert Scripts()["claim"].script.sha != Scripts(offset_ms=1)["claim"].script.sha
    assert Scripts()["claim"].script.sha != Scripts(single_node=False)["claim"].script.sha


def test_keys_and_arguments_go_by_name_in_the_order_of_the_header() -> None:
    verb = Scripts()["extend"]
    keys, command = verb.bind(Keys("p", "q"), {"lease": 5}, ("id", "token"))
    assert keys == ("p:{q}:meta", "p:{q}:locks")
    assert command == ("EVALSHA", verb.script.sha, 2, *keys, 5, "id", "token")


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ("-- x: y\n-- keys: meta\n-- args:\n", "lacks include"),
        ("-- y: y\n-- keys: meta\n-- args:\n-- include:\n", "must begin with the verb"),
        ("local x = 1\n-- keys: meta\n", "lacks args"),
    ],
)
def test_a_header_that_says_too_little_is_refused(body: str, wrong: str) -> None:
    with pytest.raises(ScriptShape, match=wrong):
        _read_header("x", body)


def test_a_header_with_unknown_names_is_refused() -> None:
    with pytest.raises(ScriptShape, match="surprise is not a key"):
        _check("x", [("meta", ""), ("surprise", "")], [])
    with pytest.raises(ScriptShape, match="not an argument"):
        _check("x", [("meta", ""), ("call", "worker")], [])
    with pytest.raises(ScriptShape, match="locks is not a key"):
        _check("x", [("locks", ""), ("meta", "")], [])
    with pytest.raises(ScriptShape, match="cannot read 'a:float'"):
        _parse("x", ARG, "a:float")


def test_wrong_arguments_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(ScriptShape, match="takes"):
        Scripts()["counts"].bind(Keys("p", "q"), {}, ("more",))


def test_the_shared_parts_are_all_used() -> None:
    shared = {Path(str(f)).stem for f in (LUA / "shared").iterdir()}
    used = {word for verb in VERBS for word in _read_header(verb, _body(verb))["include"]}
    for part in shared:  # they may include one another
        first = (LUA / "shared" / f"{part}.lua").read_text().partition("\n")[0]
        used |= set(first.removeprefix("-- include:").split()) if first.startswith("-- include:") else set()
    assert used - {STATES} == shared


def _body(verb: str) -> str:
    return (LUA / f"{verb}.lua").read_text().partition("\n")[2]

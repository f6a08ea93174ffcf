from __future__ import annotations

from pathlib import Path

from heavylift.store import contract
from heavylift.store.keys import Common, Keys

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "redis-keys.md"


def test_the_documented_wire_contract_is_the_one_in_the_code() -> None:
    assert PAGE.read_text("utf-8") == contract.page(), f"write it anew: python -m heavylift.store.contract > {PAGE}"


def test_every_key_and_channel_is_on_the_page() -> None:
    page = contract.page()
    for owner in (Keys("<prefix>", "<queue>"), Common("<prefix>")):
        for name in vars(type(owner)):
            if not name.startswith("_") and name != "base" and name not in type(owner).__slots__:
                value = getattr(owner, name)
                shown = value if isinstance(value, str) else value(*["<x>"] * (value.__code__.co_argcount - 1))
                assert f"`{shown.split('<x>')[0]}" in page, name


def test_a_pattern_matches_only_its_own_queue() -> None:
    assert Keys("a*b", "q").event_pattern() == "a\\*b:{q}:job:*"

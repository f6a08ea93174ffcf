"""The reference pages are those of the code, and say what a reader needs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "docs" / "reference" / "api"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_make", REPOSITORY / "docs" / "reference" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _load()
NAMES = [name for names in make.public_names().values() for name in names]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    made: dict[str, str] = make.pages()
    return made


def test_the_pages_are_those_of_the_code(pages: dict[str, str]) -> None:
    written = {file.name: file.read_text("utf-8") for file in FOLDER.glob("*.md")}
    stale = [name for name in written.keys() | pages.keys() if written.get(name) != pages.get(name)]
    assert stale == [], "write them anew: make docs"


def test_the_page_of_states_is_drawn_from_the_table() -> None:
    assert make.STATES.read_text("utf-8") == make.states_page(), "write it anew: make docs"


def test_every_public_name_has_a_page_and_is_in_the_index(pages: dict[str, str]) -> None:
    assert len(NAMES) > 30
    assert len(NAMES) == len(set(NAMES))
    assert set(pages) == {*map(make.file_of, NAMES), "README.md"}
    assert [name for name in NAMES if f"[`{name}`]({make.file_of(name)}) | " not in pages["README.md"]] == []
    assert len({name.lower() for name in pages}) == len(pages), "on some disks two of them would be one file"


@pytest.mark.parametrize("name", ["JobRecord", "AsyncJob", "Unavailable"])
def test_a_type_or_an_error_that_a_public_name_mentions_must_have_a_page(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {module: [one for one in names if one != name] for module, names in make.public_names().items()}
    monkeypatch.setattr(make, "public_names", lambda: said)
    with pytest.raises(LookupError, match=name):
        make.pages()


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_what_each_thing_is_and_of_which_type(name: str, pages: dict[str, str]) -> None:
    """Every signature has types and is followed by words; a table of arguments names none without words."""
    page = pages[make.file_of(name)]
    for signature, after in re.findall(r"```text\n(.*?)```\n\n(.*)", page):
        assert "->" in signature or signature.startswith(name), f"{signature} has no type"
        assert after.strip(), f"{signature} is not explained"
        assert not after.startswith(("#", "---")), f"{signature} is not explained"
    assert re.findall(r"^\| `\w+` \|\s*\|$", page, re.MULTILINE) == []


@pytest.mark.parametrize("name", ["Client", "Harness", "handler", "Context", "Retry"])
def test_what_can_go_wrong_is_said(name: str, pages: dict[str, str]) -> None:
    if name == "Retry":
        assert "seconds" in pages["Retry.md"]
    else:
        assert "| raises | when |" in pages[f"{name}.md"]

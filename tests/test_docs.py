"""What the documentation shows works: its examples are run, its pages exist."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from heavylift.handler import Handler
from heavylift.registry import Registry
from heavylift.settings import Settings
from heavylift.worker.worker import Worker
from tests.servers import Server

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


class Page:
    """A page's examples, run in one namespace; handlers they declare are served as soon as they are declared."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.names: dict[str, Any] = {"url": server.url}
        self.worker: Worker | None = None

    def run(self, text: str, where: str) -> None:
        known = set(self.names)
        exec(compile(text, where, "exec"), self.names)
        if any(isinstance(self.names[name], Handler) for name in set(self.names) - known):
            self._serve()

    def _serve(self) -> None:
        self.stop()
        handlers = [value for value in self.names.values() if isinstance(value, Handler)]
        settings = Settings.load(env={}, redis_url=self.server.url, lock=5.0)
        self.worker = Worker(settings, Registry(handlers), modules=[], queues={"mail": 1})
        self.worker.start()

    def stop(self) -> None:
        if self.worker is not None:
            self.worker.stop()


@pytest.fixture
def page(any_server: Server) -> Iterator[Page]:
    page = Page(any_server)
    yield page
    page.stop()


def test_every_example_of_the_how_to_runs(page: Page) -> None:
    text = (REPOSITORY / "docs/howto.md").read_text()
    examples = list(EXAMPLE.finditer(text))
    assert len(examples) > 10
    for example in examples:
        line = text[: example.start()].count("\n") + 1
        page.run("\n" * line + example[1], f"docs/howto.md (example at line {line})")


@pytest.mark.parametrize("file", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_of_a_page_leads_somewhere(file: Path) -> None:
    missing = [link for link in LINK.findall(file.read_text()) if not (file.parent / link).exists()]
    assert not missing


def test_every_setting_is_in_the_reference() -> None:
    page = (REPOSITORY / "docs/reference/settings.md").read_text()
    assert re.findall(r"^\| `(\w+)`", page, re.MULTILINE) == [field.name for field in fields(Settings)]


def test_every_command_is_in_the_reference() -> None:
    page = (REPOSITORY / "docs/reference/cli.md").read_text()
    shown = subprocess.run([sys.executable, "-m", "heavylift", "--help"], capture_output=True, text=True, check=True)
    commands = re.findall(r"^[│|] (\w+)  ", shown.stdout.partition("Commands")[2], re.MULTILINE)
    assert len(commands) > 10
    assert [command for command in commands if f"`heavylift {command}" not in page] == []

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

from heavylift.client import Client
from heavylift.handler import Handler
from heavylift.middleware import Middleware
from heavylift.registry import Registry
from heavylift.settings import Settings
from heavylift.worker.worker import Worker
from tests.servers import Server

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN = [page for page in PAGES if page.parent.name == "howto" and EXAMPLE.search(page.read_text())]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


class Page:
    """A page's examples, run in one namespace; handlers they declare are served as soon as they are declared.

    Middleware that they declare is around those. Examples that declare handlers are also written to a module, which the
    processes of the cpu lane import: such an example holds declarations and nothing else, and needs no other kind of
    example before it.
    """

    def __init__(self, server: Server, root: Path) -> None:
        self.server = server
        self.root = root
        self.module = f"examples_{root.name}"
        self.declarations = ""
        self.names: dict[str, Any] = {"url": server.url, "__name__": self.module}
        self.worker: Worker | None = None

    def run(self, text: str, where: str) -> None:
        known = set(self.names)
        exec(compile(text, where, "exec", dont_inherit=True), self.names)
        if any(isinstance(self.names[name], Handler) for name in set(self.names) - known):
            self.declarations += text.strip("\n") + "\n\n\n"
            self._serve()

    def _serve(self) -> None:
        self._stop_worker()
        (self.root / f"{self.module}.py").write_text(self.declarations)
        registry = Registry(value for value in self.names.values() if isinstance(value, Handler))
        around = [name for name, value in self.names.items() if _is_middleware(value)]
        settings = Settings.load(
            env={},
            redis_url=self.server.url,
            root=str(self.root),
            lock=5.0,
            slots=1,
            middleware=tuple(f"{self.module}:{name}" for name in around),
        )
        here = [self.names[name]() for name in around]
        self.worker = Worker(settings, registry, modules=[self.module], middleware=here)
        self.worker.start()

    def _stop_worker(self) -> None:
        if self.worker is not None:
            self.worker.stop()

    def stop(self) -> None:
        self._stop_worker()
        for value in self.names.values():
            if isinstance(value, Client):
                value.close()


def _is_middleware(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Middleware) and value.__module__.startswith("examples_")


@pytest.fixture
def page(any_server: Server, tmp_path: Path) -> Iterator[Page]:
    page = Page(any_server, tmp_path)
    yield page
    page.stop()
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]


def examples(file: Path) -> Iterator[tuple[str, str]]:
    """Each example, moved down to its line of the page, and where it is."""
    text, name = file.read_text(), file.relative_to(REPOSITORY)
    for example in EXAMPLE.finditer(text):
        line = text[: example.start()].count("\n") + 1
        yield "\n" * line + example[1], f"{name} (example at line {line})"


def test_every_page_with_examples_is_among_those_run() -> None:
    assert len(RUN) > 4
    assert {"docs/howto/enqueue.md", "docs/howto/failures.md"} <= {str(file.relative_to(REPOSITORY)) for file in RUN}


@pytest.mark.parametrize("file", RUN, ids=lambda file: file.stem)
def test_every_example_of_a_how_to_runs(file: Path, page: Page) -> None:
    for text, where in examples(file):
        page.run(text, where)


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

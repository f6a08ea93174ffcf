"""What each kind of process loads, and no more. Each case is a fresh interpreter."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import heavylift
from heavylift.registry import Registry

PACKAGE = Path(heavylift.__file__).parent

PROCESSES = ("multiprocessing",)
STORE = ("redis", "hiredis", "valkey")
SCREEN = ("typer", "rich", "click")
LOOP = ("asyncio", "concurrent.futures", "threading", "logging")
OTHERS = ("structlog", "tenacity", "psutil", "pydantic", "PIL", "reportlab", "heavylift.worker", "heavylift.lanes")


def loaded(code: str, cwd: Path) -> set[str]:
    """Every module in memory after this code has run in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


DECLARE = """
from heavylift import Context, handler
@handler(lane="cpu", timeout=60, backoff=[1, 2])
def resize(ctx: Context, source: str, width: int = 800) -> dict[str, int]: ...
@handler
async def ping(url: str) -> None: ...
resize.arguments.decode(resize.job("a.jpg").encoded)
"""


@pytest.mark.parametrize(
    ("code", "not_loaded"),
    [
        ("import heavylift", PROCESSES + STORE + SCREEN + OTHERS + ("asyncio", "concurrent.futures", "logging")),
        (DECLARE, PROCESSES + STORE + SCREEN + OTHERS + ("asyncio", "concurrent.futures")),
        ("from heavylift import *", PROCESSES + SCREEN + ("PIL", "reportlab", "pydantic", "heavylift.worker")),
        ("from heavylift import Client\nClient('redis://127.0.0.1:1')", PROCESSES + SCREEN + OTHERS),
        ("from heavylift import AsyncClient\nAsyncClient('redis://127.0.0.1:1')", PROCESSES + SCREEN + OTHERS),
        ("import heavylift.registry, heavylift.attempt", PROCESSES + STORE + SCREEN + OTHERS),
        (
            "import heavylift.lanes.preload, heavylift.lanes.child",
            STORE + SCREEN + ("structlog", "tenacity", "pydantic"),
        ),
        ("import heavylift.__main__", PROCESSES + STORE + SCREEN),
        ("import heavylift.errors, heavylift.job", PROCESSES + STORE + SCREEN + OTHERS),
    ],
)
def test_a_process_loads_what_it_needs_and_no_more(code: str, not_loaded: tuple[str, ...], tmp_path: Path) -> None:
    too_much = loaded(code, tmp_path).intersection(not_loaded)
    if "Client" in code:  # redis-py loads OpenTelemetry where that is installed, which loads more
        too_much -= loaded("import redis.asyncio", tmp_path)
    assert not too_much


def test_these_checks_would_notice(tmp_path: Path) -> None:
    assert "redis" in loaded("from heavylift import Client", tmp_path)
    assert "multiprocessing" in loaded("import heavylift.lanes.child", tmp_path)


def test_a_producer_loads_handlers_without_their_worker(tmp_path: Path) -> None:
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "images.py").write_text(DECLARE)
    code = "from pathlib import Path\nfrom heavylift.registry import Registry\nprint(Registry.load(Path('.')).handlers)"
    assert not loaded(code, tmp_path).intersection(PROCESSES + STORE + SCREEN + OTHERS)


# --- the public names ------------------------------------------------------------------------------------


def test_every_public_name_is_there() -> None:
    for name in set(heavylift.__all__) - {"Secret"}:
        assert getattr(heavylift, name).__name__ == name
    assert heavylift.Secret[str].__metadata__, "an alias, which has no name of its own"
    assert set(heavylift.__all__) <= set(dir(heavylift))


def test_type_checkers_are_told_the_same_names_from_the_same_places() -> None:
    """`__init__.pyi` is what they read; `__init__.py` is what runs."""
    told: dict[str, str] = {}
    for line in ast.parse((PACKAGE / "__init__.pyi").read_text()).body:
        if isinstance(line, ast.ImportFrom):
            told |= {alias.name: str(line.module) for alias in line.names}
            assert all(alias.asname == alias.name for alias in line.names), "only such names are exported by a stub"
    homes = {name: f"heavylift.{home}" for name, home in vars(heavylift)["_HOMES"].items()}
    assert told == homes | {"handler": "heavylift.handler"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'heavylift' has no attribute 'Broker'"):
        heavylift.Broker  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_the_distributions() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", heavylift.__version__)


@pytest.mark.parametrize(
    "first", ["", "import heavylift.handler", "import heavylift.registry", "import heavylift.worker"]
)
def test_handler_is_the_decorator_whatever_was_imported_before(first: str, tmp_path: Path) -> None:
    """A module of that name exists too, and would take its place."""
    loaded(f"{first}\nfrom heavylift import handler\nassert callable(handler), handler", tmp_path)


def test_no_module_reads_the_environment_when_it_is_imported() -> None:
    """Settings are read when somebody asks for them; `lanes.preload` is what a fork server imports to load handlers."""
    tops: list[str] = []
    for file in PACKAGE.rglob("*.py"):
        tops += [
            f"{file.relative_to(PACKAGE)}:{line.lineno}"
            for line in ast.parse(file.read_text()).body
            if not isinstance(line, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            and re.search(r"\b(environ|getenv)\b", ast.unparse(line))
            and file.name != "preload.py"
        ]
    assert tops == []


def test_no_module_hides_an_import_from_the_layers() -> None:
    """An import for type checkers only is an import; `make lint` must see it."""
    hidden = [file.name for file in PACKAGE.rglob("*.py") if "TYPE_CHECKING" in file.read_text()]
    assert hidden == []


def test_registries_are_made_and_not_found() -> None:
    """There is no registry in any module: what is not passed in is not known."""
    found = [name for name, module in sys.modules.items() if name.partition(".")[0] == "heavylift"
             and any(isinstance(value, Registry) for value in vars(module).values())]  # fmt: skip
    assert found == []

"""The handlers of a project are found, or the file that prevents it is named."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from heavylift import Backoff, HandlerError, handler
from heavylift.decide import Policy
from heavylift.job import Envelope
from heavylift.registry import Registry

IMAGES = "from heavylift import handler\n\n@handler\ndef resize(source: str) -> None: ...\n"


PACKAGES = ("handlers", "shop")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """An empty project; what its modules leave in this process is undone."""
    path = list(sys.path)
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in PACKAGES}
    yield tmp_path
    sys.path[:] = path
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        del sys.modules[name]
    sys.modules.update(before)


def write(root: Path, **files: str) -> None:
    """Files by dotted name: `handlers.images="..."`."""
    for name, source in files.items():
        file = root / f"{name.replace('__dot__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)


def folder(root: Path, **files: str) -> None:
    write(root, **{f"handlers__dot__{name}": source for name, source in files.items()})


def names(registry: Registry) -> list[str]:
    return [handler.name for handler in registry.handlers]


# --- finding ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", [True, False])
def test_the_handlers_folder_is_loaded_with_and_without_an_init_file(project: Path, package: bool) -> None:
    folder(project, images=IMAGES, documents=IMAGES.replace("resize", "report"))
    if package:
        folder(project, __init__="")
    assert names(Registry.load(project)) == ["report", "resize"]


def test_modules_that_begin_with_an_underscore_are_not_loaded(project: Path) -> None:
    folder(project, images=IMAGES, _shared="raise SystemExit('loaded')")
    assert names(Registry.load(project)) == ["resize"]


def test_handler_modules_import_each_other(project: Path) -> None:
    """And a handler that stands in two modules is still one handler."""
    folder(project, images=IMAGES, _shared="WIDTH = 800", more="from handlers.images import resize\n"
           "from handlers._shared import WIDTH\n")  # fmt: skip
    assert names(Registry.load(project)) == ["resize"]


def test_a_package_within_the_folder_is_loaded(project: Path) -> None:
    write(project, handlers__dot__images__dot____init__=IMAGES)
    assert names(Registry.load(project)) == ["resize"]


def test_named_modules_are_loaded_beside_the_folder(project: Path) -> None:
    folder(project, images=IMAGES)
    write(project, shop__dot__mail=IMAGES.replace("resize", "send"))
    assert names(Registry.load(project, ["shop.mail"])) == ["resize", "send"]


def test_a_project_without_handlers_has_an_empty_registry(project: Path) -> None:
    assert Registry.load(project).handlers == ()
    assert str(project) not in sys.path


def test_loading_twice_finds_the_same_handlers(project: Path) -> None:
    folder(project, images=IMAGES)
    assert Registry.load(project).handlers == Registry.load(project, ["handlers.images"]).handlers


# --- what prevents it is named ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "cause", "said"),
    [
        ("import nowhere_to_be_found\n", ModuleNotFoundError, "No module named 'nowhere_to_be_found' (line 1 of"),
        ("def broken(:\n", SyntaxError, "(line 1 of"),
        ("\n1 / 0\n", ZeroDivisionError, "division by zero (line 2 of"),
        ("raise SystemExit(3)\n", SystemExit, "SystemExit: 3"),
        (IMAGES.replace("source: str", "source"), HandlerError, "annotate it with its type"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_its_cause(
    project: Path, source: str, cause: type[BaseException], said: str
) -> None:
    folder(project, images=source)
    with pytest.raises(HandlerError) as refused:
        Registry.load(project)
    assert str(project / "handlers" / "images.py") in str(refused.value)
    assert said in str(refused.value)
    assert isinstance(refused.value.__cause__, cause)


def test_a_named_module_that_is_not_there_is_named(project: Path) -> None:
    with pytest.raises(HandlerError, match=r"module='shop.mail': cannot be imported"):
        Registry.load(project, ["shop.mail"])


def test_a_handlers_package_from_elsewhere_is_not_taken_for_the_projects(project: Path) -> None:
    folder(project / "other", __init__="", images=IMAGES)
    folder(project / "own", images=IMAGES)
    Registry.load(project / "other")
    with pytest.raises(HandlerError, match="is hidden by another package of this name"):
        Registry.load(project / "own")


def test_an_init_file_that_cannot_be_imported_is_named(project: Path) -> None:
    folder(project, __init__="1 / 0", images=IMAGES)
    with pytest.raises(HandlerError, match=r"__init__.py.*division by zero"):
        Registry.load(project)
    assert "handlers" not in sys.modules


def test_a_package_of_this_name_elsewhere_on_the_path_does_not_come_in_between(project: Path) -> None:
    """Not even one with an `__init__.py` where the project's folder has none."""
    folder(project / "other", __init__="", images="raise SystemExit('loaded')")
    folder(project / "own", images=IMAGES)
    sys.path.insert(0, str(project / "other"))
    sys.path.append(str(project / "own"))
    assert names(Registry.load(project / "own")) == ["resize"]


def test_two_handlers_of_one_name_are_refused_naming_both_places(project: Path) -> None:
    folder(project, images=IMAGES, pictures="\n" + IMAGES)
    with pytest.raises(HandlerError) as refused:
        Registry.load(project)
    assert "handlers.images.resize (images.py:3)" in str(refused.value)
    assert "handlers.pictures.resize (pictures.py:4)" in str(refused.value)


# --- a registry of handlers at hand ----------------------------------------------------------------------


@handler(lane="cpu", queue="images", retries=7, backoff=[5], timeout=60, grace=timedelta(seconds=2))
def resize(source: str) -> None: ...


@handler
def send(to: str) -> None: ...


def test_handlers_are_known_by_name() -> None:
    registry = Registry([send, resize])
    assert registry.handlers == (resize, send)
    assert registry.get("resize") is resize
    assert registry.get("Resize") is None


def test_each_queue_has_the_lane_of_its_handlers() -> None:
    assert Registry([resize, send]).lanes == {"images": "cpu", "default": "io"}


def test_a_queue_that_two_lanes_would_serve_is_refused_naming_both_places() -> None:
    @handler(queue="images")
    def tag(source: str) -> None: ...

    with pytest.raises(HandlerError) as refused:
        Registry([resize, tag])
    assert "queue='images': is served by one lane" in str(refused.value)
    assert "resize (test_registry.py" in str(refused.value)
    assert "tag (test_registry.py" in str(refused.value)


def test_two_registries_know_nothing_of_each_other() -> None:
    assert Registry([resize]).get("send") is None
    assert Registry().handlers == ()


# --- the rules of a job: its own over its handler's over the default ----------------------------------------


@pytest.mark.parametrize(
    ("envelope", "policy"),
    [
        (Envelope("unknown"), Policy()),
        (Envelope("send"), Policy()),
        (Envelope("resize"), Policy(retries=7, backoff=Backoff(delays=(5.0,), jitter=0))),
        (Envelope("resize", retries=0), Policy(retries=0, backoff=Backoff(delays=(5.0,), jitter=0))),
        (Envelope("resize", backoff=Backoff(initial=2)), Policy(retries=7, backoff=Backoff(initial=2))),
        (Envelope("unknown", retries=1), Policy(retries=1)),
    ],
)
def test_the_policy_of_a_job(envelope: Envelope, policy: Policy) -> None:
    assert Registry([resize, send]).policy(envelope) == policy


@pytest.mark.parametrize(
    ("envelope", "timeout", "grace"),
    [
        (Envelope("unknown"), None, 9.0),
        (Envelope("send"), None, 9.0),
        (Envelope("resize"), 60, 2),
        (Envelope("resize", timeout=5, grace=0), 5, 0),
        (Envelope("resize", timeout=1e12, grace=1e12), 1e9, 1e9),
        (Envelope("resize", timeout=-1, grace=-1), 0, 0),
    ],
)
def test_the_times_of_a_job(envelope: Envelope, timeout: float | None, grace: float) -> None:
    registry = Registry([resize, send])
    assert registry.timeout(envelope) == timeout
    assert registry.grace(envelope, default=9.0) == grace

"""`heavylift init`: a project to start from, small enough to read in a minute."""

from __future__ import annotations

import json
from importlib.metadata import distribution
from pathlib import Path
from typing import Annotated

import typer

from heavylift.cli.invocation import command_line
from heavylift.cli.session import Session, command
from heavylift.errors import InvalidArgument

TEMPLATE = Path(__file__).parent / "template"
NAMED = {"gitignore": ".gitignore"}
"""What is called otherwise in the template, so that tools do not take it for their own."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command(init))


def init(
    session: Session,
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="The folder to make, or `.` for this one.")],
) -> None:
    """Write a minimal project: two handlers, settings, a Makefile. Overwrites nothing."""
    files = {folder / _target(source): source for source in sorted(TEMPLATE.rglob("*")) if _is_ours(source)}
    for path in files:
        if path.exists():
            raise InvalidArgument("NAME", str(folder), f"{path} is there already; nothing was written")
    name = folder.resolve().name
    try:
        for path, source in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text("utf-8").replace("NAME", name)
            path.write_text(text.replace("REQUIREMENT", requirement().replace("$", "$$")), "utf-8")
    except OSError as wrong:
        raise InvalidArgument("NAME", str(folder), f"cannot be written: {wrong.strerror}") from None
    session.out.print(f"[green]made[/] {folder}/: " + ", ".join(str(path.relative_to(folder)) for path in files))
    session.out.print("\nnext:", style="dim")
    if folder.resolve() != Path.cwd():
        session.out.print(f"  cd {folder}", markup=False)
    session.out.print(f"  {command_line('worker', folder=folder)}", markup=False)


def requirement() -> str:
    """What pip is to install for this project: the heavylift that runs here, from where it was installed (PEP 610)."""
    said = distribution("heavylift").read_text("direct_url.json")
    if said is None:  # from an index
        return "heavylift[embedded,watch]"
    origin = json.loads(said)
    url = origin["url"]
    if found := origin.get("vcs_info"):
        url = f"{found['vcs']}+{url}@{found['commit_id']}"
    return f"heavylift[embedded,watch] @ {url}"


def _target(source: Path) -> Path:
    path = source.relative_to(TEMPLATE)
    return path.with_name(NAMED.get(path.name, path.name))


def _is_ours(source: Path) -> bool:
    return source.is_file() and "__pycache__" not in source.parts

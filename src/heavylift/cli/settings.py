"""`heavylift settings`: what is set to what, and where that was said."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.session import JsonOption, Session, command
from heavylift.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command(settings))


def settings(session: Session, json: JsonOption = False) -> None:
    """List all settings with their values and where each was said."""
    helps = _helps()
    found = session.settings
    table = output.table("setting", "value", "said by", "what it is", whole=("setting",))
    for f in fields(Settings):
        value, source = _shown(f.name, getattr(found, f.name)), _source(session, found.root, f.name)
        if json:
            output.json_line({"name": f.name, "value": value, "source": source, "help": helps.get(f.name, "")})
        style = "dim" if source == "default" else "default"
        table.add_row(
            Text(f.name, style="bold"),
            Text("" if value is None else str(value)),
            Text(source, style=style),
            Text(helps.get(f.name, ""), "dim"),
        )
    if not json:
        session.out.print(table)


def _shown(name: str, value: Any) -> Any:
    if name == "redis_url":
        return without_password(value) if value else "(embedded server)"
    if name == "middleware":
        return ",".join(value)
    if isinstance(value, Mapping):
        return ",".join(f"{queue}={number}" for queue, number in value.items())
    if isinstance(value, tuple):
        return ":".join(map(str, value))
    return value if value is None or isinstance(value, (int, float, str)) else str(value)


def without_password(url: str) -> str:
    """A Redis URL that may be shown."""
    hidden = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", hidden)


def _source(session: Session, root: Path, name: str) -> str:
    said = {"redis_url": session.said.redis, "prefix": session.said.prefix, "root": session.said.root}
    if said.get(name) is not None:
        return "command line"
    names = [f"HEAVYLIFT_{name.upper()}"] + (["REDIS_URL"] if name == "redis_url" else [])
    if where := next((variable for variable in names if os.environ.get(variable)), None):
        return where
    file = root / "heavylift.toml"
    if file.is_file() and name in tomllib.loads(file.read_text("utf-8")):
        return file.name
    return "default"


def _helps() -> dict[str, str]:
    """What the docstring of `Settings` says of each, by name."""
    found: dict[str, str] = {}
    for names, text in re.findall(r"^ {8}(\w+(?:, \w+)*): (.*(?:\n {9,}.*)*)", Settings.__doc__ or "", re.MULTILINE):
        for name in names.split(", "):
            found[name] = " ".join(text.split())
    return found

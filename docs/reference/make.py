"""Writes docs/reference/api/, a page for each public name from its signature and docstring, and states.md beside it.

`make docs`, or `python docs/reference/make.py`. A test holds the pages to the code.
"""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import griffe

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "docs" / "reference" / "api"
STATES = REPOSITORY / "docs" / "reference" / "states.md"

GIVEN = {"AsyncFlow", "AsyncJob", "Context", "ContextHandler", "Flow", "Handler", "Job", "Log", "Once", "PlainHandler"}
"""Classes whose objects a user is given and never makes: their constructors are not shown."""

INNER = {
    "heavylift.arguments.Arguments",
    "heavylift.parameters.Parameter",
    "heavylift.registry.Registry",
    "heavylift.schedule.Declared",
    "heavylift.testing.harness.AnyClient",
    "heavylift.worker.worker.Worker",
}
"""Types of heavylift's own parts, which a signature may mention without a page."""

VARIABLES = ("TypeVar(", "ParamSpec(")

SECTIONS = {"parameters": "argument", "attributes": "attribute"}


def public_names() -> dict[str, list[str]]:
    """Names by the module that they are imported from."""
    import heavylift
    import heavylift.client
    import heavylift.testing
    import heavylift.why

    return {
        "heavylift": list(heavylift.__all__),
        "heavylift.client": [name for name in heavylift.client.__all__ if name not in heavylift.__all__],
        "heavylift.context": ["InDoubtRule", "JobInfo", "Log"],
        "heavylift.decide": ["CounterName", "Settlement"],
        "heavylift.declaration": ["HandlerOptions", "LaneName"],
        "heavylift.errors": _errors_of("heavylift.errors", but=heavylift.__all__),
        "heavylift.event": ["Event", "Kind"],
        "heavylift.flow": ["FlowSpec", "Node", "Step"],
        "heavylift.handler": ["ContextHandler", "Declare", "Handler", "PlainHandler"],
        "heavylift.inspector": ["AsyncInspector", "Inspector", "QueueCounts", "QueueStatus", "ServerFacts", "Status"],
        "heavylift.job": ["AttemptRecord", "Counters", "Envelope", "JobRecord", "Reason"],
        "heavylift.limits": ["Order", "Unlimited"],
        "heavylift.middleware": ["Attempt", "Enqueuing"],
        "heavylift.once": ["Once"],
        "heavylift.opentelemetry": ["OpenTelemetry"],
        "heavylift.options": ["Durable", "JobRef", "OnLostContact", "OnParentFailure"],
        "heavylift.outcome": ["Outcome"],
        "heavylift.retention": ["AsSet"],
        "heavylift.schedule": ["CatchUp", "Times"],
        "heavylift.testing": list(heavylift.testing.__all__),
        "heavylift.timetable": ["Timetable"],
        "heavylift.unique": ["UniqueMode"],
        "heavylift.why": sorted(
            kind.__name__
            for kind in (heavylift.why.Because, heavylift.why.Parent, *heavylift.why.Because.__subclasses__())
        ),
    }


def _errors_of(module: str, *, but: Collection[str]) -> list[str]:
    """The errors of a module, and what they are made of."""
    names = vars(import_module(module))
    kinds = [name for name, value in names.items() if isinstance(value, type) and value.__module__ == module]
    return sorted({*kinds, "StopReason"} - {*but})


def pages() -> dict[str, str]:
    """Each page's text by its file name."""
    root = griffe.load("heavylift", search_paths=[str(REPOSITORY / "src")], docstring_parser="google", submodules=True)
    found = {(module, name): _resolve(root, module, name) for module, names in public_names().items() for name in names}
    _all_have_pages(root, found)
    made: dict[str, str] = {}
    lines = [
        "# Reference",
        "",
        "Every public name, from the code. How things are done: [how-to](../../howto/README.md).",
    ]
    for module, names in public_names().items():
        lines += ["", f"## `{module}`", "", "| name | |", "|---|---|"]
        for name in names:
            made[file_of(name)] = _page(module, name, found[module, name])
            lines.append(f"| [`{name}`]({file_of(name)}) | {_summary(found[module, name])} |")
    made["README.md"] = "\n".join(lines) + "\n"
    return made


def file_of(name: str) -> str:
    """The page of a name. Two that differ in their case alone would be one file on some disks."""
    return "Handler-class.md" if name == "Handler" else f"{name}.md"


def _all_have_pages(root: Any, found: Mapping[tuple[str, str], Any]) -> None:
    """Every type of ours that a public signature mentions has a page, and every error that may be raised.

    Raises:
        LookupError: some have none; names them, and where they are mentioned.
    """
    paged = {page.path for page in found.values()}
    names = {name for _, name in found}
    lacking = {}
    for (_, name), page in found.items():
        for member in _shown(page, name):
            for path in _mentioned(root, member):
                if path not in INNER and path not in paged:
                    lacking[path] = f"{name}.{member.name}"
            for error in _raised(member) - names:
                if not hasattr(builtins, error):
                    lacking[error] = f"{name}.{member.name}"
    if lacking:
        said = ", ".join(f"{what} (in {where})" for what, where in sorted(lacking.items()))
        raise LookupError(f"public signatures mention what has no page: {said}; add it to public_names")


def _shown(page: Any, name: str) -> list[Any]:
    if not page.is_class:
        return [page]
    init = page.all_members.get("__init__")
    return [*_public(page), page, *([init] if init is not None and name not in GIVEN else [])]


def _mentioned(root: Any, member: Any) -> set[str]:
    """Types of ours in the signature of something, by where they are defined. Type variables are none."""
    if member.is_function:
        each = [member, *(member.overloads or [])]
        kinds = [kind for one in each for kind in (*(p.annotation for p in one.parameters), one.returns)]
    else:
        kinds = [member.annotation] if member.is_attribute else []
    names = [part for kind in kinds if isinstance(kind, griffe.Expr) for part in kind.iterate(flat=True)]
    paths = {part.canonical_path for part in names if isinstance(part, griffe.ExprName)}
    ours = [
        root[path.removesuffix(".args").removesuffix(".kwargs").removeprefix("heavylift.")]
        for path in paths
        if path.startswith("heavylift.")
    ]
    defined = [one.final_target if one.is_alias else one for one in ours]
    return {one.path for one in defined if not (one.is_attribute and str(one.value).startswith(VARIABLES))}


def _raised(member: Any) -> set[str]:
    sections = member.docstring.parse("google", warnings=False) if member.docstring else []
    lines = [str(one.annotation) for section in sections if section.kind.value == "raises" for one in section.value]
    return {name.strip("() ") for line in lines for name in line.split(",")}


def _resolve(root: Any, module: str, name: str) -> Any:
    """Where the name is defined: the stub of the package, or the package of tests, says."""
    found = root[f"{module.removeprefix('heavylift').lstrip('.')}.{name}".lstrip(".")]
    while found.is_alias:
        found = found.final_target
    return found[name] if found.is_module else found  # `handler` is a module, too


def _page(module: str, name: str, found: Any) -> str:
    lines = [f"# `{name}`", "", "```python", f"from {module} import {name}", "```", ""]
    if found.is_class:
        lines += _class(name, found)
    elif found.is_attribute:
        lines += [*_code(f"{name} = {found.value}"), *_docstring(found)]
    else:
        lines += _callable(name, found)
    lines += ["---", "", f"[All names](README.md) · defined in `{found.module.path}`"]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _class(name: str, found: Any) -> list[str]:
    bases = ", ".join(f"`{base}`" for base in found.bases)
    lines = [f"Is a {bases}.", ""] if bases else []
    init = None if name in GIVEN else found.all_members.get("__init__")
    if init is not None and init.is_function:
        lines += _code(_signature(name, init, constructor=True))
    lines += _docstring(found)
    if init is not None and init.is_function and init.docstring:
        lines += _docstring(init)
    fields = [m for m in _public(found) if m.is_attribute and "property" not in m.labels and m.annotation is not None]
    if fields:
        lines += ["## Types of its attributes", "", "| attribute | type | default |", "|---|---|---|"]
        lines += [f"| `{m.name}` | {_cell(m.annotation)} | {_cell(m.value)} |" for m in fields] + [""]
    for member in _public(found):
        if member.is_function:
            lines += [f"## `{member.name}`", "", *_callable(member.name, member)]
        elif member.is_attribute and "property" in member.labels:
            kind = f" -> {member.annotation}" if member.annotation is not None else ""
            lines += [f"## `{member.name}`", "", *_code(f"{member.name}{kind}  # property"), *_docstring(member)]
    return lines


def _public(found: Any) -> list[Any]:
    members = []
    for name, member in found.all_members.items():
        if name.startswith("_"):
            continue
        while member.is_alias:
            member = member.final_target
        members.append(member)
    return sorted(members, key=lambda m: (m.parent.path != found.path, m.lineno or 0))


def _callable(name: str, found: Any) -> list[str]:
    shown = [_signature(name, one) for one in (found.overloads or [found])]
    return [*_code("\n".join(shown)), *_docstring(found)]


def _signature(name: str, found: Any, *, constructor: bool = False) -> str:
    parts = []
    star = False
    for p in found.parameters:
        if p.name in ("self", "cls"):
            continue
        kind = str(p.kind.value)
        if kind == "keyword-only" and not star:
            parts.append("*")
            star = True
        if kind.startswith("variadic"):
            star = True
            parts.append(f"{'**' if 'keyword' in kind else '*'}{p.name}: {p.annotation}")
            continue
        typed = f"{p.name}: {p.annotation}" if p.annotation is not None else p.name
        parts.append(f"{typed} = {p.default}" if p.default is not None else typed)
    returns = "" if constructor or found.returns is None else f" -> {found.returns}"
    mark = "async " if "async" in found.labels else ""
    line = f"{mark}{name}({', '.join(parts)}){returns}"
    if len(line) <= 110:
        return line
    return f"{mark}{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def _docstring(found: Any) -> list[str]:
    if found.docstring is None:
        return []
    lines: list[str] = []
    for section in found.docstring.parse("google", warnings=False):
        kind = section.kind.value
        if kind == "text":
            lines += [section.value, ""]
        elif kind in ("parameters", "attributes"):
            lines += [f"| {SECTIONS[kind]} | is |", "|---|---|"]
            lines += [f"| {_names(one)} | {_flat(one.description)} |" for one in section.value] + [""]
        elif kind == "raises":
            lines += ["| raises | when |", "|---|---|"]
            lines += [f"| {_errors(one.annotation)} | {_flat(one.description)} |" for one in section.value] + [""]
        elif kind in ("returns", "yields"):
            lines += [f"**Returns** {_flat(' '.join(one.description for one in section.value))}", ""]
        elif kind == "admonition":
            lines += [f"**{section.title}** {section.value.contents}", ""]
    return lines


def _names(one: Any) -> str:
    """The names a line explains: griffe takes what follows the first of several for its type."""
    names = f"{one.name} {one.annotation}" if one.name.endswith(",") else one.name
    return ", ".join(f"`{name.strip()}`" for name in names.split(","))


def _errors(annotation: object) -> str:
    return ", ".join(f"`{name.strip()}`" for name in str(annotation).strip("()").split(","))


def _summary(found: Any) -> str:
    return _flat(found.docstring.value.partition("\n\n")[0]) if found.docstring else ""


def _code(text: str) -> list[str]:
    return ["```text", text, "```", ""]


def _cell(value: Any) -> str:
    return "" if value is None else f"`{_flat(str(value))}`"


def _flat(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


STATES_INTRO = """# The states of a job

Drawn from the table in `heavylift/states.py` by `make docs`; do not edit.

Every move is one script, named here as in [What is in Redis](redis-keys.md#scripts); whoever runs it, the move is made
as a whole or not at all. A job is in exactly one state. Each change of state is an event of its name, but for the
removal of what was kept long enough, which is not told."""


def states_page() -> str:
    """The page of states: what happens by itself, what is done by hand, and the table."""
    from heavylift.states import MOVES, Who

    own = [move for move in MOVES if move.who is not Who.CLIENT]
    by_hand = [move for move in MOVES if move.who is Who.CLIENT]
    parts = [STATES_INTRO, "## By itself", _diagram(own), "## By hand", _diagram(by_hand), "## The table"]
    rows = {}
    for move in MOVES:
        rows.setdefault((move.verb, move.who, move.after, move.when), []).append(_state(move.before))
    lines = ["| verb | asked for by | from | to | when |", "|---|---|---|---|---|"]
    for (verb, who, after, when), before in rows.items():
        lines.append(f"| `{verb}` | {who} | {', '.join(before)} | {_state(after)} | {when} |")
    return "\n\n".join([*parts, "\n".join(lines)]) + "\n"


def _state(state: Any) -> str:
    return "-" if state is None else f"`{state}`"


def _diagram(moves: list[Any]) -> str:
    verbs: dict[tuple[str, str], dict[str, None]] = {}
    for move in moves:
        verbs.setdefault((move.before or "[*]", move.after or "[*]"), {})[move.verb] = None
    arrows = [f"    {before} --> {after}: {', '.join(names)}" for (before, after), names in verbs.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", *arrows, "```"])


def main() -> None:
    """Write what has changed, and remove pages of names that are gone."""
    FOLDER.mkdir(exist_ok=True)
    made = pages()
    for page in FOLDER.glob("*.md"):
        if page.name not in made:
            page.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, "utf-8")
    STATES.write_text(states_page(), "utf-8")
    print(f"{len(made)} pages in {FOLDER}", file=sys.stderr)


if __name__ == "__main__":
    main()

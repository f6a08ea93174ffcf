"""`heavylift enqueue`: jobs from the command line, one for each value that stands there without a name.

The options of a handler are made from its signature, so they are only known once it is loaded. So this command takes
what it knows out of the line, loads the handlers, and lets a typer application made for the one handler read the rest.
"""

from __future__ import annotations

import inspect
import re
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text

from heavylift.cli import asking, joboptions
from heavylift.cli.exits import BAD_INPUT
from heavylift.cli.session import JsonOption, Session, command, with_options
from heavylift.errors import InvalidArgument
from heavylift.handler import Handler
from heavylift.job import JobSpec
from heavylift.registry import Registry

ModulesOption = Annotated[
    list[str] | None,
    typer.Option("--module", "-m", help="A module with handlers, beside the folder handlers/.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    loose = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=loose, add_help_option=False, options_metavar="")(command(enqueue))


def enqueue(
    session: Session,
    handler: Annotated[
        str | None,
        typer.Argument(metavar="HANDLER", help="Its name; `heavylift handlers` lists them.", show_default=False),
    ] = None,
    module: ModulesOption = None,
    help: Annotated[bool, typer.Option("--help", "-h", help="Show this, or what a handler takes.")] = False,
) -> None:
    """Enqueue jobs: `enqueue HANDLER [VALUE]... [OPTIONS]`; with --wait, show how they get on and what came of them.

    Each VALUE fills the handler's first parameter, one job each. `enqueue HANDLER --help` shows the options.
    """
    if handler is None:
        typer.echo(session.context.get_help())
        if help:
            _list(session, Registry.load(session.settings.root, module or ()))
        raise typer.Exit(0 if help else BAD_INPUT)
    registry = Registry.load(session.settings.root, module or ())
    rest = [*session.context.args, *(["--help"] if help else [])]
    code = application(handler, registry)(
        args=rest,
        prog_name=f"{session.context.command_path} {handler}",
        obj=session.said,
        standalone_mode=False,
    )
    if code:
        raise typer.Exit(code)


def _list(session: Session, registry: Registry) -> None:
    for found in registry.handlers:
        session.out.print(Text.assemble("   ", (found.name, "bold cyan"), f"  {found.summary}"), soft_wrap=True)


def application(name: str, registry: Registry) -> typer.Typer:
    """A typer application for one handler; for a name that no code is here for, one that takes `--args`."""
    found = registry.get(name)
    first: asking.Asked | None = None
    others: list[asking.Asked] = []
    own = [*joboptions.parameters(), *inspect.signature(_others, eval_str=True).parameters.values()]
    if found is None:
        text = f"No handler named {name} is loaded here. Say its arguments and queue: --args '{...}' --queue NAME"
    else:
        text = _help(found)
        first, others = asking.ask_for(found, _taken(own))
    parameters = ([first.as_positionals()] if first else []) + [one.as_option() for one in others] + own

    def run(session: Session, **given: Any) -> None:
        from heavylift.cli.enqueueing import enqueue_all

        specs = requests(session, name, found, registry, given)
        enqueue_all(session, specs, joboptions.read(given), wait=given["wait"], json=given["json"])

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    loose = {"allow_extra_args": True, "ignore_unknown_options": True} if found is None else {}
    settings = {"help_option_names": ["-h", "--help"], **loose}
    app.command(name, help=escape(text), context_settings=settings)(with_options(run, parameters))
    return app


def _others(
    arg: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="An argument whose name is also that of an option.",
            rich_help_panel=joboptions.PANEL,
        ),
    ] = None,
    args: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="All arguments as one JSON object.", rich_help_panel=joboptions.PANEL),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Show their progress and their results.")] = False,
    json: JsonOption = False,
) -> None:
    """Only its signature counts: what `enqueue` takes beside the options of the job."""


_OF_EVERY_COMMAND = ("--redis", "--prefix", "--root", "--debug", "--module", "--help")


def _taken(own: list[inspect.Parameter]) -> set[str]:
    """Options that mean something else than an argument of the handler."""
    return {"--" + parameter.name.replace("_", "-") for parameter in own} | set(_OF_EVERY_COMMAND)


def requests(
    session: Session, name: str, found: Handler[..., Any] | None, registry: Registry, given: dict[str, Any]
) -> list[JobSpec[Any]]:
    """The requests that a command line asks for.

    Raises:
        InvalidArgument: no such handler, or its arguments do not fit it.
    """
    common = asking.named(found, given["arg"] or ())
    if given["args"] is not None:
        common = {**asking.stated(given["args"]), **common}
    if found is None:
        if given["args"] is None:
            known = ", ".join(handler.name for handler in registry.handlers) or "none"
            raise InvalidArgument(
                "HANDLER",
                name,
                f"is not loaded here (known: {known}); if its code is elsewhere, give --args and --queue",
            )
        return [JobSpec(name, common, given["queue"] or "default")]
    first, others = asking.ask_for(found, ())
    for one in others:
        if (answer := given.get(one.key)) is not None:
            common[one.parameter.name] = one.read(answer)
    return [found.job(**{**one, **common, **one}) for one in _each(session, first, given)]


def _each(session: Session, first: asking.Asked | None, given: dict[str, Any]) -> list[dict[str, Any]]:
    """What differs between the jobs: the first argument."""
    answers = None if first is None else given.get(first.key)
    if first is None or not answers:
        return [{}]
    if first.text:
        answers = [asking.relocated(answer, session.settings.root) for answer in answers]
    if first.listed:
        return [{first.parameter.name: answers}]
    return [{first.parameter.name: first.read(answer)} for answer in answers]


def _help(found: Handler[..., Any]) -> str:
    """What a handler's docstring says before its sections, each paragraph on one line."""
    text = re.split(r"^(?:Args|Arguments|Parameters|Returns|Raises):", _doc(found), maxsplit=1, flags=re.MULTILINE)[0]
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]
    return "\n\n".join(paragraphs) if text.strip() else f"Enqueue {found.name}."


def _doc(found: Handler[..., Any]) -> str:
    return inspect.cleandoc(found.function.__doc__ or "")

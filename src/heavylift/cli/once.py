"""`heavylift once`: effects that must happen once, and what became of one that is in doubt."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.session import JsonOption, Session, command
from heavylift.errors import UNREADABLE, EffectNotFound, InvalidArgument

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="As given to ctx.once.")]
ForgetOption = Annotated[bool, typer.Option("--forget", help="It has not happened: the next run does it.")]
DoneOption = Annotated[
    str | None,
    typer.Option(
        metavar="JSON", help="It has happened, with this result: later runs are given it.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command(once))


def once(
    session: Session, key: KeyArgument, forget: ForgetOption = False, done: DoneOption = None, json: JsonOption = False
) -> None:
    """Show an effect of ctx.once, or say what became of one that is in doubt. Then replay its job."""
    from heavylift.cli.doors import client_of

    if forget and done is not None:
        raise InvalidArgument("done", done, "give either --forget or --done")
    client = client_of(session)
    if forget:
        _say(session, key, "forgotten" if client.forget_effect(key) else "nothing is known of it", json)
    elif done is not None:
        client.effect_done(key, _value(done))
        _say(session, key, "done", json)
    else:
        record = client.effect(key)
        if record is None:
            raise EffectNotFound(key)
        result = msgspec.json.decode(record.result) if record.done else None
        facts = {"key": key, "how": "done" if record.done else "begun", "job": record.job, "queue": record.queue}
        if json:
            output.json_line({**facts, "begun_at": record.begun_at, "done_at": record.done_at, "result": result})
            return
        session.out.print(Text.assemble((key, "bold"), "  ", (facts["how"], "green" if record.done else "yellow")))
        session.out.print(Text(f"begun by job {record.job} of queue {record.queue}" if record.job else "said by hand"))
        if record.done:
            session.out.print(Text(output.compact(result)))


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except UNREADABLE as wrong:
        raise InvalidArgument("done", text, f"give JSON ({wrong})") from None


def _say(session: Session, key: str, how: str, json: bool) -> None:
    if json:
        output.json_line({"key": key, "how": how})
    else:
        session.out.print(Text.assemble((key, "bold"), "  ", how))

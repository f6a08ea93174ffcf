"""`heavylift acl`: the rights that each role needs in Redis, as commands that give them."""

from __future__ import annotations

import secrets
import sys
from typing import Annotated, cast

import typer

from heavylift.cli import output
from heavylift.cli.session import JsonOption, Session, command
from heavylift.errors import InvalidArgument
from heavylift.options import NAME, Durable

RolesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ROLE]...", help="producer, worker, reader, operator. All if none is named.", show_default=False
    ),
]
QueuesOption = Annotated[
    list[str] | None,
    typer.Option("--queue", "-q", help="Only this queue; may be given again. Else all queues.", show_default=False),
]
DurableOption = Annotated[
    str | None, typer.Option(help="For producers: fast, fsync or replicated. Else the setting.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command(acl))


def acl(
    session: Session,
    roles: RolesArgument = None,
    queue: QueuesOption = None,
    durable: DurableOption = None,
    json: JsonOption = False,
) -> None:
    """Print the Redis users that producers, workers, readers and operators need, each with a fresh password.

    Nothing is sent: pipe it into redis-cli, or change it first.
    """
    from heavylift.store.roles import ROLES, rules

    settings = session.settings_with(durable=durable)
    for role in roles or ():
        if role not in ROLES:
            raise InvalidArgument("role", role, f"give {', '.join(ROLES)}")
    for name in queue or ():
        if not NAME.fullmatch(name):
            raise InvalidArgument("queue", name, "use 1 to 100 letters, digits and _ . -")
    level = cast(Durable, settings.durable)
    for role in roles or ROLES:
        given = rules(role, settings.prefix, queue or (), durable=level, cluster=settings.cluster)
        user, password = f"{settings.prefix}-{role}", secrets.token_urlsafe(24)
        line = ["ACL", "SETUSER", user, "reset", "on", f">{password}", *given]
        if json:
            output.json_line({"role": role, "does": ROLES[role].does, "user": user, "rules": given, "command": line})
        else:
            sys.stdout.write(" ".join(line) + "\n")

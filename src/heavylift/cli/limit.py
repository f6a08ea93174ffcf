"""`heavylift limit`: what is limited in a queue, over all workers, and by what its jobs take turns."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.nearest import warn_if_unknown
from heavylift.cli.session import JsonOption, Session, command
from heavylift.errors import InvalidArgument
from heavylift.limits import STRICT_STEP, Limit, Order, QueueLimits, Unlimited

QueueArgument = Annotated[
    str | None, typer.Argument(metavar="QUEUE", help="Its name; all queues if not given.", show_default=False)
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Limit this group of the queue: a handler, or what handlers name as their group.",
        show_default=False,
    ),
]
PerKeyOption = Annotated[bool, typer.Option("--per-key", help="Limit each key of the group.", show_default=False)]
ConcurrencyOption = Annotated[
    str | None, typer.Option(metavar="N", help="So many jobs may run at once; or unlimited.", show_default=False)
]
RateOption = Annotated[
    str | None, typer.Option(metavar="RATE", help="So many may start: 100/min, 10/s; or unlimited.", show_default=False)
]
BurstOption = Annotated[
    int | None, typer.Option(metavar="N", help="So many of them at once, after a pause.", show_default=False)
]
LiftOption = Annotated[bool, typer.Option("--lift", help="Lift both limits.", show_default=False)]
OrderOption = Annotated[
    Order | None,
    typer.Option(
        metavar="ORDER", help="fair: keys take turns; priority: the best rank of all goes first.", show_default=False
    ),
]
StepOption = Annotated[
    str | None,
    typer.Option(metavar="SECONDS", help="Waiting that one unit of priority is worth; or strict.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command(limit))


def limit(
    session: Session,
    queue: QueueArgument = None,
    group: GroupOption = None,
    per_key: PerKeyOption = False,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    burst: BurstOption = None,
    lift: LiftOption = False,
    order: OrderOption = None,
    step: StepOption = None,
    json: JsonOption = False,
) -> None:
    """Show what is limited in a queue, over all workers; set limits, or lift them."""
    from heavylift.cli.doors import client_of

    client = client_of(session)
    known = client.queues()
    if lift:
        if (concurrency, rate, burst) != (None, None, None):
            raise InvalidArgument("--lift", lift, "goes without --concurrency, --rate and --burst")
        concurrency = rate = "unlimited"
    elif (group or per_key) and concurrency is None and rate is None:
        raise InvalidArgument("--group", group, "say what to limit: --concurrency, --rate, or --lift")
    limited = any(said is not None for said in (concurrency, rate, burst))
    if queue is None:
        if limited or order or step:
            raise InvalidArgument("QUEUE", queue, "say of which queue")
        queues = known
    else:
        queues = [queue]
        if limited:
            most = _number(concurrency)
            if lift and not _is_limited(client.limits(queue), group, per_key):
                session.err.print("there was no such limit; nothing was lifted", style="dim")
            client.limit(queue, group=group, per_key=per_key, concurrency=most, rate=rate, burst=burst)
        if order:
            client.order(queue, order)
        if step:
            client.step(queue, _seconds(step))
    if queue is not None:
        warn_if_unknown(session, known, queue)
    for name in queues:
        limits = client.limits(name)
        if json:
            output.json_line({"queue": name, "order": limits.order, "step": limits.step, "limits": limits.limits})
        else:
            session.out.print(page(name, limits))


def _is_limited(found: QueueLimits, group: str | None, per_key: bool) -> bool:
    return any((one.group, one.per_key) == (group, per_key) for one in found.limits)


def page(queue: str, found: QueueLimits) -> RenderableType:
    """The limits of one queue as a page."""
    head = Text.assemble((queue, "bold"), f"  order {found.order}")
    step = "strict" if found.step >= STRICT_STEP else f"step {output.duration(found.step)}"
    head.append(f" · {step}", style="dim")
    if not found.limits:
        return Group(head, Text("  no limits", style="dim"))
    table = output.table("  of", "at once", "rate", "burst", "said", right=("at once", "burst"), whole=("  of",))
    for one in found.limits:
        table.add_row(
            f"  {place(one)}",
            "" if one.concurrency is None else f"{one.concurrency:,}",
            "" if one.rate is None else str(one.rate),
            "" if one.rate is None else f"{one.rate.at_once:,}",
            Text("by its handler" if one.declared else "by hand", style="dim"),
        )
    return Group(head, table)


def place(one: Limit) -> str:
    """What is limited, in words."""
    if one.group is None:
        return "the queue"
    return f"each key of {one.group}" if one.per_key else one.group


def _number(text: str | None) -> int | Unlimited | None:
    if text is None or text == "unlimited":
        return cast(Unlimited | None, text)
    if not text.isdecimal():
        raise InvalidArgument("--concurrency", text, "give a whole number, or unlimited")
    return int(text)


def _seconds(text: str) -> float | Literal["strict"]:
    if text == "strict":
        return "strict"
    try:
        return float(text)
    except ValueError:
        raise InvalidArgument("--step", text, "give seconds, or strict") from None

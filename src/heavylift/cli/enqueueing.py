"""What `heavylift enqueue` does once it knows the requests: put them in, show how they get on, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import typer
from rich.text import Text

from heavylift.cli import output
from heavylift.cli.bars import Board, LiveBoard
from heavylift.cli.doors import client_of
from heavylift.cli.exits import FAILED
from heavylift.cli.failed import last_words
from heavylift.cli.invocation import command_line
from heavylift.cli.nearest import meant
from heavylift.cli.session import Session
from heavylift.client import Client, Job
from heavylift.errors import InvalidArgument, JobNotFound
from heavylift.event import Event, Kind
from heavylift.job import JobRecord, JobSpec, State
from heavylift.redaction import redacted

FEW = 20
"""Jobs that get a line each; of more, only those that run."""

ROOMY = 100
"""Columns from which on the results have their ids with them."""

MANY = 100
"""Results that are shown one by one; of more, only what did not complete."""


def enqueue_all(
    session: Session, specs: Sequence[JobSpec[Any]], options: Mapping[str, Any], *, wait: bool, json: bool
) -> None:
    """Enqueue them; with `wait`, stay until all have ended, and exit with 1 if one did not complete."""
    if "id" in options and len(specs) > 1:
        raise InvalidArgument("--id", options["id"], f"is for one job, and these are {len(specs)}")
    client = client_of(session)
    known = client.queues() if "queue" in options else None
    jobs = _put(client, specs, options)
    labels = {job.id: label(spec) for job, spec in zip(jobs, specs, strict=True)}
    if not json:
        _warn_of_nobody(session, client, jobs, known)
    if not wait:
        for job in jobs:
            _tell(session, job, labels[job.id], json)
        return
    bad = _wait(session, client, jobs, labels, json)
    raise typer.Exit(FAILED if bad else 0)


def _put(client: Client, specs: Sequence[JobSpec[Any]], options: Mapping[str, Any]) -> list[Job[Any]]:
    if len(specs) == 1:
        return [client.enqueue(specs[0], **options)]
    return client.enqueue_many(specs, **options)


def _tell(session: Session, job: Job[Any], what: str, json: bool) -> None:
    if json:
        output.json_line({"id": job.id, "queue": job.queue, "duplicate": job.duplicate})
    elif session.out.is_terminal:
        was_there = "  was there already" if job.duplicate else ""
        session.out.print(Text.assemble(job.id, (f"  {what}", "dim"), (was_there, "yellow")), soft_wrap=True)
    else:
        session.out.print(job.id, soft_wrap=True)
        if job.duplicate:
            _tell_of_duplicates(session, [job.id])


def _tell_of_duplicates(session: Session, ids: Sequence[str]) -> None:
    """Say so beside the output, which is ids or results and nothing else."""
    lines = [f"{id} was there already" for id in ids] if len(ids) <= FEW else [f"{len(ids):,} were there already"]
    session.err.print(Text("\n".join(lines), style="yellow"), soft_wrap=True)


def label(spec: JobSpec[Any]) -> str:
    """A job in few words: its handler and its first argument."""
    first = next(iter(redacted(spec.args, spec.options.secret).values()), None)
    return f"{spec.handler} {output.compact(first, 60)}".strip()


# --- waiting ------------------------------------------------------------------------------------------


def _wait(session: Session, client: Client, jobs: Sequence[Job[Any]], labels: Mapping[str, str], json: bool) -> int:
    """Show the jobs' progress until all have ended; how many did not complete."""
    distinct = list(dict.fromkeys(jobs))
    duplicates = {job.id: None for job in jobs if job.duplicate}
    board = Board(most=FEW, total=len(distinct))
    for job in distinct:
        board.add(job.id, labels[job.id])
    if not json:
        _announce(session, distinct)
        if duplicates:
            _tell_of_duplicates(session, list(duplicates))
    bad = 0
    records: list[JobRecord | None] = []
    with LiveBoard(session.err if json else session.out, board):
        for event in client.watch(*distinct):
            _draw(board, event)
            if event.event.final:
                record = _record(client, event)
                bad += record is None or record.state != State.COMPLETED
                records.append(record)
                if json and record is not None:
                    output.json_line({**_fields(record), "duplicate": record.id in duplicates})
    if not json:
        session.out.print("", results(distinct, records, labels, with_ids=session.out.width >= ROOMY), sep="\n")
    return bad


def _announce(session: Session, jobs: Sequence[Job[Any]]) -> None:
    """The ids, so that whoever leaves can look again; of many only how many."""
    if len(jobs) <= FEW:
        session.err.print(Text(" ".join(job.id for job in jobs), style="dim"))
    else:
        session.err.print(Text(f"{len(jobs):,} jobs", style="dim"))


def _warn_of_nobody(session: Session, client: Client, jobs: Sequence[Job[Any]], known: Sequence[str] | None) -> None:
    """Say so if nobody serves a queue now; and what may have been meant, if it was not among the `known` ones."""
    served = {queue for worker in client.workers() for queue in worker.get("queues") or ()}
    for queue in sorted({job.queue for job in jobs} - served):
        hint = "" if known is None or queue in known else meant(queue, [*known, *served])
        hint = hint or f"; to start one: {command_line('worker')}"
        line = f"no worker serves the queue {queue} now{hint}"
        session.err.print(Text(line, style="yellow"), soft_wrap=True)


def _draw(board: Board, event: Event) -> None:
    if event.event is Kind.PROGRESS:
        if event.progress is not None:
            board.progress(event.job, event.progress)
    elif event.event is Kind.REMOVED:
        board.enter(event.job, State.CANCELLED, "removed")
    elif event.event is not Kind.STALLED:
        board.enter(event.job, event.event.value, event.detail if event.event is Kind.FAILED else "")


def _record(client: Client, event: Event) -> JobRecord | None:
    """The job as it ended; None if it is gone already."""
    try:
        return client.job(event.job, event.queue).record()
    except JobNotFound:
        return None


def _fields(record: JobRecord) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def results(
    jobs: Sequence[Job[Any]], records: Sequence[JobRecord | None], labels: Mapping[str, str], *, with_ids: bool = True
) -> Any:
    """The table of what came of the jobs, in the order in which they were asked for; of many, of those that failed."""
    by_id = {record.id: record for record in records if record is not None}
    if len(jobs) > MANY:
        completed = {id for id, record in by_id.items() if record.state == State.COMPLETED}
        jobs = [job for job in jobs if job.id not in completed]
        if not jobs:
            return Text(f"all {len(completed):,} completed", style="green")
    ids = ["id"] if with_ids else []
    table = output.table(*ids, "job", "state", "took", "result", right=("took",), whole=("id", "state"))
    for job in jobs:
        record = by_id.get(job.id)
        if record is None:
            outcome = [Text("gone", style="yellow"), Text(), Text("removed before it could be read")]
        else:
            outcome = _outcome(record)
        table.add_row(*([Text(job.id, style="dim")] if with_ids else []), Text(labels[job.id]), *outcome)
    return table


def _outcome(record: JobRecord) -> list[Text]:
    """State, time taken, and result or reason."""
    good = record.state == State.COMPLETED
    said = output.result(record.result, 120) if good else f"{record.reason or ''}: {last_words(record)}".strip(": ")
    took = output.took(record.started_at, record.finished_at)
    shown = Text(said, no_wrap=True, overflow="ellipsis") if good else Text(said, style="red")
    return [output.state(record.state), Text(took), shown]

"""The way from a command's session to Redis. Loaded only by commands that go there."""

from __future__ import annotations

from heavylift.cli.session import Session
from heavylift.client import Client, Job


def client_of(session: Session) -> Client:
    """A client, closed when the command ends."""
    client = Client(settings=session.settings)
    session.closing.callback(client.close)
    return client


def jobs_of(session: Session, ids: list[str], queue: str | None) -> list[Job[object]]:
    """Jobs by id, looked for in all queues unless one is named.

    Raises:
        JobNotFound: one is nowhere.
    """
    client = client_of(session)
    return [client.job(id, queue) for id in ids]

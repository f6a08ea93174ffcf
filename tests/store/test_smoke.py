"""The shortest life: enqueued, claimed, extended, settled, and told so."""

from __future__ import annotations

from heavylift.decide import Settlement
from heavylift.event import Kind, decode
from heavylift.job import AttemptRecord, State
from heavylift.store.channel import Channel
from heavylift.store.connection import Connection
from heavylift.store.jobs import Jobs, NewJob, SettleItem
from tests.waiting import wait_until

SPEC = b'{"handler":"resize","args":{"width":800}}'


def test_a_job_goes_from_enqueued_to_completed_and_every_step_is_told(connection: Connection) -> None:
    jobs = Jobs("heavylift")
    channel = Channel(connection.target)
    channel.psubscribe([jobs.keys("images").event_pattern()])
    told: list[tuple[str, bytes]] = []
    wait_until("subscribed", lambda: connection.command("PUBSUB", "NUMPAT") == 1)

    [enqueued] = connection.ask(jobs.enqueue("images", [NewJob("j1", SPEC, "resize")], "n1"))
    assert (enqueued.state, enqueued.duplicate) == (State.WAITING, False)

    reply = connection.ask(jobs.claim("images", "w1", 1, 4, 30_000, 5_000))
    [claimed] = reply.jobs
    assert (claimed.id, claimed.token, claimed.spec, claimed.counters.starts) == ("j1", "w1.1", SPEC, 1)
    assert not reply.more
    assert reply.next_due_ms is None

    extended = connection.ask(jobs.extend("images", [("j1", "w1.1"), ("j1", "w0.9")], 30_000))
    assert (extended.lost, extended.cancelled) == (["j1"], [])

    record = AttemptRecord(1, "w1", claimed.started_at, claimed.started_at + 5, "completed")
    item = SettleItem("j1", "w1.1", Settlement(State.COMPLETED, result=b"42"), record)
    assert connection.ask(jobs.settle("images", "w1", 1, [item])) == ["ok"]

    stored = connection.ask(jobs.job("images", "j1"))
    assert stored is not None
    assert (stored.state, stored.result, stored.args) == (State.COMPLETED, 42, {"width": 800})
    assert stored.attempts == [record]
    counts = connection.ask(jobs.counts("images"))
    assert (counts.waiting, counts.active, counts.completed) == (0, 0, 1)

    wait_until("three events", lambda: told.extend(channel.read()) or len(told) == 3)
    assert [decode(message).event for _, message in told] == [Kind.WAITING, Kind.ACTIVE, Kind.COMPLETED]
    assert {name for name, _ in told} == {jobs.keys("images").event_pattern()}
    channel.close()

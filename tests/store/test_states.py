"""Each row of the table of states, shown by the store. That no verb does anything else, every model shows.

The models (`machines.run`, the flows) ask through a `Recorder`, which fails at a move that is not in the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from heavylift.decide import Settlement
from heavylift.job import State
from heavylift.states import ENDED, MOVES, OPEN, UNSTARTED, may
from heavylift.store import scripts
from tests.servers import Server
from tests.store.flows import DONE, FAILED, Flows
from tests.store.moves import TABLE, Recorder

LUA = Path(scripts.__file__).parent / "lua"
HOUR, MONTH = 3_600_000, 30 * 86_400_000
CANCELLED = Settlement(State.CANCELLED)


@contextmanager
def recorded(server: Server) -> Iterator[tuple[Flows, Recorder, redis.Redis]]:
    with server.client() as client:
        recorder = Recorder(server.url, client)
        try:
            yield Flows(recorder), recorder, client
        finally:
            recorder.close()


def test_every_row_of_the_table_can_be_seen(any_server: Server) -> None:
    with recorded(any_server) as (flows, recorder, client):
        alone(flows, client)
        repaired(flows)
        of_flows(flows, client)
        expired(flows)
        assert recorder.seen == TABLE


def alone(flows: Flows, client: redis.Redis) -> None:
    """Put in, claimed, settled in every way, taken over, swept."""
    flows.put("a now")
    flows.put("a later", delay_ms=1000)
    flows.put("a debounced", unique="d.x", quiet_ms=1000)
    flows.put("a another", unique="d.x", quiet_ms=1000)
    flows.later(2000)
    flows.claim("a", 3)
    flows.later(HOUR)
    (taken, *others) = flows.connection.ask(flows.verbs.takeover("a", "w2", 10**6, 1000, 10))
    delayed, waiting = Settlement(State.DELAYED, delay=1.0), Settlement(State.WAITING, keep_rank=True)
    for job, settlement in zip([taken, *others], [DONE, delayed, waiting], strict=True):
        flows.settle(job, settlement)
    flows.later(2000)
    for job, settlement in zip(flows.claim("a", 2), [FAILED, CANCELLED], strict=True):
        flows.settle(job, settlement)
    flows.later(MONTH)
    flows.sweep("a", keep=0)

    flows.put("a unreadable")
    client.hdel("heavylift:{a}:job:unreadable", "spec")
    flows.put("a lost", delay_ms=1000)
    client.delete("heavylift:{a}:job:lost")
    flows.later(2000)
    flows.claim("a")


def repaired(flows: Flows) -> None:
    """Cancelled, moved, deleted and replayed by hand."""
    ask, verbs = flows.connection.ask, flows.verbs
    for verb in (verbs.cancel, verbs.remove):
        flows.put("b waiting")
        flows.put("b delayed", delay_ms=1000)
        flows.enqueue("b blocked", "b waiting")
        for id in ("blocked", "delayed", "waiting"):
            ask(verb("b", id))
            ask(verbs.remove("b", id))

    flows.put("b moved")
    for due in (1000, 2000, 0, 1000):
        ask(verbs.reschedule("b", "moved", due, relative=True))
    ask(verbs.promote("b", "moved"))
    for settlement in (FAILED, CANCELLED, DONE):
        flows.run("b moved", settlement)
        ask(verbs.replay("b", ["moved"], f"r{settlement}", any_end=True))
    for settlement in (FAILED, CANCELLED):
        flows.run("b moved", settlement)
        ask(verbs.revive("b", ["moved"]))
    for settlement, verb in ((DONE, "remove"), (FAILED, "remove"), (FAILED, "discard")):
        flows.run("b moved", settlement)
        ask(verbs.discard("b", ["moved"]) if verb == "discard" else verbs.remove("b", "moved"))
        flows.put("b moved")
    ask(verbs.remove("b", "moved"))


def of_flows(flows: Flows, client: redis.Redis) -> None:
    """Children that run, wait on, fail, are cancelled, get another life, or have lost what they waited for."""
    flows.put("c parent")
    flows.enqueue("c next", "c parent")
    flows.enqueue("c later", "c parent", delay_ms=10_000)
    flows.run("c parent")
    flows.run("c next")

    for verb in ("replay", "revive"):
        flows.put(f"c {verb}")
        flows.enqueue(f"c {verb}-fails", f"c {verb}")
        flows.enqueue(f"c {verb}-cancelled", f"c {verb}", policy="cancel")
        flows.run(f"c {verb}", FAILED)
        for id in (f"{verb}-fails", f"{verb}-cancelled"):
            if verb == "replay":
                flows.connection.ask(flows.verbs.replay("c", [id], f"n{id}", any_end=True))
            else:
                flows.connection.ask(flows.verbs.revive("c", [id]))

    flows.put("c other", delay_ms=MONTH)
    for name, options in {"soon": {}, "wait": {"delay_ms": HOUR}, "never": {"policy": "require"}}.items():
        flows.enqueue(f"c {name}", "c other", **options)
        client.delete(f"heavylift:{{c}}:pending:{name}")
    flows.later(60_000)
    flows.tend("c")


def expired(flows: Flows) -> None:
    """Not started in time."""
    flows.put("d waiting", expires_ms=1000)
    flows.put("d delayed", expires_ms=1000, delay_ms=5000)
    flows.put("d parent", delay_ms=MONTH)
    flows.enqueue("d blocked", "d parent", expires_ms=1000)
    flows.later(2000)
    flows.sweep("d")


def test_every_script_that_enters_a_state_has_a_row() -> None:
    verbs = {move.verb for move in MOVES}
    assert verbs <= {file.stem for file in LUA.glob("*.lua")}
    silent = {"progress", "prelude"}  # they publish, but no state
    publishing = {file.stem for file in LUA.glob("*.lua") if "publish(" in file.read_text()} - silent
    assert publishing <= verbs


@pytest.mark.parametrize("state", State)
def test_every_state_is_entered_and_left(state: State) -> None:
    assert [move for move in MOVES if move.after is state and move.before is not state]
    assert [move for move in MOVES if move.before is state and move.after is not state]


def test_the_sets_of_states_are_those_of_the_table() -> None:
    assert {State.COMPLETED, State.FAILED, State.CANCELLED} == ENDED
    assert (*UNSTARTED, State.ACTIVE) == OPEN
    assert [state for state in State if may("cancel", state)] == list(UNSTARTED)

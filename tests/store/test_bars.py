"""No script holds Redis up for long, however much there is: every verb at its largest stays below the bars."""

from __future__ import annotations

import pytest

from heavylift.store.connection import Connection, Target
from heavylift.store.verbs import BATCH_BYTES
from tests.servers import Server
from tests.store.loads import LARGE, SMALL, Load

WORST = 5.0
"""ms a call may take Redis."""

COMMANDS = 2_000
"""Commands that the script of a call may run."""

BYTES = 2 * BATCH_BYTES
"""Bytes of a call and its reply together."""

RUNS = 3


@pytest.mark.parametrize("keys", [0, 10_000], ids=["one line", "10,000 keys"])
def test_no_call_of_any_verb_takes_longer_than_the_bar(any_server: Server, keys: int) -> None:
    """With 100,000 jobs waiting. Of each call the quickest of several turns: what is slow by itself is so in each, what
    others held up is not."""
    connection = Connection(Target.from_url(any_server.url), name="test")
    load = Load(any_server, connection, waiting=100_000, keys=keys)
    longest: dict[str, float] = {}
    for size in (SMALL, LARGE):
        quickest: dict[tuple[str, int], float] = {}
        for _ in range(RUNS):
            load.costs.clear()
            load.turn(size)
            for verb, costs in load.costs.items():
                for place, cost in enumerate(costs):
                    quickest[verb, place] = min(cost.ms, quickest.get((verb, place), cost.ms))
                assert max(cost.commands for cost in costs) <= COMMANDS, verb
                assert max(cost.bytes for cost in costs) <= BYTES, verb
        for (verb, _), ms in quickest.items():
            longest[verb] = max(ms, longest.get(verb, 0))
    connection.close()
    assert longest.keys() == load.jobs.scripts.verbs.keys(), "every verb is measured"
    assert {verb: ms for verb, ms in longest.items() if ms > WORST} == {}

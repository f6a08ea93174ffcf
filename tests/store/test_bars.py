"""No script holds Redis up for long, however much there is: every verb at its largest stays below the bars."""

from __future__ import annotations

import pytest

from heavylift.store.connection import Connection, Target
from tests.servers import Server
from tests.store.loads import LARGE, SMALL, Load

WORST = 5.0
"""ms a call may take Redis."""

PAGE = 50.0
"""But a page of what waits in thousands of lines: it looks at 500 of them, and only people ask for it."""

RUNS = 5


@pytest.mark.parametrize("keys", [0, 2_000], ids=["one line", "2,000 keys"])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_no_call_of_any_verb_takes_longer_than_the_bar(any_server: Server, size: int, keys: int) -> None:
    """The least of the worst of several turns: what is slow by itself is so in each, what others held up is not."""
    connection = Connection(Target.from_url(any_server.url), name="test")
    load = Load(any_server, connection, waiting=20_000, keys=keys)
    worst: dict[str, list[float]] = {}
    for _ in range(RUNS):
        load.ms.clear()
        load.turn(size)
        for verb, took in load.worst().items():
            worst.setdefault(verb, []).append(took)
    connection.close()
    assert len(worst) >= 12, "every verb was measured"
    least = {verb: min(took) for verb, took in worst.items()}
    assert {verb: took for verb, took in least.items() if took > (PAGE if keys and verb == "page" else WORST)} == {}

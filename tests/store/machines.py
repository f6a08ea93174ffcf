"""Runs a state machine of hypothesis against a server: every model of the store, in the same way."""

from __future__ import annotations

import os

import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from heavylift.store.connection import Connection
from tests.servers import Server
from tests.store.moves import Recorder

EXAMPLES = int(os.environ.get("HEAVYLIFT_TEST_EXAMPLES", "40"))


class StoreMachine(RuleBasedStateMachine):
    """A machine whose rules talk to Redis; `run` puts both there."""

    client: redis.Redis
    connection: Connection


def run(machine: type[StoreMachine], server: Server, steps: int = 40, examples: int = EXAMPLES) -> set[str]:
    """Many runs of the machine's rules in any order, each of at most so many steps. Every call is held to the table.

    Returns:
        the verbs that were called.
    """
    with server.client() as client:
        connection = Recorder(server.url, client)
        try:
            run_state_machine_as_test(
                type(machine.__name__, (machine,), {"client": client, "connection": connection}),
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=steps,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
            return connection.called
        finally:
            connection.close()

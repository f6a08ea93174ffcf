"""The map of a Cluster's slots comes from a node that is in it and answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from heavylift.errors import StoreError, Unavailable
from heavylift.store.connection import Connection, Target
from heavylift.store.facts import server_facts
from heavylift.store.jobs import Jobs, NewJob
from heavylift.store.scripts import Scripts
from tests.fleets import Cluster
from tests.servers import Server, any_binary, free_port
from tests.waiting import wait_until

VERBS = Jobs("heavylift", Scripts(single_node=False))
QUEUE = "q"

pytestmark = pytest.mark.cluster


@pytest.fixture
def outsider() -> Iterator[Server]:
    """A node that runs on, and is in no Cluster any more."""
    with Server(any_binary(), tcp=True, config={"cluster-enabled": "yes", "cluster-port": str(free_port())}) as node:
        yield node


@pytest.fixture
def connect() -> Iterator[Callable[..., Connection]]:
    """`connect(url)`: to a Cluster, waiting for nothing unless it is told to."""
    made: list[Connection] = []

    def make(url: str, patience: float = 0.0) -> Connection:
        made.append(Connection(Target.from_url(url, cluster=True), name="test", patience=patience))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


def test_a_node_that_was_taken_out_is_not_believed(
    cluster: Cluster, outsider: Server, connect: Callable[..., Connection]
) -> None:
    connection = connect(f"{outsider.url},127.0.0.1:{cluster.nodes[1].port}")
    assert not connection.ask(VERBS.enqueue(QUEUE, [NewJob("j", b"{}", "h")], "n"))[0].duplicate
    assert connection.ask(VERBS.counts(QUEUE)).waiting == 1


def test_where_no_node_is_in_a_cluster_it_is_said(outsider: Server, connect: Callable[..., Connection]) -> None:
    with pytest.raises(Unavailable, match="is in no Cluster"):
        connect(outsider.url).ask(VERBS.counts(QUEUE))


def test_a_node_that_is_taken_out_later_is_left_as_well(
    cluster: Cluster, outsider: Server, connect: Callable[..., Connection]
) -> None:
    """It was a Cluster of its own, so to speak: it had the slots, and then it had none."""
    outsider.command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    connection = connect(f"{outsider.url},127.0.0.1:{cluster.nodes[1].port}", patience=10.0)
    connection.connect()
    outsider.command("CLUSTER", "FLUSHSLOTS")
    assert not connection.ask(VERBS.enqueue(QUEUE, [NewJob("j", b"{}", "h")], "n"))[0].duplicate


def test_a_node_that_hangs_holds_up_the_others_once(patchy_cluster: Cluster) -> None:
    """Not in each round trip for as long as it may take to answer; and it is given time again once it has answered."""
    patience = 6.0
    target = Target.from_url(patchy_cluster.url, cluster=True, command_timeout=patience)
    connection = Connection(target, name="test", patience=0)
    queues = [f"q{n}" for n in range(30)]

    def answers() -> list[Any]:
        return connection.round_trip([VERBS.counts(queue) for queue in queues])

    answers()
    hangs = patchy_cluster.nodes[2]
    hangs.pause()
    try:
        answers()
        before = time.monotonic()
        for _ in range(3):
            found = answers()
        assert any(isinstance(answer, Unavailable) for answer in found)
        assert any(not isinstance(answer, StoreError) for answer in found)
        assert time.monotonic() - before < 2 * patience, "three times as long if it had its time in each"
    finally:
        hangs.resume()
    patchy_cluster.await_ok()
    wait_until("all are answered again", lambda: not any(isinstance(answer, StoreError) for answer in answers()))
    assert {link.target.command_timeout for node, link in connection._links.items() if node} <= {patience}
    answers()
    assert {link.target.command_timeout for link in connection._links.values()} == {patience}
    connection.close()


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_what_the_server_says_of_itself_is_asked_of_a_node_that_answers(
    cluster: Cluster, connect: Callable[..., Connection], gone: int
) -> None:
    connection = connect(",".join((cluster.url, *(f"127.0.0.1:{node.port}" for node in cluster.nodes[1:]))))
    connection.connect()
    cluster.nodes[gone].kill9()
    try:
        facts = connection.ask(server_facts())
    except Unavailable:
        facts = connection.ask(server_facts())
    assert facts.cluster, "the node that is gone is asked once at most"

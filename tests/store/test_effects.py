"""What is stored of effects that must happen once: who may begin, who may say that it is done."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heavylift.store.connection import Connection, Target
from heavylift.store.effects import Begun, digest
from heavylift.store.jobs import Jobs
from heavylift.store.scripts import Scripts
from tests.fleets import Cluster

JOBS = Jobs("heavylift")
KEEP = 60_000


def begin(connection: Connection, token: str, nonce: str, *, key: str = "k", instead: str = "") -> Begun:
    return connection.ask(JOBS.once_begin(key, nonce, "q", f"job-{token}", token, KEEP, instead))


def test_the_first_begins_and_its_repeated_call_is_told_the_same(connection: Connection) -> None:
    assert begin(connection, "t1", "n1").how == begin(connection, "t1", "n1").how == "new"


def test_whoever_comes_next_learns_who_began_it(connection: Connection) -> None:
    begin(connection, "t1", "n1")
    assert begin(connection, "t2", "n2") == Begun("begun", b"", "q", "job-t1", "t1")
    assert begin(connection, "t1", "another of the same attempt").how == "begun"


def test_a_result_is_given_to_all_who_come_later_and_recorded_by_the_holder_alone(connection: Connection) -> None:
    begin(connection, "t1", "n1")
    assert not connection.ask(JOBS.once_done("k", "t2", b"2", KEEP))
    for _ in range(2):
        assert connection.ask(JOBS.once_done("k", "t1", b'{"a":1}', KEEP))
    assert begin(connection, "t2", "n2") == Begun("done", b'{"a":1}')
    assert not connection.ask(JOBS.once_done("k", "t2", b"2", KEEP))


def test_only_one_of_two_takes_the_place_of_a_holder_that_is_gone(connection: Connection) -> None:
    begin(connection, "t1", "n1")
    assert begin(connection, "t2", "n2", instead="t1").how == "new"
    assert begin(connection, "t3", "n3", instead="t1") == Begun("begun", b"", "q", "job-t2", "t2")
    assert not connection.ask(JOBS.once_done("k", "t1", b"1", KEEP)), "it is not the first one's any more"
    assert connection.ask(JOBS.once_done("k", "t2", b"2", KEEP))


def test_a_beginning_is_taken_back_by_itself_only(connection: Connection) -> None:
    begin(connection, "t1", "n1")
    assert not connection.ask(JOBS.once_forget("k", "t1", "another"))
    assert not connection.ask(JOBS.once_forget("k", "t2", "n1"))
    assert connection.ask(JOBS.once_forget("k", "t1", "n1"))
    assert begin(connection, "t2", "n2").how == "new"
    connection.ask(JOBS.once_done("k", "t2", b"1", KEEP))
    assert not connection.ask(JOBS.once_forget("k", "t2", "n2")), "what is done is done"


def test_an_operator_may_say_either(connection: Connection) -> None:
    begin(connection, "t1", "n1")
    assert connection.ask(JOBS.once_done("k", "", b'"by hand"', KEEP))
    assert begin(connection, "t2", "n2").result == b'"by hand"'
    assert connection.ask(JOBS.once_forget("k"))
    assert not connection.ask(JOBS.once_forget("k"))
    assert connection.ask(JOBS.once("k")) is None


def test_the_record_says_who_and_when_and_lapses(connection: Connection) -> None:
    begin(connection, "t1", "n1", key="bestell\u00fcng:\U0001f600")
    record = connection.ask(JOBS.once("bestell\u00fcng:\U0001f600"))
    assert record is not None
    assert (record.key, record.done, record.queue, record.job) == ("bestell\u00fcng:\U0001f600", False, "q", "job-t1")
    assert record.begun_at is not None
    left = connection.command("PTTL", JOBS.common.once(digest(record.key)))
    assert 0 < left <= KEEP


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "again", "instead", "done", "forget", "stale done"]),
        st.integers(min_value=1, max_value=3),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
def test_no_two_are_told_to_begin_unless_the_first_was_forgotten_or_replaced(
    connection: Connection, acts: list[tuple[str, int]]
) -> None:
    """Every call is sent twice, as if its first reply had been lost."""
    connection.ask(JOBS.once_forget("k"))
    holder, state, serial, nonce = 0, "", 0, ""
    for act, who in acts:
        token = f"t{who}"
        if act in ("begin", "instead"):
            serial += 1
            instead = f"t{holder}" if act == "instead" and holder else ""
            said = [begin(connection, token, f"n{serial}", instead=instead).how for _ in range(2)]
            assert said[0] == said[1]
            may = state == "" or (state == "begun" and bool(instead))
            assert said[0] == ("new" if may else state)
            if may:
                holder, state, nonce = who, "begun", f"n{serial}"
        elif act == "done":
            said_done = [connection.ask(JOBS.once_done("k", token, b"1", KEEP)) for _ in range(2)]
            assert said_done == [state == "" or who == holder] * 2
            if said_done[0]:
                holder, state = who, "done"
        elif act == "forget":
            gone = [connection.ask(JOBS.once_forget("k", token, nonce)) for _ in range(2)]
            assert gone == [state == "begun" and who == holder, False]
            if gone[0]:
                holder, state = 0, ""


@pytest.mark.cluster
def test_an_effect_is_one_while_its_slot_moves(cluster: Cluster) -> None:
    jobs = Jobs("heavylift", Scripts(single_node=False))
    connection = Connection(Target.from_url(cluster.url, cluster=True), name="test")
    try:
        call = jobs.once_begin("moving", "n1", "q", "j", "t1", KEEP)
        assert connection.ask(call).how == "new"
        move = cluster.begin_move(cluster.slot(jobs.common.once(digest("moving"))))
        assert connection.ask(call).how == "new", "the same call, repeated"
        for name in list(move.keys()):
            move.key(name)
        assert connection.ask(jobs.once_begin("moving", "n2", "q", "j2", "t2", KEEP)).token == "t1"
        assert connection.ask(jobs.once_done("moving", "t1", b"7", KEEP))
        move.finish()
        assert connection.ask(jobs.once_begin("moving", "n2", "q", "j2", "t2", KEEP)).result == b"7"
    finally:
        connection.close()

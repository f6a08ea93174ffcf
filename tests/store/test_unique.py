"""Unique jobs: who holds a key, for how long, and that nothing of it stays behind."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import pytest

from heavylift.decide import Settlement
from heavylift.job import ClaimedJob, Reason, State
from heavylift.store.connection import Connection, Target
from heavylift.store.jobs import Enqueued, Jobs, NewJob, SettleItem
from heavylift.store.scripts import Scripts
from tests.servers import Server

JOBS = Jobs("heavylift")
AT = {seconds: Jobs("heavylift", Scripts(offset_ms=seconds * 1000)) for seconds in (1, 2, 3, 5, 100, 1000)}
KEYS = JOBS.keys("q")
KEY = KEYS.unique("k")
KEEP = {"keep_completed_ms": 10_000, "keep_failed_ms": 10_000, "most_completed": 1000, "most_failed": 1000}
LIMITED = pytest.mark.parametrize("limited", [False, True], ids=["one line", "lines by key"])


class Desk:
    """Verbs in few words."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.numbers = 0

    def put(self, id: str, mode: str = "f", verbs: Jobs = JOBS, nonce: str = "", **more: Any) -> Enqueued:
        new = NewJob(id, more.pop("spec", b"{}"), "h", unique=f"{mode}.k", **more)
        return self.connection.ask(verbs.enqueue("q", [new], nonce or f"n{id}"))[0]

    def claim(self, verbs: Jobs = JOBS, credits: int = 10) -> list[ClaimedJob]:
        self.numbers += 1
        return self.connection.ask(verbs.claim("q", "w", self.numbers, credits, 30_000, 1000)).jobs

    def settle(self, job: ClaimedJob, to: State, delay: float = 0.0) -> None:
        self.numbers += 1
        reason = Reason.EXHAUSTED if to is State.FAILED else None
        item = SettleItem(job.id, job.token, Settlement(to, reason=reason, delay=delay))
        assert self.connection.ask(JOBS.settle("q", "w", self.numbers, [item])) == ["ok"]

    def run(self, to: State) -> None:
        (job,) = self.claim()
        self.settle(job, to)

    def key(self) -> str | None:
        held: bytes | None = self.connection.command("GET", KEY)
        return held and held.decode()

    def field(self, id: str, name: str) -> str:
        return str(self.connection.ask(JOBS.raw("q", id)).get(name.encode(), b"").decode())


@pytest.fixture
def desk(connection: Connection) -> Desk:
    return Desk(connection)


def limit(desk: Desk, limited: bool) -> None:
    if limited:
        desk.connection.ask(JOBS.limit("q", 100, group="h"))


def test_a_second_job_is_a_duplicate_and_names_the_first(desk: Desk) -> None:
    assert desk.put("a") == Enqueued("a", State.WAITING, False)
    assert desk.put("b") == Enqueued("a", State.WAITING, True)
    assert desk.connection.ask(JOBS.raw("q", "b")) == {}
    assert desk.connection.ask(JOBS.counts("q")).waiting == 1


def test_another_digest_is_another_job(desk: Desk) -> None:
    desk.put("a")
    new = NewJob("b", b"{}", "h", unique="f.other")
    assert not desk.connection.ask(JOBS.enqueue("q", [new], "n"))[0].duplicate


def test_within_one_call_the_first_wins_and_places_are_kept(desk: Desk) -> None:
    new = [
        NewJob("plain", b"{}", "h"),
        NewJob("a", b"{}", "h", unique="f.k"),
        NewJob("b", b"{}", "h", unique="f.k"),
        NewJob("b", b"{}", "h"),
        NewJob("c", b"{}", "h", unique="f.l"),
        NewJob("a", b"{}", "h", unique="f.k"),
    ]
    call = JOBS.enqueue("q", new, "n")
    first = desk.connection.ask(call)
    assert [(one.id, one.duplicate) for one in first] == [
        ("plain", False),
        ("a", False),
        ("a", True),
        ("b", False),
        ("c", False),
        ("a", True),
    ]


def test_a_repeated_call_finds_its_own_job_and_makes_no_second(desk: Desk) -> None:
    for _ in range(2):
        assert desk.put("a", nonce="n") == Enqueued("a", State.WAITING, False)
    desk.claim()
    assert desk.put("a", nonce="n") == Enqueued("a", State.ACTIVE, False)


@LIMITED
def test_until_started_ends_with_the_first_start(desk: Desk, limited: bool) -> None:
    limit(desk, limited)
    desk.put("a", "s", delay_ms=1000)
    assert desk.put("b", "s").duplicate
    (job,) = desk.claim(AT[2])
    assert desk.key() is None
    assert not desk.put("c", "s").duplicate
    desk.settle(job, State.WAITING)
    assert desk.put("d", "s") == Enqueued("c", State.WAITING, True), "a retry does not take the key from the next"
    assert sorted(job.id for job in desk.claim()) == ["a", "c"]


@pytest.mark.parametrize("to", [State.COMPLETED, State.FAILED, State.CANCELLED])
def test_until_finished_lasts_over_retries_until_any_end(desk: Desk, to: State) -> None:
    desk.put("a")
    (job,) = desk.claim()
    assert desk.put("b") == Enqueued("a", State.ACTIVE, True)
    desk.settle(job, State.DELAYED, delay=100.0)
    assert desk.put("b") == Enqueued("a", State.DELAYED, True)
    (job,) = desk.claim(AT[1000])
    desk.settle(job, to)
    assert desk.key() is None
    assert not desk.put("b").duplicate


ENDINGS: dict[str, Callable[[Desk], Any]] = {
    "cancelled": lambda desk: desk.connection.ask(JOBS.cancel("q", "a")),
    "removed": lambda desk: desk.connection.ask(JOBS.remove("q", "a")),
    "expired in the sweep": lambda desk: desk.connection.ask(AT[1000].sweep("q", 10, **KEEP)),
    "expired in the claim": lambda desk: desk.claim(AT[1000]),
}


@LIMITED
@pytest.mark.parametrize("delay_ms", [0, 500])
@pytest.mark.parametrize("mode", ["s", "f"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_end_of_a_job_that_never_ran_frees_the_key(
    desk: Desk, ending: str, mode: str, delay_ms: int, limited: bool
) -> None:
    limit(desk, limited)
    desk.put("a", mode, delay_ms=delay_ms, expires_ms=900)
    ENDINGS[ending](desk)
    assert desk.key() is None


@LIMITED
def test_a_quarantined_job_frees_the_key(desk: Desk, limited: bool) -> None:
    limit(desk, limited)
    desk.put("a")
    desk.connection.command("HSET", KEYS.job("a"), "starts", "many")
    assert desk.claim() == []
    assert desk.field("a", "reason") == "malformed"
    assert desk.key() is None


def test_a_job_deleted_by_hand_blocks_nobody(desk: Desk) -> None:
    desk.put("a")
    desk.connection.command("DEL", KEYS.job("a"))
    assert desk.put("b") == Enqueued("b", State.WAITING, False)
    assert desk.key() == "f 0 b"


def test_a_job_of_the_same_id_that_is_not_unique_blocks_nobody(desk: Desk) -> None:
    desk.put("a")
    desk.connection.command("DEL", KEYS.job("a"))
    desk.connection.ask(JOBS.enqueue("q", [NewJob("a", b"{}", "h")], "again"))
    assert not desk.put("b").duplicate


def test_the_end_of_a_job_leaves_the_key_of_its_successor(desk: Desk) -> None:
    desk.put("a", "s")
    (job,) = desk.claim()
    desk.put("b", "s")
    desk.settle(job, State.COMPLETED)
    desk.connection.ask(JOBS.remove("q", "a"))
    assert desk.key() == "s 0 b"


@pytest.mark.parametrize("odd", ["list", "word", "window without length"])
def test_what_somebody_else_wrote_does_not_stop_the_queue(desk: Desk, odd: str) -> None:
    if odd == "list":
        desk.connection.command("RPUSH", KEY, "what")
    else:
        desk.connection.command("SET", KEY, "what is this")
    if odd == "window without length":
        assert not desk.put("a", "w").duplicate
        return
    assert not desk.put("a").duplicate
    assert desk.put("b").duplicate
    desk.run(State.COMPLETED)
    assert desk.key() is None


# --- windows --------------------------------------------------------------------------------------------


def test_a_window_lasts_its_time_whatever_becomes_of_its_job(desk: Desk) -> None:
    desk.put("a", "w", window_ms=60_000)
    desk.run(State.COMPLETED)
    assert desk.put("b", "w", window_ms=60_000) == Enqueued("a", State.COMPLETED, True)
    desk.connection.command("DEL", KEYS.job("a"))
    assert desk.put("b", "w", window_ms=60_000) == Enqueued("a", None, True)
    assert 0 < desk.connection.command("PTTL", KEY) <= 60_000
    desk.connection.command("PEXPIRE", KEY, 0)
    assert not desk.put("b", "w", window_ms=60_000).duplicate


def test_a_window_goes_with_its_job_when_that_is_removed_by_hand(desk: Desk) -> None:
    desk.put("a", "w", window_ms=60_000)
    desk.connection.ask(JOBS.remove("q", "a"))
    assert desk.key() is None


# --- debounce -------------------------------------------------------------------------------------------


def test_the_last_arguments_win_and_put_the_job_off(desk: Desk) -> None:
    desk.put("a", "d", quiet_ms=2000, spec=b'"1"')
    assert desk.put("b", "d", AT[1], quiet_ms=2000, spec=b'"2"') == Enqueued("a", State.DELAYED, True)
    assert desk.claim(AT[2]) == [], "put off"
    (job,) = desk.claim(AT[5])
    assert (job.id, job.spec) == ("a", b'"2"')


def test_it_is_put_off_no_longer_than_said(desk: Desk) -> None:
    desk.put("a", "d", quiet_ms=2000, latest_ms=3000)
    for seconds in (1, 2):
        desk.put(f"b{seconds}", "d", AT[seconds], quiet_ms=2000, latest_ms=3000)
    assert int(desk.field("a", "due")) - int(desk.field("a", "enqueued_at")) == 3000


def test_one_that_is_due_but_has_no_worker_yet_gets_the_last_arguments(desk: Desk) -> None:
    desk.put("a", "d", quiet_ms=1000, spec=b'"1"')
    desk.connection.ask(JOBS.promote("q", "a"))
    assert desk.put("b", "d", quiet_ms=1000, spec=b'"2"') == Enqueued("a", State.WAITING, True)
    (job,) = desk.claim()
    assert job.spec == b'"2"'


def test_one_that_has_started_is_followed_by_a_fresh_one(desk: Desk) -> None:
    desk.put("a", "d", quiet_ms=1000)
    desk.claim(AT[2])
    assert desk.put("b", "d", quiet_ms=1000) == Enqueued("b", State.DELAYED, False)
    assert desk.connection.command("PTTL", KEY) == -1


def test_a_repeated_debounce_whose_job_has_started_makes_no_second(desk: Desk) -> None:
    desk.put("a", "d", quiet_ms=1000)
    desk.put("b", "d", quiet_ms=1000, nonce="lost")
    (job,) = desk.claim(AT[2])
    assert desk.put("b", "d", quiet_ms=1000, nonce="lost") == Enqueued("a", State.ACTIVE, True)
    desk.settle(job, State.COMPLETED)
    assert desk.put("b", "d", quiet_ms=1000, nonce="lost") == Enqueued("a", State.COMPLETED, True)
    assert 0 < desk.connection.command("PTTL", KEY) <= 60_000, "remembered for a minute, not for ever"


def test_debounced_within_one_call(desk: Desk) -> None:
    new = [NewJob(id, f'"{id}"'.encode(), "h", unique="d.k", quiet_ms=1000) for id in "abc"]
    answers = desk.connection.ask(JOBS.enqueue("q", new, "n"))
    assert [(one.id, one.duplicate) for one in answers] == [("a", False), ("a", True), ("a", True)]
    (job,) = desk.claim(AT[2])
    assert job.spec == b'"c"'


def test_a_debounced_request_leaves_a_job_alone_that_is_not_debounced(desk: Desk) -> None:
    desk.put("a", spec=b'"1"')
    assert desk.put("b", "d", quiet_ms=1000, spec=b'"2"').duplicate
    assert desk.field("a", "spec") == '"1"'


# --- replay ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["s", "f", "d"])
def test_a_replayed_dead_letter_takes_its_key_again(desk: Desk, mode: str) -> None:
    desk.put("a", mode)
    desk.run(State.FAILED)
    assert desk.connection.ask(JOBS.replay("q", ["a"])) == ["ok"]
    assert desk.put("b", mode) == Enqueued("a", State.WAITING, True)
    desk.run(State.COMPLETED)
    assert not desk.put("b", mode).duplicate


def test_a_replayed_debounced_job_is_put_off_as_any_other_and_not_by_the_bound_of_its_first_life(desk: Desk) -> None:
    desk.put("a", "d", quiet_ms=1000, latest_ms=2000)
    (job,) = desk.claim(AT[2])
    desk.settle(job, State.FAILED)
    assert desk.connection.ask(AT[100].replay("q", ["a"])) == ["ok"]
    desk.connection.ask(AT[100].reschedule("q", "a", 60_000, relative=True))
    assert desk.put("b", "d", AT[100], quiet_ms=30_000, latest_ms=50_000) == Enqueued("a", State.DELAYED, True)
    due = int(desk.field("a", "due")) - desk.connection.ask(AT[100].schedules("q")).now
    assert 25_000 < due <= 30_000, "when it has been quiet"


@pytest.mark.parametrize("mode", ["s", "f", "d"])
def test_a_dead_letter_whose_key_is_held_says_so_and_stays(desk: Desk, mode: str) -> None:
    desk.put("a", mode)
    desk.run(State.FAILED)
    desk.put("b", mode)
    assert desk.connection.ask(JOBS.replay("q", ["a"])) == ["held"]
    assert desk.field("a", "state") == "failed"
    assert desk.connection.ask(JOBS.counts("q")).waiting == 1


def test_of_two_dead_letters_of_one_key_one_is_replayed(desk: Desk) -> None:
    for id in "ab":
        desk.put(id)
        desk.run(State.FAILED)
    assert desk.connection.ask(JOBS.replay("q", ["a", "b"])) == ["ok", "held"]


def test_a_window_does_not_hinder_a_replay(desk: Desk) -> None:
    desk.put("a", "w", window_ms=60_000)
    desk.run(State.FAILED)
    assert desk.connection.ask(JOBS.replay("q", ["a"])) == ["ok"]


# --- many producers -------------------------------------------------------------------------------------


def race(url: str, number: int, mode: str, barrier: Any, answers: Any) -> None:
    connection = Connection(Target.from_url(url), name="test")
    connection.connect()
    barrier.wait(30)
    more: dict[str, Any] = {"d": {"quiet_ms": 60_000}, "w": {"window_ms": 60_000}}.get(mode, {})
    for n in range(50):
        new = NewJob(f"{number}-{n}", b"{}", "h", unique=f"{mode}.k{n}", **more)
        call = JOBS.enqueue("q", [new], f"n{number}-{n}")
        first, again = connection.round_trip([call, call])
        assert first == again, "a producer whose reply was lost"
        answers.put((n, first[0].id, first[0].duplicate))
    connection.close()


@pytest.mark.parametrize("mode", ["s", "f", "w", "d"])
def test_of_many_producers_at_once_exactly_one_wins(server: Server, connection: Connection, mode: str) -> None:
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(6), context.Queue()
    racers = [context.Process(target=race, args=(server.url, n, mode, barrier, answers)) for n in range(6)]
    for racer in racers:
        racer.start()
    said = [answers.get(timeout=60) for _ in range(6 * 50)]
    for racer in racers:
        racer.join(30)
        assert racer.exitcode == 0
    for n in range(50):
        mine = [(id, duplicate) for at, id, duplicate in said if at == n]
        assert len({id for id, _ in mine}) == 1, "all were given the same job"
        assert [duplicate for _, duplicate in mine].count(False) == 1, "and one of them made it"

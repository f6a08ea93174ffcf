"""What the model does not say: bounds, broken jobs, a full server, what is kept of attempts."""

from __future__ import annotations

import json

import pytest

from heavylift.decide import Settlement
from heavylift.errors import InvalidArgument, ServerFull
from heavylift.job import AttemptRecord, ClaimedJob, Counters, State
from heavylift.options import JobRef
from heavylift.store.channel import Channel
from heavylift.store.connection import Connection
from heavylift.store.jobs import Jobs, NewJob, ProgressItem, SettleItem, batches
from heavylift.store.scripts import Scripts
from tests.servers import Server
from tests.waiting import wait_until

JOBS = Jobs("heavylift")
LATER = Jobs("heavylift", Scripts(offset_ms=100_000))
KEYS = JOBS.keys("q")
DONE = Settlement(State.COMPLETED, result=b"1")


def enqueue(connection: Connection, *ids: str, verbs: Jobs = JOBS, spec: bytes = b"{}", **options: object) -> None:
    new = [NewJob(id, spec, "h", **options) for id in ids]  # type: ignore[arg-type]
    for number, part in enumerate(batches(new)):
        connection.ask(verbs.enqueue("q", part, f"{ids[0]}{number}"))


def claim(connection: Connection, number: int, credits: int = 10, verbs: Jobs = JOBS, **more: int) -> list[ClaimedJob]:
    return connection.ask(verbs.claim("q", "w", number, credits, 30_000, 1000, **more)).jobs


def settle(connection: Connection, number: int, job: ClaimedJob, settlement: Settlement) -> None:
    record = AttemptRecord(job.counters.starts, "w", 1, 2, "error", message="x")
    assert connection.ask(JOBS.settle("q", "w", number, [SettleItem(job.id, job.token, settlement, record)])) == ["ok"]


def test_batches_are_bounded_by_count_and_by_bytes() -> None:
    def sizes(count: int, weight: int) -> list[int]:
        return [len(part) for part in batches([NewJob(f"{n}", b"x" * weight, "h") for n in range(count)])]

    assert sizes(250, 10) == [100, 100, 50]
    assert sizes(5, 100_000) == [2, 2, 1]
    assert sizes(2, 3_000_000) == [1, 1]
    assert sizes(0, 1) == []
    for more in {"key": "k"}, {"unique": "f.u"}, {"after": (JobRef("q", "p"),)}:
        some = [NewJob(f"{n}", b"{}", "h", **more) for n in range(80)]  # type: ignore[arg-type]
        assert [len(part) for part in batches(some)] == [32, 32, 16], "each brings keys of its own"


def test_an_id_twice_in_one_batch_is_one_job_and_a_duplicate(connection: Connection) -> None:
    call = JOBS.enqueue("q", [NewJob("a", b"1", "h"), NewJob("a", b"2", "h")], "n")
    for _ in range(2):
        assert [answer.duplicate for answer in connection.ask(call)] == [False, True]
    assert connection.ask(JOBS.raw("q", "a"))[b"spec"] == b"1"


def test_a_thousand_enqueues_of_one_id_make_one_job(connection: Connection) -> None:
    calls = [JOBS.enqueue("q", [NewJob("same", b"{}", "h")], f"n{n}") for n in range(1000)]
    answers = [answer.duplicate for [answer] in connection.round_trip(calls)]
    assert answers == [False] + [True] * 999
    assert connection.ask(JOBS.counts("q")).waiting == 1


def test_equals_go_in_the_order_they_came_and_lower_priorities_first(connection: Connection) -> None:
    enqueue(connection, *(f"n{n:03}" for n in range(150)))
    enqueue(connection, "urgent", priority=-1)
    enqueue(connection, "later", priority=1)
    got = [job.id for job in claim(connection, 1, 200)]
    assert got == ["urgent", *(f"n{n:03}" for n in range(150)), "later"]


def test_nobody_starves_and_a_large_step_is_strict(connection: Connection) -> None:
    enqueue(connection, "low", priority=1)
    enqueue(connection, "high", verbs=LATER)
    assert [job.id for job in claim(connection, 1, verbs=LATER)] == ["low", "high"], (
        "its minute is worth more than 100 s"
    )
    connection.ask(JOBS.step("q", 7 * 10**12))
    enqueue(connection, "low2", priority=1000)
    enqueue(connection, "lower", priority=999, verbs=LATER)
    assert [job.id for job in claim(connection, 2, verbs=LATER)] == ["lower", "low2"]


@pytest.mark.parametrize("limited", [False, True])
def test_a_claim_is_bounded_by_bytes_but_one_job_always_fits(connection: Connection, limited: bool) -> None:
    if limited:
        connection.ask(JOBS.limit("q", 100, group="h"))
    enqueue(connection, "a", "b", "c", spec=b"x" * 1000)
    reply = connection.ask(JOBS.claim("q", "w", 1, 10, 30_000, 1000, max_bytes=2500))
    assert ([job.id for job in reply.jobs], reply.more) == (["a", "b"], True)
    assert [job.id for job in claim(connection, 2, max_bytes=10)] == ["c"]


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("broken", ["string", "no envelope", "odd state", "no hash"])
def test_a_job_that_cannot_be_read_becomes_a_dead_letter_and_the_rest_goes_on(
    server: Server, connection: Connection, broken: str, limited: bool
) -> None:
    if limited:
        connection.ask(JOBS.limit("q", 100, group="h"))
    enqueue(connection, "bad", "good")
    server.command("DEL", KEYS.job("bad"))
    if broken == "string":
        server.command("SET", KEYS.job("bad"), "what is this")
    elif broken == "no envelope":
        server.command("HSET", KEYS.job("bad"), "state", "waiting", "note", "kept")
    elif broken == "odd state":
        server.command("HSET", KEYS.job("bad"), "note", "kept")
    reply = connection.ask(JOBS.claim("q", "w", 1, 2, 30_000, 1000))
    assert [job.id for job in reply.jobs] == ["good"]
    assert reply.more, "the worker has a place left and asks again at once"
    stored = connection.ask(JOBS.raw("q", "bad"))
    assert (stored[b"state"], stored[b"reason"]) == (b"failed", b"malformed")
    if broken == "string":
        assert server.command("GET", KEYS.raw("bad")) == b"what is this"
    elif broken != "no hash":
        assert stored[b"note"] == b"kept"
    record = connection.ask(JOBS.job("q", "bad"))
    assert record is not None
    assert (record.state, record.reason, record.options) == (State.FAILED, "malformed", None)
    assert connection.ask(JOBS.counts("q")).failed == 1
    assert connection.ask(JOBS.remove("q", "bad")) == "removed"
    assert server.command("EXISTS", KEYS.raw("bad")) == 0


def test_due_jobs_are_made_waiting_in_bounded_batches(connection: Connection) -> None:
    enqueue(connection, *(f"d{n:03}" for n in range(250)), delay_ms=50_000)
    got = []
    for number in range(1, 10):
        reply = connection.ask(LATER.claim("q", "w", number, 100, 30_000, 1000))
        got += [job.id for job in reply.jobs]
        if not reply.jobs:
            break
    assert got == [f"d{n:03}" for n in range(250)]


def test_a_claim_says_when_the_next_delayed_job_is_due(connection: Connection) -> None:
    enqueue(connection, "d", delay_ms=50_000)
    reply = connection.ask(JOBS.claim("q", "w", 1, 1, 30_000, 1000))
    assert reply.next_due_ms is not None
    assert 49_000 < reply.next_due_ms <= 50_000


def test_the_last_twenty_attempts_are_kept(connection: Connection) -> None:
    enqueue(connection, "j")
    for number in range(1, 26):
        [job] = claim(connection, number)
        assert job.counters.starts == number
        settle(connection, number, job, Settlement(State.WAITING, count="attempts"))
    record = connection.ask(JOBS.job("q", "j"))
    assert record is not None
    assert [attempt.number for attempt in record.attempts] == list(range(6, 26))
    assert record.counters.attempts == 25


def test_a_checkpoint_survives_to_the_next_start(connection: Connection) -> None:
    enqueue(connection, "j")
    [job] = claim(connection, 1)
    item = SettleItem(
        "j", job.token, Settlement(State.WAITING, keep_rank=True), None, b'{"fraction":0.5}', b'{"page":7}'
    )
    connection.ask(JOBS.settle("q", "w", 1, [item]))
    [job] = claim(connection, 2)
    assert job.checkpoint == b'{"page":7}'
    record = connection.ask(JOBS.job("q", "j"))
    assert record is not None
    assert record.progress is not None
    assert record.progress.fraction == 0.5


def test_a_new_checkpoint_leaves_behind_the_crashes_before_it_and_the_same_one_does_not(
    connection: Connection,
) -> None:
    enqueue(connection, "a")
    crash = Settlement(State.WAITING, count="crashes", keep_rank=True)
    for number, state, overcome in [(1, b"1", 0), (2, b"2", 1), (3, b"2", 1), (4, None, 1), (5, b"3", 4)]:
        (job,) = claim(connection, number)
        if state is not None:
            assert connection.ask(JOBS.progress("q", [ProgressItem("a", job.token, None, state)])) == ["ok"]
        settle(connection, number, job, crash)
        stored = connection.ask(JOBS.raw("q", "a"))
        assert (int(stored[b"crashes"]), int(stored.get(b"overcome", 0))) == (number, overcome)


def test_what_is_settled_with_a_checkpoint_leaves_earlier_crashes_behind_too(connection: Connection) -> None:
    enqueue(connection, "a")
    for number in 1, 2:
        (job,) = claim(connection, number)
        crash = Settlement(State.WAITING, count="crashes", keep_rank=True)
        record = AttemptRecord(number, "w", 1, 2, "killed:SIGKILL")
        item = SettleItem("a", job.token, crash, record, checkpoint=b"%d" % number)
        assert connection.ask(JOBS.settle("q", "w", number, [item])) == ["ok"]
    (job,) = claim(connection, 3)
    assert (job.counters.crashes, job.counters.overcome) == (2, 1)


def test_a_later_start_is_given_with_its_own_time_and_counters(connection: Connection) -> None:
    enqueue(connection, "a")
    (first,) = claim(connection, 1)
    settle(connection, 1, first, Settlement(State.WAITING, count="attempts"))
    (second,) = claim(connection, 2)
    assert second.counters == Counters(starts=2, attempts=1)
    assert second.started_at == int(connection.ask(JOBS.raw("q", "a"))[b"started_at"])


def test_a_job_put_back_at_its_rank_goes_before_those_that_came_after_it(connection: Connection) -> None:
    enqueue(connection, "a", "b")
    [first] = claim(connection, 1, credits=1)
    settle(connection, 1, first, Settlement(State.WAITING, count="interruptions", keep_rank=True))
    assert [job.id for job in claim(connection, 2)] == ["a", "b"]


def test_a_repeated_settle_holds_when_retention_has_removed_the_job(connection: Connection) -> None:
    enqueue(connection, "j")
    [job] = claim(connection, 1)
    call = JOBS.settle("q", "w", 1, [SettleItem("j", job.token, DONE)])
    assert connection.ask(call) == ["ok"]
    assert connection.ask(JOBS.remove("q", "j")) == "removed"
    assert connection.ask(call) == ["ok"]
    assert connection.ask(JOBS.job("q", "j")) is None


def test_one_job_twice_in_a_settle_counts_once(connection: Connection) -> None:
    enqueue(connection, "j")
    [job] = claim(connection, 1)
    item = SettleItem("j", job.token, DONE)
    assert connection.ask(JOBS.settle("q", "w", 1, [item, item])) == ["ok", "stale"]


def test_a_job_keeps_its_own_time_and_others_the_queues(connection: Connection) -> None:
    enqueue(connection, "short", keep_ms=1000)
    enqueue(connection, "usual")
    for number, job in enumerate(claim(connection, 1), 1):
        settle(connection, number, job, DONE)
    policy = {"keep_completed_ms": 10**7, "keep_failed_ms": 10**7, "most_completed": 10, "most_failed": 10}
    assert connection.ask(LATER.sweep("q", 10, **policy)).removed == 1
    assert connection.ask(JOBS.page("q", State.COMPLETED)) == ["usual"]


def test_a_sweep_is_bounded_and_says_that_there_is_more(connection: Connection) -> None:
    enqueue(connection, *(f"{n:02}" for n in range(25)), expires_ms=1000)
    policy = {"keep_completed_ms": 1, "keep_failed_ms": 10**7, "most_completed": 10, "most_failed": 100}
    assert [connection.ask(LATER.sweep("q", 10, **policy)).expired for _ in range(4)] == [10, 10, 5, 0]
    assert connection.ask(LATER.sweep("q", 10, **policy)).more is False


def test_a_full_server_takes_no_jobs_and_drains_those_it_has(server: Server, connection: Connection) -> None:
    enqueue(connection, *(f"{n:02}" for n in range(20)))
    enqueue(connection, "old", expires_ms=1000, delay_ms=50_000)
    server.command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(ServerFull):
        enqueue(connection, "new")
    jobs = claim(connection, 1, credits=20)
    assert len(jobs) == 20
    assert connection.ask(JOBS.extend("q", [(job.id, job.token) for job in jobs], 30_000)).lost == []
    for number, job in enumerate(jobs, 1):
        settle(connection, number, job, DONE if number % 2 else Settlement(State.DELAYED, delay=1))
    assert connection.ask(JOBS.cancel("q", jobs[1].id)) is not None
    policy = {"keep_completed_ms": 1, "keep_failed_ms": 1, "most_completed": 0, "most_failed": 0}
    assert connection.ask(LATER.sweep("q", 100, **policy)).removed == 11
    assert connection.ask(LATER.takeover("q", "w", 1, 30_000, 10)) == []


def test_details_of_events_are_json_whatever_they_hold(connection: Connection) -> None:
    enqueue(connection, "j")
    [job] = claim(connection, 1)
    odd = 'he said "no"\n\\ \x01 é'
    record = AttemptRecord(1, "w", 1, 2, odd)
    channel = Channel(connection.target)
    channel.subscribe([KEYS.event_channel("j")])
    wait_until("subscribed", lambda: channel.read() or channel.confirmed)
    connection.ask(JOBS.settle("q", "w", 1, [SettleItem("j", job.token, Settlement(State.WAITING), record)]))
    [(_, message)] = wait_until("an event", channel.read)
    channel.close()
    assert json.loads(message)["detail"] == odd


def test_limits_that_cannot_be_meant_are_refused() -> None:
    for most, options in ((-1, {}), (0, {"group": "g", "per_key": True}), (1, {"per_key": True})):
        with pytest.raises(InvalidArgument):
            JOBS.limit("q", most, **options)  # type: ignore[arg-type]


def test_a_page_of_waiting_jobs_merges_lines_in_their_order(connection: Connection) -> None:
    connection.ask(JOBS.limit("q", 1, group="h", per_key=True))
    for n in range(6):
        enqueue(connection, f"{n}", key="ab"[n % 2])
    assert connection.ask(JOBS.page("q", State.WAITING, 1, 3)) == ["1", "2", "3"]
    assert connection.ask(JOBS.page("q", State.WAITING, 0, 2, newest_first=True)) == ["5", "4"]
    assert len(claim(connection, 1)) == 2, "one of each key"
    assert connection.ask(JOBS.page("q", State.WAITING)) == ["2", "3", "4", "5"], "full lines are shown as well"


def test_workers_are_known_by_what_they_say(connection: Connection) -> None:
    connection.round_trip(JOBS.beat("w1", {"pid": 7, "host": "here"}, 10_000))
    connection.round_trip(JOBS.beat("w2", {}, 10_000))
    assert {seen.id for seen in connection.ask(JOBS.workers())} == {"w1", "w2"}
    assert connection.ask(JOBS.worker_info("w1")) == {"pid": "7", "host": "here"}
    connection.round_trip(JOBS.leave("w1"))
    connection.round_trip(JOBS.leave("w2"))
    assert connection.ask(JOBS.workers()) == []
    assert connection.ask(JOBS.worker_info("w1")) == {}


def test_queues_are_known_once_they_are_registered(connection: Connection) -> None:
    connection.round_trip([JOBS.register_queue(queue) for queue in ("b", "a", "b")])
    assert connection.ask(JOBS.queues()) == ["a", "b"]


def test_a_repeated_reschedule_from_now_moves_a_job_once(connection: Connection) -> None:
    enqueue(connection, "a")
    later = Jobs("heavylift", Scripts(5_000))

    def ask(jobs: Jobs, nonce: str) -> int:
        moved = connection.ask(jobs.reschedule("q", "a", 60_000, relative=True, nonce=nonce))
        assert moved is not None
        assert moved.done
        assert moved.due_at is not None
        return moved.due_at

    first = ask(JOBS, "n1")
    assert ask(later, "n1") == first, "its reply was lost"
    assert ask(later, "n2") >= first + 5_000, "somebody means it"

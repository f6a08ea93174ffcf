"""The oracle catches what it is there for: each invariant passes a true story and names the fault in a forged one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from heavylift import Context
from heavylift.context import JobInfo
from heavylift.job import AttemptRecord, Counters
from tests.faults import oracle
from tests.faults.ledger import Entry, Ledger, note
from tests.faults.oracle import SECOND, Kept, Vitals
from tests.servers import Server

CRASHED = AttemptRecord(1, "w1", 0, 5, "abandoned")
DONE = AttemptRecord(2, "w2", 6, 9, "completed")
TRUE = Kept("completed", Counters(starts=2, crashes=1), {1: CRASHED, 2: DONE})
"""Its first worker died; the second attempt completed it."""

STORY = [Entry("a", 1, 10, "start", 0), Entry("a", 2, 20, "start", 3 * SECOND), Entry("a", 2, 20, "finish", 4 * SECOND)]


def test_a_true_story_passes() -> None:
    assert oracle.judge(["a"], {"a": TRUE}, STORY) == []


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ({}, "a was acknowledged and is lost"),
        ({"a": replace(TRUE, state="active")}, "a has not ended: it is active"),
        ({"a": replace(TRUE, state="vanished")}, "a is in no known state: 'vanished'"),
    ],
)
def test_a_lost_job_is_named(jobs: dict[str, Kept], said: str) -> None:
    assert oracle.no_loss(["a"], jobs) == [said]


def test_a_job_may_wait_while_not_all_have_ended() -> None:
    assert oracle.no_loss(["a"], {"a": replace(TRUE, state="waiting")}, drained=False) == []


def test_a_run_without_a_claim_and_a_claim_without_a_reason_are_named() -> None:
    once_more = [*STORY, Entry("a", 2, 30, "start", 3 * SECOND)]
    assert oracle.bounded_duplication({"a": TRUE}, once_more) == ["a ran 3 times and was claimed 2 times"]
    unexplained = replace(TRUE, counters=Counters(starts=2))
    assert oracle.bounded_duplication({"a": unexplained}, STORY) == ["a was claimed 2 times, of which 1 are explained"]
    assert oracle.bounded_duplication({"a": TRUE}, STORY, calm=True) == ["a ran 2 times with no fault"]


def test_a_cancelled_job_has_one_start_explained_by_its_end_and_no_more() -> None:
    cancelled = Kept("cancelled", Counters(starts=2, crashes=1), {1: CRASHED})
    assert oracle.bounded_duplication({"a": cancelled}, STORY) == []
    once_more = replace(cancelled, counters=Counters(starts=3, crashes=1))
    assert oracle.bounded_duplication({"a": once_more}, STORY) == ["a was claimed 3 times, of which 2 are explained"]


def test_a_second_completion_is_named() -> None:
    twice = replace(TRUE, attempts={1: replace_cause(CRASHED, "completed"), 2: DONE})
    assert oracle.single_completion({"a": twice}, STORY) == [
        "a completed 2 times, as attempts [1, 2]",
        "a is completed by attempt 1, but its last is 2",
    ]
    fence_twice = [*STORY, Entry("a", 2, 30, "start", 0)]
    assert oracle.single_completion({"a": TRUE}, fence_twice) == ["attempt 2 of a began 2 times"]
    assert oracle.single_completion({"a": TRUE}, STORY[:-1]) == ["a is completed by attempt 2, which never finished"]
    assert oracle.single_completion({"a": replace(TRUE, token="w2.7")}, STORY) == [
        "a has ended and still has a lock: w2.7"
    ]


def replace_cause(record: AttemptRecord, cause: str) -> AttemptRecord:
    return AttemptRecord(record.number, record.worker, record.started_at, record.ended_at, cause)


def test_a_slow_recovery_is_named() -> None:
    died = {10: SECOND}
    assert oracle.recoveries(STORY, died) == [2.0]
    assert oracle.recovery_bound(STORY, died, 2.0) == []
    assert oracle.recovery_bound(STORY, died, 1.5) == [
        "a job was started again 2.00 s after its process died, not within 1.5 s"
    ]
    assert oracle.back_after(STORY, 2 * SECOND) == 2.0
    assert oracle.back_after(STORY, 5 * SECOND) is None


def test_a_rate_that_does_not_come_back_is_named() -> None:
    at_100 = [Entry("a", 1, 1, "finish", n * SECOND // 100) for n in range(500)]
    assert oracle.liveness(at_100, SECOND, baseline=100, within=2) == []
    assert oracle.liveness(at_100, SECOND, baseline=200, within=2) == [
        "100/s at best within 2 s of the fault's end, where 200/s were done before"
    ]
    assert oracle.liveness(at_100, 6 * SECOND, baseline=100, within=2)


def test_what_is_left_in_redis_is_named(any_server: Server) -> None:
    with any_server.client() as redis:
        assert oracle.no_residue(redis) == []
        redis.zadd("heavylift:{q}:locks", {"a": 1})
        redis.hset("heavylift:{q}:job:a", "state", "active")
        redis.set("heavylift:{q}:call:w1", "for ever")
        found = "\n".join(oracle.no_residue(redis))
        redis.flushall()
    for said in ("locks: still there", "job:a: state b'active'", "call:w1: without an expiry"):
        assert said in found


def test_a_job_that_goes_while_keys_are_looked_at_is_not_left(any_server: Server) -> None:
    """As one does whose time is over between the list of keys and the look at it."""

    class Late(redis_py.Redis):
        def scan_iter(self, *args: Any, **options: Any) -> Iterator[Any]:
            yield from list(super().scan_iter(*args, **options))
            self.delete("heavylift:{q}:job:a", "heavylift:{q}:locks")

    with any_server.client() as redis, Late(connection_pool=redis.connection_pool) as late:
        redis.hset("heavylift:{q}:job:a", "state", "completed")
        redis.zadd("heavylift:{q}:locks", {"a": 1})
        redis.hset("heavylift:{q}:job:b", "colour", "red")
        assert oracle.no_residue(late) == ["heavylift:{q}:job:b: state None"]
        redis.flushall()


def test_jobs_are_read_as_redis_has_them(any_server: Server) -> None:
    with any_server.client() as redis:
        fields = {"state": "failed", "starts": 1, "attempts": 1, "reason": "exhausted", "attempt:1": '{"number":1,'}
        fields["attempt:1"] += '"worker":"w","started_at":1,"ended_at":2,"cause":"error"}'
        redis.hset("heavylift:{q}:job:a", mapping=fields)
        found = oracle.kept(redis, [("q", "a"), ("q", "gone")])
        redis.flushall()
    assert found == {"a": Kept("failed", Counters(1, 1), {1: AttemptRecord(1, "w", 1, 2, "error")}, reason="exhausted")}


def test_what_a_process_holds_too_much_of_is_named() -> None:
    before = Vitals(descriptors=20, rss=100 << 20, children=2)
    assert oracle.hygiene(before, Vitals(22, 120 << 20, 2)) == []
    assert oracle.hygiene(before, Vitals(30, 200 << 20, 3)) == [
        "1 more processes than before",
        "10 more descriptors than before",
        "100 MiB more memory than before",
    ]
    assert Vitals.of(os.getpid()).descriptors > 0


def test_an_attempt_of_which_nothing_is_said_is_named() -> None:
    assert oracle.honesty({"a": replace(TRUE, attempts={2: DONE})}) == ["nothing is said of attempts [1] of a"]
    assert oracle.honesty({"a": replace(TRUE, attempts={1: replace_cause(CRASHED, ""), 2: DONE})}) == [
        "attempt 1 of a has no cause"
    ]
    failed = Kept("failed", Counters(starts=1, attempts=1), {1: replace_cause(CRASHED, "error")})
    assert oracle.honesty({"a": failed}) == ["a failed without a reason"]


def test_the_ledger_reads_what_a_handler_noted(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    note(str(ledger.path), Context(JobInfo(id="a"), attempt=3), "start")
    (entry,) = ledger.entries()
    assert (entry.job, entry.attempt, entry.pid, entry.event) == ("a", 3, os.getpid(), "start")
    assert entry.at > 0

"""How long, and how many, ended jobs are kept: as they say, or their handler, their queue, or the settings."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest

from heavylift.decide import Settlement
from heavylift.job import Reason, State
from heavylift.store.connection import Connection
from tests.servers import Server
from tests.store import census
from tests.store.flows import DONE, FAILED, Flows

QUEUE = "q"
DAY = 86_400_000


@pytest.fixture
def flows(connection: Connection) -> Flows:
    return Flows(connection)


def end(flows: Flows, id: str, settlement: Settlement = DONE, handler: str = "h", **keep: Any) -> None:
    """A job that has come to this."""
    flows.put(f"{QUEUE} {id}", handler=handler, flow="", **keep)
    flows.run(f"{QUEUE} {id}", settlement)


def left(flows: Flows, **rules: int) -> set[str]:
    """What is there after all sweeps that are worth it."""
    said = {"keep_completed_ms": DAY, "keep_failed_ms": DAY, "most_completed": 1000, "most_failed": 1000, **rules}
    for _ in range(100):
        if not flows.connection.ask(flows.verbs.sweep(QUEUE, 3, **said)).more:
            break
    else:
        raise AssertionError("the sweeps do not end")
    ids: set[str] = set()
    for state in (State.COMPLETED, State.FAILED, State.CANCELLED):
        ids.update(flows.connection.ask(flows.verbs.page(QUEUE, state)))
    return ids


def test_a_dead_letter_is_kept_for_a_time_of_its_own(flows: Flows) -> None:
    for settlement, name in ((DONE, "done"), (FAILED, "bad")):
        end(flows, f"{name}-plain", settlement)
        end(flows, f"{name}-keep", settlement, keep_ms=1000)
        end(flows, f"{name}-failed", settlement, keep_failed_ms=1000)
        end(flows, f"{name}-both", settlement, keep_ms=1000, keep_failed_ms=5000)
    flows.later(2000)
    assert left(flows) == {"done-plain", "bad-plain", "done-failed", "bad-both"}
    flows.later(5000)
    assert left(flows) == {"done-plain", "bad-plain", "done-failed"}


def test_what_is_set_for_a_queue_goes_before_what_workers_say_until_it_is_taken_back(flows: Flows) -> None:
    def retain(**rules: int | None) -> None:
        for call in flows.verbs.retain(QUEUE, rules):
            flows.connection.ask(call)

    retain(completed=1000, completed_count=2)
    assert left(flows) == set()
    for n in range(4):
        end(flows, f"c{n}")
        end(flows, f"f{n}", FAILED)
    assert left(flows, most_failed=3) == {"c2", "c3", "f1", "f2", "f3"}
    flows.later(2000)
    assert left(flows) == {"f1", "f2", "f3"}
    retain(completed=None, completed_count=None)
    assert left(flows) == {"f1", "f2", "f3"}
    for n in range(4):
        end(flows, f"d{n}")
    flows.later(2000)
    assert left(flows) == {"d0", "d1", "d2", "d3", "f1", "f2", "f3"}


def test_of_each_handler_so_many_are_kept_as_it_says(flows: Flows) -> None:
    for n in range(5):
        end(flows, f"few{n}", handler="few", keep_count=2, keep_failed_count=1)
        end(flows, f"few-bad{n}", FAILED, handler="few", keep_count=2, keep_failed_count=1)
        end(flows, f"all{n}", handler="all")
    assert left(flows) == {"few3", "few4", "few-bad4", *(f"all{n}" for n in range(5))}


def test_the_last_word_of_a_handler_counts(flows: Flows) -> None:
    for n in range(4):
        end(flows, f"a{n}", keep_count=3)
    end(flows, "a4", keep_count=1)
    assert left(flows) == {"a4"}


def test_a_job_that_never_ran_counts_too(flows: Flows) -> None:
    for n in range(3):
        flows.put(f"{QUEUE} x{n}", flow="", keep_failed_count=1, expires_ms=1000)
    flows.put(f"{QUEUE} y", flow="", keep_count=0)
    flows.connection.ask(flows.verbs.cancel(QUEUE, "y"))
    flows.later(2000)
    assert len(left(flows)) == 1


def test_whatever_becomes_of_counted_jobs_nothing_is_left_of_them(flows: Flows, server: Server) -> None:
    """Replayed, revived, removed, discarded: each leaves the count with its end. Unique keys and results go, too."""
    among = random.Random(7)
    with server.client() as client:
        for n in range(60):
            kept = {"keep_count": among.choice([None, 1, 4]), "keep_failed_count": among.choice([None, 2])}
            end(
                flows,
                f"j{n}",
                among.choice([DONE, FAILED]),
                among.choice("gh"),
                unique=f"f.{n % 3}" if n % 5 == 0 else "",
                **kept,
            )
            ids = [f"j{among.randrange(n + 1)}" for _ in range(2)]
            verb = among.choice(["replay", "revive", "remove", "discard", "sweep", "sweep"])
            match verb:
                case "sweep":
                    left(flows)
                case "remove":
                    flows.connection.ask(flows.verbs.remove(QUEUE, ids[0]))
                case _:
                    again = list(dict.fromkeys(ids))
                    extra = (f"n{n}",) if verb == "replay" else ()
                    flows.connection.ask(getattr(flows.verbs, verb)(QUEUE, again, *extra))
            for job in flows.claim(QUEUE, 10):
                flows.settle(job)
            found = census.read(client, flows.verbs.keys(QUEUE))
            census.check(found)
            check_counts(found)
        flows.later(30 * DAY)
        assert left(flows, keep_completed_ms=0, keep_failed_ms=0) == set()
        left(flows)
        found = census.read(client, flows.verbs.keys(QUEUE))
        assert {**found.jobs, **found.zsets, **found.unique} == {}
        assert not [field for field in found.meta if field.startswith("most:")]


def check_counts(found: census.Census) -> None:
    """Those that are counted are those that say so."""
    expected: dict[str, set[str]] = defaultdict(set)
    for id, job in found.jobs.items():
        if job["state"] in census.ENDED and job.get("keep", "").count("/") > 1:
            _, _, ended, failed = [*job["keep"].split("/"), "-"][:4]
            if (failed if job["state"] == "failed" else ended) not in ("-", ""):
                expected[f"of:{job['state']}:{job['handler']}"].add(id)
    counted = {name: set(ids) for name, ids in found.zsets.items() if name.startswith("of:")}
    assert counted == expected


def test_one_sweep_does_no_more_than_it_is_told_to(flows: Flows) -> None:
    for n in range(9):
        end(flows, f"j{n}", Settlement(State.FAILED, reason=Reason.REJECTED), keep_failed_count=0)
    rules = {"keep_completed_ms": DAY, "keep_failed_ms": DAY, "most_completed": 100, "most_failed": 100}
    replies = [flows.connection.ask(flows.verbs.sweep(QUEUE, 4, **rules)) for _ in range(3)]
    assert [(reply.removed, reply.more) for reply in replies] == [(4, True), (4, True), (1, False)]

"""Questions of running handlers get their answers from Redis, through outages, and not one because of another."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, ClassVar

import msgspec
import pytest

from heavylift.asking import Answer, Question, encode
from heavylift.errors import InvalidArgument
from heavylift.store.call import Call
from heavylift.store.connection import Connection, Target
from heavylift.store.jobs import Jobs
from heavylift.worker.answering import Answering, Asker, Plan
from heavylift.worker.contact import Contact
from tests.servers import Server

ASKER = Asker("q", "job", "token")


class Waiting(Question[int], frozen=True):
    """How many jobs wait in the queue of the one who asks, asked several times over."""

    times: int = 1
    answers: ClassVar[Any] = int


class Refused(Question[int], frozen=True):
    how: str
    answers: ClassVar[Any] = int


def waiting(jobs: Jobs, asker: Asker, question: Waiting) -> Plan:
    counts: list[Any] = []
    for _ in range(question.times):
        counts = yield [jobs.counts(asker.queue)]
    return counts[0].waiting


def refused(jobs: Jobs, asker: Asker, question: Refused) -> Plan:
    if question.how == "plan":
        raise InvalidArgument("how", question.how, "is refused")
    if question.how == "defect":
        raise KeyError("defect")
    yield [Call(("q",), ("NONSENSE",), int)]


class Bench:
    def __init__(self, url: str) -> None:
        target = Target.from_url(url)
        contact = Contact("answering", lambda role: Connection(target, name=role))
        self.answering = Answering(Jobs(), contact, {Waiting: waiting, Refused: refused})
        self.answering.start()

    def ask(self, question: Question[Any], patience: float = 10.0) -> SimpleQueue[Answer]:
        answers: SimpleQueue[Answer] = SimpleQueue()
        self.answering.put(ASKER, encode(question), patience, answers.put)
        return answers


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of this test's own, because it is stopped."""
    from tests.conftest import KINDS

    with Server(KINDS["valkey"]()) as server:
        yield server


@pytest.fixture
def bench(server: Server) -> Iterator[Bench]:
    bench = Bench(server.url)
    yield bench
    assert bench.answering.stop()
    assert bench.answering.crashed is None


def value(answer: Answer) -> Any:
    assert not answer.trouble, answer
    return msgspec.msgpack.decode(answer.value)


def test_many_questions_are_answered_each_in_as_many_round_trips_as_it_takes(bench: Bench) -> None:
    asked = [bench.ask(Waiting(times=1 + n % 5)) for n in range(250)]
    assert [value(answers.get(timeout=10)) for answers in asked] == [0] * 250


@pytest.mark.parametrize("how", ["plan", "defect", "redis"])
def test_a_refusal_is_said_and_the_next_question_is_answered(bench: Bench, how: str) -> None:
    refusal = bench.ask(Refused(how)).get(timeout=10)
    assert refusal.trouble
    assert not refusal.away
    assert value(bench.ask(Waiting()).get(timeout=10)) == 0


def test_a_question_this_worker_does_not_know_is_refused(bench: Bench) -> None:
    class Newer(Question[int], frozen=True):
        answers: ClassVar[Any] = int

    assert "does not understand" in bench.ask(Newer()).get(timeout=10).trouble


@pytest.mark.fault
def test_an_outage_is_waited_out_by_the_patient_and_said_to_the_others(bench: Bench, server: Server) -> None:
    assert value(bench.ask(Waiting()).get(timeout=10)) == 0
    server.kill9()
    patient, hasty = bench.ask(Waiting(), 30.0), bench.ask(Waiting(), 0.3)
    said = hasty.get(timeout=5)
    assert said.away
    assert said.trouble
    server.start()
    assert value(patient.get(timeout=10)) == 0


@pytest.mark.fault
def test_who_still_waits_when_the_worker_ends_is_told(bench: Bench, server: Server) -> None:
    server.kill9()
    patient = bench.ask(Waiting(), 60.0)
    assert bench.answering.stop()
    assert patient.get(timeout=1).away

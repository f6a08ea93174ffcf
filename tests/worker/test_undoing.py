"""What an attempt has asked about an effect, and how it stands when the attempt has ended.

The next attempt must find: nothing, if this one was never told to do the effect; the result, if it gave one; doubt, if
it was told and said no more. The attempt is settled behind that. All the ways there are:

| the begin | then | the record | in doubt |
|---|---|---|---|
| was never sent | the handler gives it back, or its attempt ends | none | no |
| was sent, and is open | the handler gives it back, or its attempt ends | taken back | no |
| was sent, its patience is over or it was refused | the handler gives it back, or its attempt ends | taken back | no |
| was told | the handler gives it back (the answer came too late) | taken back | no |
| was told | the handler forgets, and its attempt ends before that is done | taken back | no |
| was told | the handler has a result, and its attempt ends before that is recorded | done | no |
| was told | the attempt ends | begun | yes |
"""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from threading import Event
from typing import Any

import msgspec
import pytest

from heavylift.asking import Answer, Question, encode
from heavylift.once import BeginOnce, DoneOnce, ForgetOnce, Standing
from heavylift.store.connection import Connection, Target
from heavylift.store.effects import EffectRecord
from heavylift.store.jobs import Jobs
from heavylift.worker.answering import Answering
from heavylift.worker.answers import ANSWERS
from heavylift.worker.contact import Contact
from heavylift.worker.questions import Asker
from tests.faults.proxy import Proxy
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

FIRST, SECOND, OTHER = Asker("q", "job", "t1"), Asker("q", "job", "t2"), Asker("q", "other", "t0")
KEEP = 60_000
BEGIN = BeginOnce("k", "n1", KEEP)
AGAIN = BeginOnce("k", "n2", KEEP)


def standing(answers: SimpleQueue[Answer]) -> Standing:
    answer = answers.get(timeout=10)
    assert not answer.trouble, answer
    return msgspec.msgpack.decode(answer.value, type=Standing)


class Bench:
    """An answering that reaches its server through a proxy, and a look past it at what is stored."""

    def __init__(self, server: Server, proxy: Proxy) -> None:
        self.proxy = proxy
        target = Target.from_url(proxy.url)
        self.contact = Contact("answering", lambda role: Connection(target, name=role))
        self.answering = Answering(Jobs(), self.contact, ANSWERS)
        self.answering.start()
        self._past = Connection(Target.from_url(server.url), name="past")

    def ask(self, question: Question[Any], patience: float = 30.0, *, by: Asker = FIRST) -> SimpleQueue[Answer]:
        answers: SimpleQueue[Answer] = SimpleQueue()
        self.answering.put(by, encode(question), patience, answers.put)
        return answers

    def end(self) -> Event:
        """The first attempt ends; set when it may be settled."""
        settled = Event()
        if not self.answering.end(FIRST, settled.set):
            settled.set()
        return settled

    def away(self) -> None:
        """Nobody reaches the server, and the answering knows."""
        self.proxy.refuse()
        self.ask(BeginOnce("another", "n", KEEP), 0.01, by=OTHER).get(timeout=10)
        wait_until("it knows", lambda: self.contact.down_since is not None)

    def stored_unheard(self, patience: float = 30.0) -> SimpleQueue[Answer]:
        """The begin is stored, its answer is lost, and nobody reaches the server any more."""
        assert standing(self.ask(BeginOnce("another", "n", KEEP), by=OTHER)).how == "new"
        self.proxy.black_hole("down")
        answers = self.ask(BEGIN, patience)
        wait_until("it is stored", self.record)
        self.proxy.refuse()
        return answers

    def told(self) -> None:
        """The handler was told to go on."""
        assert standing(self.ask(BEGIN)).how == "new"

    def record(self) -> EffectRecord | None:
        return self._past.ask(Jobs().once("k"))

    def close(self) -> None:
        assert self.answering.stop()
        assert self.answering.crashed is None
        self._past.close()


@pytest.fixture
def bench(server: Server) -> Iterator[Bench]:
    with Proxy(server.socket) as proxy:
        bench = Bench(server, proxy)
        yield bench
        bench.close()


@pytest.fixture
def server() -> Iterator[Server]:
    from tests.conftest import KINDS

    with Server(KINDS["valkey"]()) as server:
        yield server


def test_a_begin_that_was_never_sent_is_not_sent_any_more(bench: Bench) -> None:
    bench.away()
    begin = bench.ask(BEGIN)
    bench.ask(BEGIN.undo())
    assert begin.get(timeout=10).trouble, "it is over at once, though redis is away"
    settled = bench.end()
    bench.proxy.pass_on()
    assert settled.wait(10)
    assert bench.record() is None
    assert standing(bench.ask(AGAIN, by=SECOND)).how == "new"


@pytest.mark.parametrize("handler", ["gives it back", "is killed"])
def test_a_begin_whose_answer_is_lost_is_taken_back_before_the_attempt_is_settled(bench: Bench, handler: str) -> None:
    begin = bench.stored_unheard()
    if handler == "gives it back":
        bench.ask(BEGIN.undo())
    settled = bench.end()
    assert begin.get(timeout=10).trouble, "nobody is told to go on any more"
    assert not settled.is_set()
    bench.proxy.pass_on()
    assert settled.wait(10)
    assert bench.record() is None
    assert standing(bench.ask(AGAIN, by=SECOND)).how == "new"


def test_a_begin_that_was_given_up_is_taken_back_when_its_process_is_killed_before_it_could_say_so(
    bench: Bench,
) -> None:
    assert bench.stored_unheard(patience=0.2).get(timeout=10).away
    settled = bench.end()
    bench.proxy.pass_on()
    assert settled.wait(10)
    assert bench.record() is None


def test_an_effect_that_a_handler_was_told_to_begin_is_in_doubt_when_it_says_no_more(bench: Bench) -> None:
    bench.told()
    assert bench.end().wait(10)
    assert bench.record() is not None
    assert standing(bench.ask(AGAIN, by=SECOND)).how == "in_doubt"


@pytest.mark.parametrize("last", [BEGIN.undo(), DoneOnce("k", b"7", KEEP)], ids=["forget", "done"])
def test_what_a_handler_has_said_last_is_carried_out_before_its_attempt_is_settled(
    bench: Bench, last: Question[Any]
) -> None:
    bench.told()
    bench.proxy.refuse()
    bench.ask(last)
    settled = bench.end()
    wait_until("it was tried", lambda: bench.contact.down_since is not None)
    assert not settled.is_set()
    bench.proxy.pass_on()
    assert settled.wait(10)
    found = standing(bench.ask(AGAIN, by=SECOND))
    assert found == (Standing("new") if isinstance(last, ForgetOnce) else Standing("done", b"7"))


@pytest.mark.parametrize("by", [FIRST, SECOND], ids=["the same attempt", "the next"])
def test_a_begin_goes_behind_what_is_still_to_be_said_of_its_effect(bench: Bench, by: Asker) -> None:
    """A handler that tries again by itself, and an attempt that was not waited for: it has lost its lock."""
    bench.told()
    bench.away()
    bench.ask(BEGIN.undo())
    wait_until("it waits", lambda: any(one.not_before for one in bench.answering._open))
    again = bench.ask(AGAIN, by=by)
    bench.proxy.pass_on()
    assert standing(again).how == "new"


def test_who_has_nothing_open_waits_for_nothing(bench: Bench) -> None:
    bench.told()
    assert bench.ask(DoneOnce("k", b"7", KEEP)).get(timeout=10).value
    assert not bench.answering.end(FIRST, lambda: None)


def test_a_worker_that_ends_without_redis_settles_what_waits(bench: Bench) -> None:
    bench.stored_unheard()
    settled = bench.end()
    assert bench.answering.stop()
    assert settled.is_set()
    assert bench.end().is_set(), "and after that nothing waits"

"""Middleware around `enqueue`, through both clients."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from heavylift import AsyncClient, Client, JobSpec, Middleware, chain
from heavylift.errors import InvalidArgument, InvalidJob, NotAllEnqueued, StoreError
from heavylift.job import Envelope
from heavylift.middleware import MOST_BYTES, MOST_ENTRIES, Enqueuing
from tests.client.shells import OnLoop
from tests.servers import Server


class Notes(Middleware):
    """Writes down what it is told; refuses what it is told to."""

    def __init__(self, name: str = "a", refuse: str = "") -> None:
        self.name = name
        self.refuse = refuse
        self.told: list[tuple[Any, ...]] = []

    def enqueuing(self, job: Enqueuing) -> None:
        job.carrier[self.name] = job.handler
        self.told.append(("enqueuing", job.id))
        if job.handler == self.refuse:
            raise PermissionError(job.handler)

    def enqueued(self, job: Enqueuing, wrong: BaseException | None) -> None:
        self.told.append(("enqueued", job.id, job.duplicate, wrong and type(wrong)))


@pytest.fixture
def make(make_client: Any, url: str) -> Any:
    """`make(middleware)` gives a client of the shell under test with them."""

    def make(*middleware: Middleware, **said: Any) -> Any:
        client = make_client(url, **said)
        inner = client._inner if isinstance(client, OnLoop) else client
        inner.__init__(settings=inner.settings, middleware=middleware or None)
        return client

    return make


def _carrier(job: Any) -> Any:
    options = job.record().options
    assert isinstance(options, Envelope)
    return options.carrier


def test_a_job_carries_what_middleware_puts_into_it(make: Any) -> None:
    notes = Notes()
    job = make(notes).enqueue(JobSpec("h"))
    assert _carrier(job) == {"a": "h"}
    assert notes.told == [("enqueuing", job.id), ("enqueued", job.id, False, None)]


def test_without_middleware_nothing_more_is_stored(make: Any) -> None:
    assert _carrier(make().enqueue(JobSpec("h"))) is None


def test_each_of_many_and_each_of_a_flow_is_announced_before_any_is_sent(make: Any) -> None:
    notes = Notes()
    client = make(notes)
    jobs = client.enqueue_many([JobSpec("h"), JobSpec("i")])
    assert [told[0] for told in notes.told] == ["enqueuing", "enqueuing", "enqueued", "enqueued"]
    assert [_carrier(job) for job in jobs] == [{"a": "h"}, {"a": "i"}]
    flow = client.enqueue_flow(chain(JobSpec("h"), JobSpec("i")))
    assert [told[1] for told in notes.told[4:6]] == [f"{flow.id}.000000", f"{flow.id}.000001"]


class Named(Notes):
    """Adds its name to what it notes."""

    def enqueuing(self, job: Enqueuing) -> None:
        self.told.append(("enqueuing", self.name))

    def enqueued(self, job: Enqueuing, wrong: BaseException | None) -> None:
        self.told.append(("enqueued", self.name))


def test_the_first_is_outermost(make: Any) -> None:
    outer, inner = Named("outer"), Named("inner")
    inner.told = outer.told
    make(outer, inner).enqueue(JobSpec("h"))
    assert outer.told == [("enqueuing", "outer"), ("enqueuing", "inner"), ("enqueued", "inner"), ("enqueued", "outer")]


def test_what_it_raises_before_is_raised_to_the_caller_and_nothing_is_enqueued(make: Any) -> None:
    first, second = Notes("a"), Notes("b", refuse="i")
    client = make(first, second)
    with pytest.raises(PermissionError):
        client.enqueue_many([JobSpec("h"), JobSpec("i")])
    assert client.queues() == []
    assert [told[2:] for told in first.told if told[0] == "enqueued"] == [(False, PermissionError)] * 2


class Fails(Middleware):
    def enqueued(self, job: Enqueuing, wrong: BaseException | None) -> None:
        raise ZeroDivisionError


def test_what_it_raises_afterwards_is_told_once_for_the_job_is_in(make: Any) -> None:
    client = make(Fails())
    with capture_logs() as logs:
        jobs = client.enqueue_many([JobSpec("h")] * 3)
    assert [job.state() for job in jobs] == ["waiting"] * 3
    assert len(logs) == 1


class Fills(Middleware):
    def __init__(self, carrier: dict[str, Any]) -> None:
        self.carrier = carrier

    def enqueuing(self, job: Enqueuing) -> None:
        job.carrier.update(self.carrier)


def test_a_carrier_travels_as_plain_strings_that_can_be_written(make: Any) -> None:
    class Text(str):
        """As `numpy.str_` is one."""

    assert _carrier(make(Fills({Text("a"): Text("caf\udce9")})).enqueue(JobSpec("h"))) == {"a": "caf\\udce9"}


@pytest.mark.parametrize(
    "carrier", [{"n": 1}, {1: "n"}, {"n": "x" * MOST_BYTES}, {str(n): "" for n in range(MOST_ENTRIES + 1)}]
)
def test_a_carrier_is_small_and_made_of_strings(make: Any, carrier: dict[str, Any]) -> None:
    client = make(Fills(carrier))
    with pytest.raises(InvalidArgument, match="carrier"):
        client.enqueue(JobSpec("h"))
    assert client.queues() == []


class Correlates(Middleware):
    def __init__(self, value: Any) -> None:
        self.value = value

    def enqueuing(self, job: Enqueuing) -> None:
        job.correlation_id = job.correlation_id or self.value


def test_it_may_give_a_correlation_id(make: Any) -> None:
    client = make(Correlates("request-7"))
    ids = [
        client.enqueue(JobSpec("h"), **said).record().options.correlation_id for said in ({}, {"correlation_id": "x"})
    ]
    assert ids == ["request-7", "x"]
    with pytest.raises(InvalidArgument, match="correlation_id"):
        make(Correlates(7)).enqueue(JobSpec("h"))


def test_a_duplicate_is_told_with_the_id_of_the_job_that_was_there(make: Any) -> None:
    notes = Notes()
    client = make(notes)
    first = client.enqueue(JobSpec("h"), unique=True)
    client.enqueue(JobSpec("h"), unique=True)
    assert notes.told[-1] == ("enqueued", first.id, True, None)


@pytest.mark.allow_keys("*")
def test_of_jobs_that_were_not_all_enqueued_each_is_told_its_own_fate(make: Any, any_server: Server) -> None:
    any_server.command("SET", "heavylift:{bad}:meta", "not a hash")
    notes = Notes()
    with pytest.raises(NotAllEnqueued):
        make(notes).enqueue_many([JobSpec("h"), JobSpec("h", queue="bad")])
    good, bad = notes.told[2:]
    assert good[2:] == (False, None)
    assert issubclass(bad[3], StoreError)


def test_a_job_that_will_not_do_is_told_as_such(make: Any) -> None:
    notes = Notes()
    with pytest.raises(InvalidJob):
        make(notes).enqueue(JobSpec("h", {"x": object()}))
    assert [told[0] for told in notes.told] == ["enqueuing", "enqueued"]
    assert notes.told[-1][3] is InvalidJob


def test_a_name_that_leads_nowhere_is_refused_when_the_first_job_is_enqueued(make: Any) -> None:
    for name, why in [("no_such_module:X", "imported"), ("heavylift:Client", "is no Middleware")]:
        client = make(middleware=(name,))
        with pytest.raises(InvalidArgument, match=why):
            client.enqueue(JobSpec("h"))
        assert client.queues() == []


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_middleware_is_refused_at_once(kind: Any, url: str) -> None:
    with pytest.raises(InvalidArgument, match="derived from"):
        kind(url, middleware=[object()])

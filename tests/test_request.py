from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heavylift.codec import decode_envelope
from heavylift.errors import HandlerError, InvalidArgument, InvalidJob, PayloadTooLarge
from heavylift.handler import handler
from heavylift.job import JobSpec
from heavylift.options import ID, Backoff, JobOptions
from heavylift.request import NAMES, Requests, said
from heavylift.store.jobs import NewJob
from heavylift.unique import Unique

PLAIN = JobSpec("resize", {"width": 800})


def make(spec: JobSpec[Any] = PLAIN, **options: Any) -> NewJob:
    return Requests(1000).make(spec, said(options))[1]


def test_a_plain_request_is_a_job_with_an_id_of_its_own_and_its_arguments() -> None:
    queue, job = Requests(1000).make(PLAIN)
    assert queue == "default"
    assert ID.fullmatch(job.id)
    assert job.options == ""
    envelope = decode_envelope(job.spec)
    assert (envelope.handler, bytes(envelope.args)) == ("resize", b'{"width":800}')


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"id": "mine"}, "id", "mine"),
        ({"delay": 1.5}, "delay_ms", 1500),
        ({"delay": timedelta(minutes=1)}, "delay_ms", 60_000),
        ({"delay": 0.0001}, "delay_ms", 1),
        ({"at": datetime(2030, 1, 1, tzinfo=UTC)}, "due_ms", 1_893_456_000_000),
        ({"priority": -3}, "priority", -3),
        ({"expires": 10}, "expires_ms", 10_000),
        ({"keep": timedelta(hours=1)}, "keep_ms", 3_600_000),
        ({"group": "images"}, "group", "images"),
        ({"key": "account@7"}, "key", "account@7"),
    ],
)
def test_what_the_store_needs_is_stored_in_its_units(options: dict[str, Any], field: str, value: object) -> None:
    assert getattr(make(**options), field) == value


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"retries": 0}, "retries", 0),
        ({"backoff": 5}, "backoff", Backoff(delays=(5.0,), jitter=0.0)),
        ({"backoff": [1, 2]}, "backoff", Backoff(delays=(1.0, 2.0), jitter=0.0)),
        ({"timeout": 60}, "timeout", 60),
        ({"timeout": timedelta(minutes=1)}, "timeout", 60.0),
        ({"grace": 2}, "grace", 2),
        ({"grace": timedelta(seconds=2)}, "grace", 2.0),
        ({"tags": ["a", "b"]}, "tags", ("a", "b")),
        ({"correlation_id": "req-7"}, "correlation_id", "req-7"),
    ],
)
def test_what_the_worker_needs_travels_in_the_envelope(options: dict[str, Any], field: str, value: object) -> None:
    assert getattr(decode_envelope(make(**options).spec), field) == value


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"id": "has space"}, "id"),
        ({"id": 7}, "id"),
        ({"queue": "a/b"}, "queue"),
        ({"delay": -1}, "delay"),
        ({"delay": "5"}, "delay"),
        ({"delay": True}, "delay"),
        ({"delay": 1, "at": datetime(2030, 1, 1, tzinfo=UTC)}, "at"),
        ({"at": datetime(2030, 1, 1)}, "at"),
        ({"at": 1_893_456_000}, "at"),
        ({"priority": 1.5}, "priority"),
        ({"priority": 1001}, "priority"),
        ({"retries": -1}, "retries"),
        ({"backoff": "long"}, "backoff"),
        ({"backoff": []}, "backoff.delays"),
        ({"timeout": 0}, "timeout"),
        ({"expires": float("nan")}, "expires"),
        ({"keep": -1}, "keep"),
        ({"tags": "abc"}, "tags"),
        ({"tags": [""]}, "tags"),
        ({"correlation_id": 5}, "correlation_id"),
        ({"group": ""}, "group"),
        ({"key": "a key"}, "key"),
        ({"dealy": 5}, "dealy"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        make(**options)
    assert refused.value.field == field


SOON = datetime.now(UTC) + timedelta(hours=2)


@pytest.mark.parametrize(
    "put_off",
    [
        {"delay": 7200},
        {"delay": 60},
        {"delay": timedelta(hours=2)},
        {"at": SOON},
        {"unique": Unique(by="k", debounce=7200)},
        {"unique": Unique(by="k", debounce=7200, max_wait=90)},
    ],
    ids=" ".join,
)
def test_a_job_that_expires_before_it_may_start_is_refused(put_off: dict[str, Any]) -> None:
    of_handler = JobSpec("resize", options=JobOptions(expires=60))
    for refused in (lambda: make(**put_off, expires=60), lambda: make(of_handler, **put_off)):
        with pytest.raises(InvalidArgument) as wrong:
            refused()
        assert wrong.value.field == "expires"
        name, value = next(iter(put_off.items()))
        named = f"unique.debounce={value.debounce}" if isinstance(value, Unique) else f"{name}={value}"
        assert "expires=60: is over before the job may start" in str(wrong.value)
        assert named in str(wrong.value)


@pytest.mark.parametrize(
    "put_off",
    [
        {"delay": 59},
        {"delay": 0},
        {"at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"at": datetime.now(UTC)},
        {"unique": Unique(by="k", debounce=7200, max_wait=30)},
    ],
    ids=" ".join,
)
def test_a_job_that_may_start_before_it_expires_is_taken(put_off: dict[str, Any]) -> None:
    assert make(**put_off, expires=60).expires_ms == 60_000


def test_a_handler_whose_jobs_would_expire_before_they_may_start_is_refused() -> None:
    with pytest.raises(HandlerError, match="expires=10: is over before the job may start"):

        @handler(unique=Unique(debounce=30), expires=10)
        def index(page: str) -> None: ...


def test_an_unknown_option_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(InvalidArgument, match="did you mean delay"):
        make(dealy=5)


@pytest.mark.parametrize("name", NAMES)
def test_none_is_the_same_as_not_said(name: str) -> None:
    spec = JobSpec("resize", options=JobOptions(priority=5, expires=9))
    assert make(spec, **{name: None}).options == make(spec).options


def test_options_said_go_over_those_of_the_request() -> None:
    spec = JobSpec("resize", queue="images", options=JobOptions(priority=5, expires=9))
    queue, job = Requests(1000).make(spec, said({"priority": 1, "queue": "fast"}))
    assert (queue, job.priority, job.expires_ms) == ("fast", 1, 9000)


def test_a_delay_said_replaces_a_time_of_the_request() -> None:
    spec = JobSpec("resize", options=JobOptions(at=datetime(2030, 1, 1, tzinfo=UTC)))
    job = make(spec, delay=3)
    assert (job.delay_ms, job.due_ms) == (3000, None)


def test_the_delay_of_a_handler_is_that_of_its_jobs_unless_something_else_says_when_they_are_due() -> None:
    @handler(delay=60)
    def remind(whom: str) -> None: ...

    spec, at = remind.job("ada"), datetime(2030, 1, 1, tzinfo=UTC)
    assert make(spec).delay_ms == 60_000
    assert make(spec, delay=0).delay_ms == 0
    for job in make(spec, at=at), make(spec.with_options(JobOptions(at=at))):
        assert (job.delay_ms, job.due_ms) == (0, int(at.timestamp()) * 1000)
    debounced = make(spec, unique=Unique(debounce=5))
    assert (debounced.delay_ms, debounced.quiet_ms) == (0, 5000)
    assert Requests(1000).make_repeated(spec)[1].delay_ms == 0, "a schedule's tick does"


def test_what_was_said_for_one_job_does_not_stick_to_the_next() -> None:
    requests = Requests(1000)
    assert requests.make(PLAIN, said({"priority": 4}))[1].priority == 4
    assert requests.make(PLAIN)[1].priority == 0


def test_a_request_made_by_hand_is_checked_too() -> None:
    with pytest.raises(InvalidArgument, match="timeout"):
        make(JobSpec("resize", options=JobOptions(timeout=-1)))


def test_arguments_above_the_limit_are_refused() -> None:
    with pytest.raises(PayloadTooLarge, match="max_payload"):
        make(JobSpec("resize", {"text": "x" * 1000}))


@pytest.mark.parametrize("wrong", [lambda: None, "resize", None, {"handler": "resize"}])
def test_something_else_than_a_request_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidJob, match=r"handler\.job"):
        make(wrong)

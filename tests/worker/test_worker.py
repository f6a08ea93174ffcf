"""What a worker does with jobs, seen from Redis."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from heavylift.errors import Unavailable
from heavylift.job import JobSpec, State
from heavylift.lanes.cpu import CpuLane
from heavylift.options import JobOptions
from heavylift.store.channel import Channel
from heavylift.store.connection import Connection
from heavylift.worker.worker import Worker
from tests.servers import Server
from tests.waiting import wait_until
from tests.worker import handlers
from tests.worker.conftest import StartWorker, Store


def test_an_idle_worker_is_woken_by_an_enqueue_long_before_it_would_poll(
    start_worker: StartWorker, store: Store
) -> None:
    start_worker(poll=30.0)
    for value in range(20):
        job = store.enqueue(handlers.echo.job(value))
        assert store.ended(job, timeout=5.0).result == value


class Deaf(Worker):
    """Every wake-up is lost."""

    def _open_channel(self) -> Channel:
        raise Unavailable("this worker hears nothing")


def test_when_every_wake_up_is_lost_it_polls(start_worker: StartWorker, store: Store) -> None:
    start_worker(Deaf, poll=0.2)
    for value in range(3):
        assert store.ended(store.enqueue(handlers.echo.job(value)), timeout=5.0).result == value


def test_a_delayed_job_starts_when_it_is_due_and_not_before(start_worker: StartWorker, store: Store) -> None:
    start_worker(poll=30.0)
    job = store.enqueue(handlers.echo.job(1), delay_ms=300)
    record = store.ended(job)
    assert record.started_at is not None
    assert record.started_at - record.enqueued_at >= 300


class HearsLate(Worker):
    """A job comes just before each time it begins to listen, so the wake-up for it finds nobody."""

    def _open_channel(self) -> Channel:
        store = Store(str(self.settings.redis_url))
        try:
            self.jobs_before.append(store.enqueue(handlers.echo.job(1)))
        finally:
            store.connection.close()
        return super()._open_channel()

    jobs_before: ClassVar[list[str]] = []


def test_a_wake_up_from_before_it_listened_is_made_up_for(start_worker: StartWorker, store: Store) -> None:
    HearsLate.jobs_before.clear()
    start_worker(HearsLate, poll=30.0)
    wait_until("it listens", lambda: HearsLate.jobs_before)
    store.ended(HearsLate.jobs_before[0])
    store.connection.command("CLIENT", "KILL", "TYPE", "pubsub")
    wait_until("it listens again", lambda: len(HearsLate.jobs_before) > 1)
    store.ended(HearsLate.jobs_before[1])


class LosesReplies(Worker):
    """Every third reply to the dispatcher is lost on the way, after the calls have run."""

    def _connect(self, role: str) -> Connection:
        return Forgetful(self._locate(), name=role) if role == "dispatcher" else super()._connect(role)


class Forgetful(Connection):
    trips = 0

    def round_trip(self, calls: Any, meanwhile: Any = None) -> list[Any]:
        replies = super().round_trip(calls, meanwhile)
        type(self).trips += 1
        if type(self).trips % 3 == 0:
            self.close()
            raise Unavailable("the reply was lost")
        return replies


def test_lost_replies_neither_lose_a_job_nor_run_one_twice(start_worker: StartWorker, store: Store) -> None:
    worker = start_worker(LosesReplies)
    jobs = [store.enqueue(handlers.echo.job(value)) for value in range(100)]
    assert [store.ended(job, timeout=30).result for job in jobs] == list(range(100))
    assert {store.record(job).counters.starts for job in jobs} == {1}
    wait_until("all is settled", lambda: worker.dispatcher.settled == 100)


def test_nothing_is_claimed_without_a_free_place(start_worker: StartWorker, store: Store) -> None:
    start_worker(places=2)
    jobs = [store.enqueue(handlers.wait_for.job(gate="g")) for _ in range(6)]
    wait_until("two run", lambda: len(handlers.running) == 2)
    probe = store.enqueue(handlers.echo.job(1), priority=-1)
    assert sum(store.state(job) == State.ACTIVE for job in jobs) == 2
    assert store.state(probe) == State.WAITING
    handlers.gates["g"].set()
    assert store.ended(probe).state == State.COMPLETED
    for job in jobs:
        store.ended(job)


def test_a_heavy_backlog_does_not_hold_up_a_light_job(start_worker: StartWorker, store: Store) -> None:
    start_worker(queues={"light": 1, "heavy": 1}, slots=1)
    heavy = [store.enqueue(handlers.spin.job(seconds=0.5)) for _ in range(5)]
    wait_until("a heavy one runs", lambda: store.state(heavy[0], "heavy") != State.WAITING)
    light = store.enqueue(handlers.echo.job(7))
    assert store.ended(light).result == 7
    assert store.state(heavy[-1], "heavy") == State.WAITING
    for job in heavy:
        store.ended(job, "heavy", timeout=20)


# --- what cannot be run --------------------------------------------------------------------------------------


def test_a_job_on_a_queue_of_the_other_lane_is_invalid_and_says_why(start_worker: StartWorker, store: Store) -> None:
    start_worker()
    record = store.ended(store.enqueue(handlers.spin.job(seconds=0.0), queue="light"))
    assert (record.state, record.reason) == (State.FAILED, "invalid")
    assert "belongs to the cpu lane" in record.attempts[-1].message


def test_a_job_of_an_unknown_handler_is_put_back_for_a_while(start_worker: StartWorker, store: Store) -> None:
    start_worker()
    job = store.enqueue(JobSpec("not_deployed_yet", {}, queue="light"))
    wait_until("it is put back", lambda: store.state(job) == State.DELAYED)
    counters = store.record(job).counters
    assert (counters.unknown, counters.attempts) == (1, 0)


def test_a_job_that_cannot_be_read_is_a_dead_letter_and_the_next_one_runs(
    start_worker: StartWorker, store: Store
) -> None:
    start_worker()
    broken = store.enqueue(handlers.echo.job(1), raw=b"\xff not json")
    good = store.enqueue(handlers.echo.job(2))
    assert store.ended(broken).reason == "malformed"
    assert store.ended(good).result == 2


def test_arguments_that_do_not_fit_are_a_dead_letter_without_a_retry(start_worker: StartWorker, store: Store) -> None:
    start_worker()
    record = store.ended(store.enqueue(JobSpec("echo", {"value": "seven"}, queue="light")))
    assert (record.reason, record.counters.starts) == ("invalid", 1)
    assert "value" in record.attempts[-1].message


# --- failing, retrying -----------------------------------------------------------------------------------------


def test_a_failing_job_is_retried_and_then_a_dead_letter_with_its_history(
    start_worker: StartWorker, store: Store
) -> None:
    start_worker()
    record = store.ended(store.enqueue(handlers.fails.job(message="no luck")))
    assert (record.state, record.reason) == (State.FAILED, "exhausted")
    assert (record.counters.attempts, record.counters.starts) == (3, 3)
    assert [attempt.cause for attempt in record.attempts] == ["error"] * 3
    assert "no luck" in record.attempts[-1].traceback


# --- progress ----------------------------------------------------------------------------------------------------


def test_an_outcome_of_which_no_settlement_can_be_made_is_a_failure_and_nothing_else_suffers(
    start_worker: StartWorker, store: Store
) -> None:
    start_worker()
    record = store.ended(store.enqueue(handlers.changes_its_retry.job()))
    assert record.state is State.COMPLETED, "it was tried again, from its checkpoint"
    assert [(one.cause, one.error) for one in record.attempts] == [("error", "TypeError"), ("completed", "")]
    assert store.ended(store.enqueue(handlers.echo.job(1))).result == 1


def test_the_last_progress_is_kept_whatever_was_held_back(start_worker: StartWorker, store: Store) -> None:
    start_worker()
    record = store.ended(store.enqueue(handlers.reports.job(steps=500)))
    assert record.progress is not None
    assert (record.progress.fraction, record.progress.message) == (1.0, "step 500")


@pytest.mark.parametrize(("name", "queue"), [("reads_here", "light"), ("reads_there", "heavy")])
def test_handlers_use_files_in_the_folders_of_the_worker_s_settings_and_nowhere_else(
    name: str, queue: str, start_worker: StartWorker, store: Store, tmp_path: Path
) -> None:
    """However the worker was started: no variable of the environment is needed."""
    root, allowed, other = (tmp_path / name for name in ("root", "allowed", "other"))
    for folder in (root, allowed, other):
        folder.mkdir()
        (folder / "a.txt").write_text(folder.name)
    start_worker(queues={queue: 1}, root=root, allowed_roots=(allowed,))
    jobs = [store.enqueue(JobSpec(name, {"path": str(folder / "a.txt")}, queue)) for folder in (allowed, other, root)]
    records = [store.ended(job, queue) for job in jobs]
    assert [record.state for record in records] == [State.COMPLETED, State.FAILED, State.FAILED]
    assert records[0].result == "allowed"
    assert all("outside the allowed folders" in record.attempts[0].message for record in records[1:])


# --- cancelling ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wait_for", "block_for"])
def test_a_running_light_job_is_cancelled(name: str, start_worker: StartWorker, store: Store) -> None:
    start_worker()
    job = store.enqueue(getattr(handlers, name).job(gate="never"))
    wait_until("it runs", lambda: handlers.running == [job])
    reply = store.connection.ask(store.jobs.cancel("light", job))
    assert reply is not None
    assert reply.how == "asked"
    assert store.ended(job).state == State.CANCELLED


def test_a_running_heavy_job_is_cancelled(start_worker: StartWorker, store: Store) -> None:
    start_worker(queues={"heavy": 1})
    job = store.enqueue(handlers.nap.job())
    wait_until("it runs", lambda: store.record(job, "heavy").progress)
    store.connection.ask(store.jobs.cancel("heavy", job))
    assert store.ended(job, "heavy").state == State.CANCELLED


@pytest.mark.parametrize(("name", "grace"), [("spin", 0.25), ("nap", 0.3)])
def test_the_grace_of_the_settings_is_that_of_handlers_that_name_none(
    name: str, grace: float, start_worker: StartWorker, store: Store
) -> None:
    worker = start_worker(queues={"heavy": 1}, grace=0.25)
    spec: Any = handlers.nap.job() if name == "nap" else handlers.spin.job(30)
    job = store.enqueue(spec)
    cpu = worker.lanes["cpu"]
    assert isinstance(cpu, CpuLane)
    (call,) = wait_until("it runs", lambda: list(cpu._keeper.calls.values()))
    assert call.start.grace == grace
    store.connection.ask(store.jobs.cancel("heavy", job))
    assert store.ended(job, "heavy").state == State.CANCELLED


def test_a_cancel_whose_message_is_lost_arrives_with_the_heartbeat(start_worker: StartWorker, store: Store) -> None:
    start_worker(Deaf, poll=0.1, lock=1.0)
    job = store.enqueue(handlers.wait_for.job(gate="never"))
    wait_until("it runs", lambda: handlers.running == [job])
    store.connection.ask(store.jobs.cancel("light", job))
    assert store.ended(job).state == State.CANCELLED


def test_a_stop_never_strikes_inside_the_worker_s_own_calls(start_worker: StartWorker, store: Store) -> None:
    """It would leave a lock of the worker's held for ever: the relay's, for a handler that reports all the time."""
    worker = start_worker()
    for _ in range(40):
        handlers.running.clear()
        job = store.enqueue(handlers.saves_for_ever.job())
        wait_until("it runs", lambda: handlers.running)
        store.connection.ask(store.jobs.cancel("light", job))
        assert store.ended(job).state == State.CANCELLED
    assert worker.relay._guard.acquire(timeout=1.0)
    worker.relay._guard.release()


@pytest.mark.parametrize("how", ["reject", "retry", "log", "progress"])
def test_text_that_is_no_utf8_harms_nobody(how: str, start_worker: StartWorker, store: Store) -> None:
    worker = start_worker()
    record = store.ended(store.enqueue(handlers.says.job(how=how)))
    assert record.state == (State.FAILED if how in ("reject", "retry") else State.COMPLETED)
    assert worker.crashed is None


# --- contact lost --------------------------------------------------------------------------------------------------


def test_an_attempt_without_contact_is_stopped_before_its_lock_ends_and_goes_back_free(
    start_worker: StartWorker, store: Store, any_server: Server
) -> None:
    worker = start_worker(lock=4.0, command_timeout=0.3, poll=0.2)
    job = store.enqueue(handlers.wait_for.job(gate="g"))
    wait_until("it runs", lambda: handlers.running == [job])
    any_server.pause()
    try:
        wait_until("it was stopped", lambda: all(entry.ended for entry in worker.running.entries()), timeout=10)
        assert time.monotonic() - worker.running.entries()[0].renewed < 4.0
    finally:
        any_server.resume()
    handlers.gates["g"].set()
    record = store.ended(job)
    assert record.state == State.COMPLETED
    counters = record.counters
    assert (counters.starts, counters.attempts, counters.crashes, counters.interruptions) == (2, 0, 0, 1)


def test_a_handler_may_finish_without_contact(start_worker: StartWorker, store: Store, any_server: Server) -> None:
    worker = start_worker(lock=1.5, command_timeout=0.3, poll=0.2)
    job = store.enqueue(handlers.wait_for_anyway.job(gate="g"))
    wait_until("it runs", lambda: handlers.running == [job])
    any_server.pause()
    try:
        wait_until("contact is lost", lambda: not worker.dispatcher.in_contact or worker.heartbeat.out_of_contact)
        handlers.gates["g"].set()
        wait_until("it has ended", lambda: all(entry.ended for entry in worker.running.entries()))
    finally:
        any_server.resume()
    record = store.ended(job)
    assert (record.state, record.counters.starts) == (State.COMPLETED, 1)


# --- many workers -----------------------------------------------------------------------------------------------


def test_one_enqueue_wakes_one_worker(start_worker: StartWorker, store: Store) -> None:
    workers = [start_worker(poll=30.0) for _ in range(4)]
    seen: list[list[int]] = []

    def rounds() -> list[int] | None:
        """Once all are idle, and have noticed it themselves."""
        seen.append([worker.dispatcher.rounds for worker in workers])
        idle = store.connection.command("ZCARD", store.jobs.keys("light").idle) == 4
        return seen[-1] if idle and seen[-4:] == seen[-1:] * 4 else None

    before = wait_until("all are idle", rounds)
    store.ended(store.enqueue(handlers.echo.job(1)))
    seen.clear()
    after = wait_until("all are idle again", rounds)
    woken = [now > then for now, then in zip(after, before, strict=True)]
    assert sum(woken) == 1


def test_a_woken_worker_without_a_place_passes_it_on(start_worker: StartWorker, store: Store) -> None:
    start_worker(poll=30.0, places=1)
    job = store.enqueue(handlers.wait_for.job(gate="g"))
    wait_until("it runs", lambda: handlers.running == [job])
    start_worker(poll=30.0, places=1)
    assert store.ended(store.enqueue(handlers.echo.job(5))).result == 5
    handlers.gates["g"].set()
    store.ended(job)


def test_a_wake_up_whose_place_went_to_another_queue_is_passed_on(start_worker: StartWorker, store: Store) -> None:
    """Two workers with a place each, two jobs in two queues at once: each worker takes one, and nobody polls."""
    first = start_worker(poll=30.0, places=1, queues={"light": 1, "slow": 1})
    second = start_worker(poll=30.0, places=1, queues={"light": 1, "slow": 1})
    for round in range(5):
        for queue in ("light", "slow"):
            idle = store.jobs.keys(queue).idle
            wait_until("both are idle", lambda idle=idle: store.connection.command("ZCARD", idle) == 2)  # type: ignore[misc]
        gate = f"g{round}"
        handlers.running.clear()
        store.enqueue(handlers.wait_for.job(gate=gate))
        store.enqueue(handlers.wait_slowly.job(gate=gate))
        wait_until("both run", lambda: len(handlers.running) == 2)
        handlers.gates[gate].set()
        wait_until("both have ended", lambda: len(first.running) + len(second.running) == 0)


def test_an_attempt_that_waits_for_what_it_has_asked_keeps_its_lock(start_worker: StartWorker, store: Store) -> None:
    """Through an outage longer than a lock, too: it is settled when redis is back."""
    worker = start_worker()
    job = store.enqueue(handlers.wait_for.job(gate="g"))
    wait_until("it runs", lambda: handlers.running == [job])
    (running,) = worker.running.entries()
    gone = replace(running, job=replace(running.job, token="its lane has it no more"))
    assert not worker.heartbeat._left_behind(gone, 0.0)
    assert worker.heartbeat._left_behind(gone, 1000.0), "it is let go if nobody settles it"
    gone.waits = True
    assert not worker.heartbeat._left_behind(gone, 1000.0)


def test_the_older_of_two_attempts_of_one_job_is_the_one_that_lost(start_worker: StartWorker, store: Store) -> None:
    worker = start_worker()
    job = store.enqueue(handlers.wait_for.job(gate="g"))
    wait_until("it runs", lambda: handlers.running == [job])
    (older,) = worker.running.entries()
    newer = replace(older, job=replace(older.job, token="of a later claim"))
    worker.running.add(newer)
    try:
        assert worker.heartbeat._newest() == [newer]
        assert (older.lost, newer.lost) == (True, False)
        wait_until("the older one has ended", lambda: worker.sink.outcomes.get("lock_lost") == 1)
    finally:
        worker.running.remove(job, newer.job.token)
        wait_until("the attempt has ended", lambda: not len(worker.running))
        store.connection.command("FLUSHALL")


def test_a_worker_runs_only_what_fits_where_jobs_take_several_places_and_all_of_them_run(
    start_worker: StartWorker, store: Store
) -> None:
    handlers.gates["now"].set()
    slow = [store.enqueue(handlers.wait_slowly.job("now")) for _ in range(10)]
    light = [store.enqueue(handlers.wait_for.job("now")) for _ in range(40)]
    worker = start_worker(queues={"light": 1, "slow": 1}, costs={"slow": 3}, places=4)
    most = 0

    def all_ended() -> bool:
        nonlocal most
        taken = [entry.job.queue for entry in worker.running.entries() if entry.lane is not None and not entry.ended]
        most = max(most, sum(3 if queue == "slow" else 1 for queue in taken))
        return worker.dispatcher.settled == len(slow) + len(light)

    wait_until("all to have ended", all_ended, 20)
    assert most <= 4
    assert {store.state(job, "slow") for job in slow} == {State.COMPLETED}


def test_a_job_that_takes_every_place_gets_its_turn_among_those_that_take_one(
    start_worker: StartWorker, store: Store
) -> None:
    """The light jobs never leave all places free by themselves: each enqueues its successor before it ends."""
    worker = start_worker(queues={"light": 1, "slow": 1}, costs={"slow": 4}, places=4, poll=0.2)
    for number in range(60):
        store.enqueue(handlers.wait_for.job(f"gate{number}"))
    wait_until("four of them to run", lambda: len(handlers.running) == 4)
    handlers.gates["large"].set()
    large = store.enqueue(handlers.wait_slowly.job("large"))
    for number in range(60):
        if store.state(large, "slow").ended:
            break
        handlers.gates[f"gate{number}"].set()
        settled = worker.dispatcher.settled
        wait_until("one more to have ended", lambda before=settled: worker.dispatcher.settled > before)
    else:
        raise AssertionError("it had to wait for all of them")
    for number in range(60):
        handlers.gates[f"gate{number}"].set()
    wait_until("the others to end", lambda: worker.dispatcher.settled == 61)


# --- log lines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", [handlers.says_plainly, handlers.says_on_the_loop, handlers.says_heavily])
def test_every_line_of_a_handler_tells_whose_it_is(handler: Any, start_worker: StartWorker, store: Store) -> None:
    """What a handler logs is written with job, queue, handler, attempt and correlation id, in every lane."""
    start_worker(queues={handler.queue: 1})
    spec = JobSpec(handler.name, queue=handler.queue, options=JobOptions(correlation_id="request-7"))
    with capture_logs() as logs:
        job = store.enqueue(spec)
        store.ended(job, handler.queue)
        lines = wait_until("its line", lambda: [log for log in logs if "hello" in log["event"]])
    assert {log["event"] for log in lines} == {"hello n=1"}
    fields = {"job": job, "queue": handler.queue, "handler": handler.name, "attempt": 1, "correlation_id": "request-7"}
    assert all(log.items() >= fields.items() for log in lines)

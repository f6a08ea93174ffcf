"""An effect is started at most once whatever dies around it; what was recorded is given again, and doubt is said."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from heavylift import Client, Job, JobFailed
from tests.faults import jobs
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]

KINDS = [jobs.charges, jobs.charges_lightly, jobs.charges_async]


def effects(ledger: Ledger, key: str = "k") -> int:
    return sum(ledger.counts(f"effect-{key}").values())


@pytest.mark.parametrize("handler", KINDS, ids=lambda handler: handler.name)
def test_a_later_job_gets_what_the_first_recorded(
    handler: Any, start_worker: StartWorker, client: Client, ledger: Ledger
) -> None:
    start_worker()
    for _ in range(3):
        assert client.enqueue(handler.job(ledger=str(ledger.path), key="k")).result(20) == "receipt of k"
    assert effects(ledger) == 1


def test_a_child_killed_in_the_middle_of_the_effect_leaves_it_in_doubt_and_it_is_not_done_again(
    start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path
) -> None:
    start_worker()
    job = client.enqueue(jobs.charges.job(ledger=str(ledger.path), key="k", gate=str(tmp_path / "gate")))
    wait_until("the effect has happened", lambda: effects(ledger))
    os.kill(ledger.starts(job.id)[0].pid, signal.SIGKILL)
    with pytest.raises(JobFailed, match="whether it happened is not known") as failure:
        job.result(20)
    assert failure.value.reason == "in_doubt"
    assert effects(ledger) == 1

    repeats = client.enqueue(jobs.charges.job(ledger=str(ledger.path), key="k", repeat=True))
    assert repeats.result(20) == "receipt of k", "asked to, it does it again"
    assert effects(ledger) == 2


def test_a_child_killed_after_the_record_does_not_do_it_again(
    start_worker: StartWorker, client: Client, ledger: Ledger
) -> None:
    start_worker()
    job = client.enqueue(jobs.charges.job(ledger=str(ledger.path), key="k", then_die=True))
    assert job.result(20) == "receipt of k"
    assert len(ledger.starts(job.id)) == 2
    assert effects(ledger) == 1


@pytest.mark.parametrize("handler", KINDS, ids=lambda handler: handler.name)
def test_a_worker_killed_in_the_middle_of_the_effect_leaves_it_in_doubt(
    handler: Any, start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path
) -> None:
    first = start_worker()
    job = client.enqueue(handler.job(ledger=str(ledger.path), key="k", gate=str(tmp_path / "gate")))
    wait_until("the effect has happened", lambda: effects(ledger))
    start_worker()
    first.kill9()
    with pytest.raises(JobFailed) as failure:
        job.result(20)
    assert failure.value.reason == "in_doubt"
    assert effects(ledger) == 1


@pytest.mark.parametrize("handler", KINDS, ids=lambda handler: handler.name)
def test_a_worker_killed_after_the_record_has_its_result_given_back_by_another(
    handler: Any, start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path
) -> None:
    first = start_worker()
    job = client.enqueue(handler.job(ledger=str(ledger.path), key="k", after=str(tmp_path / "never")))
    wait_until("the effect is recorded", lambda: ledger.counts("recorded"))
    start_worker()
    first.kill9()
    assert job.result(20) == "receipt of k"
    assert len(ledger.starts(job.id)) == 2
    assert effects(ledger) == 1


@pytest.mark.parametrize("handler", KINDS, ids=lambda handler: handler.name)
@pytest.mark.parametrize("done", [False, True], ids=["still at it", "done meanwhile"])
def test_a_worker_frozen_past_its_lock_in_the_middle_of_the_effect_leaves_it_in_doubt_and_wakes_to_change_nothing(
    done: bool, handler: Any, start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path
) -> None:
    """Awake again, it may at most still say what came of the effect; nobody begins it a second time."""
    frozen, gate = start_worker(), tmp_path / "gate"
    job = client.enqueue(handler.job(ledger=str(ledger.path), key="k", gate=str(gate)))
    wait_until("the effect has happened", lambda: effects(ledger))
    start_worker()
    frozen.signal(signal.SIGSTOP)
    with pytest.raises(JobFailed) as failure:
        job.result(20)
    assert failure.value.reason == "in_doubt"
    record = job.record()
    if done:
        gate.touch()
    frozen.signal(signal.SIGCONT)
    heard = ("lost the lock of a running job", "a late settlement was refused")
    wait_until("it hears that it has lost it", lambda: any(it in frozen.log.read_text() for it in heard), timeout=20)
    wait_until("it runs it no more", lambda: not _said_by(client, frozen)["running"], timeout=20)
    assert job.record() == record, "what it says late does not count"
    later = client.enqueue(handler.job(ledger=str(ledger.path), key="k"))
    if done:
        assert _receipt_or_doubt(later) in ("receipt of k", "in_doubt")
    else:
        assert _receipt_or_doubt(later) == "in_doubt"
    assert effects(ledger) == 1


def _said_by(client: Client, worker: WorkerProcess) -> Any:
    return next(seen for seen in client.workers() if seen["pid"] == worker.pid)


def _receipt_or_doubt(job: Job[str]) -> str:
    try:
        return job.result(20)
    except JobFailed as failure:
        return failure.reason


def test_who_meets_another_at_it_comes_again_and_gets_its_result(
    start_worker: StartWorker, client: Client, ledger: Ledger, tmp_path: Path
) -> None:
    start_worker(slots=2)
    gate = tmp_path / "gate"
    first = client.enqueue(jobs.charges.job(ledger=str(ledger.path), key="k", gate=str(gate)))
    wait_until("the first is at it", lambda: effects(ledger))
    second = client.enqueue(jobs.charges_lightly.job(ledger=str(ledger.path), key="k"), retries=0)
    wait_until("the second has met it", lambda: second.record().counters.interruptions)
    gate.touch()
    assert first.result(20) == second.result(20) == "receipt of k"
    assert second.record().counters.attempts == 0
    assert effects(ledger) == 1


@pytest.mark.parametrize("handler", KINDS, ids=lambda handler: handler.name)
def test_redis_restarting_in_the_middle_of_the_effect_is_waited_out(
    handler: Any, lasting_server: Server, ledger: Ledger, tmp_path: Path
) -> None:
    with Client(lasting_server.url) as client, worker_of(lasting_server, tmp_path, lock=10):
        gate = tmp_path / "gate"
        job = client.enqueue(handler.job(ledger=str(ledger.path), key="k", gate=str(gate)))
        wait_until("the effect has happened", lambda: effects(ledger))
        lasting_server.kill9()
        gate.touch()
        lasting_server.start()
        assert job.result(30) == "receipt of k"
        again = client.enqueue(handler.job(ledger=str(ledger.path), key="k"))
        assert again.result(20) == "receipt of k"
    assert effects(ledger) == 1


@pytest.mark.parametrize("handler", KINDS, ids=lambda handler: handler.name)
def test_an_effect_that_was_never_begun_is_in_no_doubt_after_an_outage(
    handler: Any, lasting_server: Server, ledger: Ledger, tmp_path: Path
) -> None:
    """They ask to begin while Redis is away, and are stopped, for their locks are about to lapse."""
    with Client(lasting_server.url) as client, worker_of(lasting_server, tmp_path, slots=6):
        first = handler.job(ledger=str(ledger.path), key="k")
        assert client.enqueue(first).result(20) == "receipt of k"
        gate = tmp_path / "gate"
        held = [client.enqueue(handler.job(ledger=str(ledger.path), key=f"k{n}", before=str(gate))) for n in range(6)]
        wait_until("they run", lambda: all(ledger.starts(job.id) for job in held), timeout=20)
        lasting_server.kill9()
        gate.touch()
        wait_until("they are stopped", lambda: len(ledger.counts("stopped")) == len(held), timeout=20)
        lasting_server.start()
        assert [job.result(30) for job in held] == [f"receipt of k{n}" for n in range(6)]
    assert [effects(ledger, f"k{n}") for n in range(6)] == [1] * 6


def test_an_effect_that_was_never_begun_is_in_no_doubt_after_its_process_was_killed_in_an_outage(
    lasting_server: Server, ledger: Ledger, tmp_path: Path
) -> None:
    with Client(lasting_server.url) as client, worker_of(lasting_server, tmp_path, lock=20) as worker:
        assert client.enqueue(jobs.charges.job(ledger=str(ledger.path), key="k")).result(20) == "receipt of k"
        gate = tmp_path / "gate"
        job = client.enqueue(jobs.charges.job(ledger=str(ledger.path), key="k1", before=str(gate)))
        wait_until("it runs", lambda: ledger.starts(job.id))
        lasting_server.kill9()
        gate.touch()
        wait_until("it asks", lambda: "answering" in worker.log.read_text())
        os.kill(ledger.starts(job.id)[0].pid, signal.SIGKILL)
        lasting_server.start()
        assert job.result(30) == "receipt of k1"
        assert len(ledger.starts(job.id)) == 2
    assert effects(ledger, "k1") == 1


@contextmanager
def worker_of(server: Server, folder: Path, **settings: object) -> Iterator[WorkerProcess]:
    with Client(server.url) as client:
        worker = WorkerProcess(server.url, folder, **settings)
        try:
            worker.await_ready(client)
            yield worker
        finally:
            worker.end()


@pytest.fixture
def lasting_server() -> Any:
    """A server of this test's own, with an append-only file, because it is killed."""
    from tests.conftest import KINDS as SERVERS

    with Server(SERVERS["valkey"](), config={"appendonly": "yes", "appendfsync": "everysec"}) as server:
        yield server

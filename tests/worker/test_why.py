"""Why a job does not run, as far as it is the workers' matter: with real workers, who say it of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from heavylift import Client, JobSpec, State, why
from heavylift.settings import Settings
from tests.servers import Server
from tests.waiting import wait_until
from tests.worker import handlers
from tests.worker.conftest import StartWorker


@pytest.fixture
def client(any_server: Server) -> Iterator[Client]:
    with Client(settings=Settings.load(env={}, redis_url=any_server.url)) as client:
        yield client


def test_a_job_that_no_worker_can_run_says_who_is_lacking(client: Client, start_worker: StartWorker) -> None:
    light = client.enqueue(handlers.wait_for.job("gate"))
    assert light.why().reasons[0] == why.Unserved("light")
    worker = start_worker(places=1, heartbeat=0.1, lock=2.0)
    wait_until("it runs", lambda: light.state() is State.ACTIVE)
    assert light.why().reasons[0] == why.Running(worker.id, light.record().started_at or 0, 1)

    behind = client.enqueue(handlers.echo.job(1))
    stranger = client.enqueue(JobSpec("stranger", queue="light"))
    busy = _first(behind.why, why.AllBusy)
    assert (busy.workers, busy.places) == (1, 1)
    assert behind.why().reasons[-1] == why.InLine(0)
    assert _first(stranger.why, why.HandlerUnknown) == why.HandlerUnknown("stranger", "light")

    worker.quiet()
    assert _first(behind.why, why.AllQuiet) == why.AllQuiet((worker.id,))
    worker.quiet(False)
    handlers.gates["gate"].set()
    assert behind.result(timeout=10) == 1
    assert isinstance(behind.why().reasons[0], why.Ended)
    put_back = wait_until("it is put back", lambda: stranger.state() is State.DELAYED and stranger.why())
    assert isinstance(put_back.reasons[0], why.RetryDue)
    assert put_back.reasons[0].cause == "unknown_handler"


def _first(look: Callable[[], why.Why], kind: type[why.Because]) -> why.Because:
    """What is found once the worker has said so."""

    def found() -> why.Because | None:
        first = look().reasons[0]
        return first if isinstance(first, kind) else None

    return wait_until(f"it is {kind.__name__}", found)

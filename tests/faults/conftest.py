"""Fixtures of the fault tests: a ledger, a client, and workers that are ended whatever happened."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from heavylift import Client
from tests.faults.harness import WorkerProcess
from tests.faults.ledger import Ledger
from tests.faults.records import RECORD, Facts, recorded, write
from tests.faults.rows import Row
from tests.servers import Server

RUNS, TIMED_RUNS, ROWS = "FAULTS_RUNS", "FAULTS_TIMED_RUNS", "FAULTS_ROWS"
"""How often a row is to be in the record, how often one that depends on timing, and which: `28-36,39`; all if empty."""

FACTS = pytest.StashKey[Facts]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """While a record is filled, play only what it still lacks: so it can be gone on with after whatever stopped it."""
    if RECORD not in os.environ or RUNS not in os.environ:
        return
    have = Counter(facts.name for facts in recorded(Path(os.environ[RECORD])))
    chosen = _numbers(os.environ.get(ROWS, ""))
    lacking = [item for item in items if _lacks(item, have, chosen)]
    config.hook.pytest_deselected(items=[item for item in items if item not in lacking])
    items[:] = lacking


def _lacks(item: pytest.Item, have: Counter[str], chosen: set[int]) -> bool:
    mark = item.get_closest_marker("row")
    if mark is None or (chosen and mark.args[0] not in chosen):
        return False
    return have[item.name] < int(os.environ[TIMED_RUNS if mark.kwargs.get("timing") else RUNS])


def _numbers(rows: str) -> set[int]:
    """`28-30,39` as numbers."""
    found: set[int] = set()
    for part in filter(None, rows.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write a row's facts when all of it is over, teardown included: whether it held is one of them."""
    report = yield
    mark = item.get_closest_marker("row")
    if mark is None:
        return report
    facts = item.stash.setdefault(FACTS, Facts(mark.args[0], item.name))
    if report.failed and call.excinfo is not None:
        facts.held, facts.wrong = False, facts.wrong or call.excinfo.exconly().splitlines()[0]
    if report.skipped and call.excinfo is not None:
        facts.skipped = str(call.excinfo.value)
    if call.when == "teardown":
        write(facts)
    return report


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def any_server(request: pytest.FixtureRequest) -> Server:
    """One server as new, the machine's Redis if there is one; of the kind that `BOTH_KINDS` says."""
    kind = getattr(request, "param", "redis" if shutil.which("redis-server") else "valkey")
    found = request.getfixturevalue(f"{kind}_server")
    assert isinstance(found, Server)
    return found


@pytest.fixture
def row(request: pytest.FixtureRequest, ledger: Ledger) -> Row:
    """The row of the matrix that the test's mark `row` names."""
    mark = request.node.get_closest_marker("row")
    assert mark is not None, "a test of a row has its number as a mark"
    row = Row(mark.args[0], request.node.name, ledger)
    request.node.stash[FACTS] = row.facts
    return row


@pytest.fixture
def client(any_server: Server) -> Iterator[Client]:
    with Client(any_server.url) as client:
        yield client


@pytest.fixture
def start_worker(any_server: Server, client: Client, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """`start_worker(slots=1)` gives a worker that is ready to claim; `ready=False` does not wait for that."""
    workers: list[WorkerProcess] = []

    def start(*, url: str = any_server.url, ready: bool = True, **settings: object) -> WorkerProcess:
        workers.append(WorkerProcess(url, tmp_path, **settings))
        if ready:
            workers[-1].await_ready(client)
        return workers[-1]

    yield start
    for worker in workers:
        worker.end()

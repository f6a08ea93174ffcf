"""A row of the fault matrix while it runs: what was enqueued, what was injected and when, and the judgement at the end.

Its facts are written to the record when its test is over (`conftest.py`), for `report.py` to gather.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from heavylift import Client, Job
from heavylift.states import ENDED
from tests.faults import jobs, oracle
from tests.faults.ledger import Ledger
from tests.faults.oracle import Kept
from tests.faults.records import Facts
from tests.faults.steady import Steady
from tests.waiting import wait_until

BACK_WITHIN = 5.0
"""Seconds after the end of a fault of Redis, within which the rate must be back at 90 %."""


class Store(Protocol):
    """Where a plain client to what is under test comes from: a server, or a Cluster."""

    def client(self) -> AbstractContextManager[Any]: ...


class Row:
    """See the module.

    Attributes:
        facts: what is known of it so far; complete after `judge`.
        gate: the file that the held jobs wait for.
    """

    def __init__(self, number: int, name: str, ledger: Ledger) -> None:
        self.facts = Facts(number, name, [])
        self.gate = ledger.path.with_name("gate")
        self._ledger = ledger
        self._jobs: list[Job[Any]] = []
        self._cleared: int | None = None
        self._took: float | None = None

    @property
    def book(self) -> str:
        """The ledger, as handlers are told of it."""
        return str(self._ledger.path)

    def put(self, client: Client, count: int) -> list[Job[int]]:
        """Enqueue short jobs."""
        return self.acknowledged(client.enqueue_many([jobs.quick.job(ledger=self.book) for _ in range(count)]))

    def hold(self, client: Client, handler: Any = jobs.until_told) -> Job[str]:
        """Enqueue a job that runs until `release`, and wait until it does."""
        job: Job[str] = client.enqueue(handler.job(ledger=self.book, gate=str(self.gate)))
        self.acknowledged([job])
        wait_until("the held job runs", lambda: self._ledger.starts(job.id))
        return job

    def release(self) -> None:
        """Let the held jobs end."""
        self.gate.touch()

    def acknowledged(self, those: list[Job[Any]]) -> list[Job[Any]]:
        """These are to be accounted for."""
        self._jobs += those
        return those

    def inject(self, what: str) -> None:
        """Note a fault, in the words of the report."""
        self.facts.injected.append(what)

    def clear(self) -> None:
        """Note that the fault is over: from here on recovery is measured."""
        self._cleared = time.monotonic_ns()

    def recovered(self, died: Mapping[int, int], bound: float) -> None:
        """What processes ran that died or froze (pid to monotonic ns) was started again within `bound` seconds."""
        entries = self._ledger.entries()
        took = sorted(oracle.recoveries(entries, died))
        assert took, "nothing of it was started again"
        self._took = took[-1]
        for what, share in (("p50", 0.5), ("p95", 0.95)) if len(took) >= 20 else ():
            self.measure(f"started again, {what}, s", took[int(share * len(took))])
        assert not (late := oracle.recovery_bound(entries, died, bound)), late

    def measure(self, what: str, figure: float) -> None:
        """Note a figure of this row, in the words of the report."""
        self.facts.figures[what] = figure

    def await_running(self, timeout: float = 10.0) -> None:
        """Wait until something has finished since the fault was over."""
        wait_until("jobs finish again", lambda: self._recovery() is not None, timeout)

    @contextmanager
    def steady(self, client: Client, *, lossy: bool = False) -> Iterator[None]:
        """An even load while the fault is injected and cleared within; the rate must be back soon after that.

        `lossy`: Redis may forget what came before the end of the fault, so only what came later is accounted for.
        """
        load = Steady(client, self._ledger)
        load.start()
        try:
            load.measure()
            yield
            assert self._cleared is not None, "the fault is over before its load is"
            cleared = self._cleared
            wait_until(
                f"the rate is back at 90 % of {load.baseline:.0f}/s",
                lambda: load.back(cleared) is not None,
                BACK_WITHIN + 2,
            )
        finally:
            load.stop()
            since = self._cleared or 0
            self.acknowledged([job for at, job in load.jobs if not lossy or at >= since])
        self.facts.rate_back = load.back(cleared)
        assert not (slow := oracle.liveness(self._ledger.entries(), cleared, load.baseline, BACK_WITHIN)), slow

    def starts(self, job: Job[Any]) -> int:
        """How often a job ran."""
        return len(self._ledger.starts(job.id))

    def judge(self, *stores: Store, timeout: float = 30.0, residue: bool = True) -> None:
        """Wait until all jobs have ended, and ask the oracle."""
        self.release()
        found = wait_until("all jobs have ended", lambda: self._all_ended(stores), timeout)
        entries, ids = self._ledger.entries(), [job.id for job in self._jobs]
        ran = self._ledger.counts("start")
        self.facts.jobs = len(set(ids))
        self.facts.lost = len(oracle.no_loss(ids, found))
        self.facts.doubled = sum(times > 1 for times in ran.values())
        self.facts.double_completions = len(oracle.single_completion(found, entries))
        self.facts.recovery = self._recovery()
        wrong = oracle.judge(ids, found, entries)
        for store in stores if residue else ():
            with store.client() as redis:
                wrong += oracle.no_residue(redis)
        assert not wrong, "\n".join(wrong[:20])

    def _recovery(self) -> float | None:
        if self._took is not None:
            return self._took
        return None if self._cleared is None else oracle.back_after(self._ledger.entries(), self._cleared)

    def _all_ended(self, stores: Sequence[Store]) -> dict[str, Kept]:
        """What is kept of the jobs once all have ended; else nothing. A lost job does not hold it up."""
        found: dict[str, Kept] = {}
        for store in stores:
            with store.client() as redis:
                found |= oracle.kept(redis, {(job.queue, job.id) for job in self._jobs})
        return found if all(it.state in ENDED for it in found.values()) else {}

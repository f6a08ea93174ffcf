"""Every verb of a job's life at its largest: full batches, large payloads, a long line, many keys; and what Redis took.

The time of a call is Redis' own (commandstats), so that a busy machine disturbs it less. It holds every other client up
for so long.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

from heavylift.decide import Settlement
from heavylift.job import AttemptRecord, Reason, State, new_id
from heavylift.store.call import Call
from heavylift.store.connection import Connection
from heavylift.store.jobs import Jobs, NewJob, ProgressItem, SettleItem, batches
from heavylift.store.verbs import runs
from tests.servers import Server

QUEUE = "load"
LEASE = 600_000
SMALL, LARGE = 100, 10_000
"""Bytes of a payload."""


class Load:
    """A queue with much in it.

    Attributes:
        ms: what each call of a verb took Redis, in ms.
    """

    def __init__(self, server: Server, connection: Connection, *, waiting: int, keys: int = 0) -> None:
        self.jobs = Jobs()
        self.ms: dict[str, list[float]] = defaultdict(list)
        self._server = server
        self._connection = connection
        self._numbers = itertools.count(1)
        self._keys = itertools.cycle(range(keys)) if keys else None
        if keys:
            connection.ask(self.jobs.limit(QUEUE, 100, group="h", per_key=True))
        for _ in range(0, waiting, 100):
            connection.ask(self.jobs.enqueue(QUEUE, self._new(100, SMALL), new_id()))

    def turn(self, size: int) -> None:
        """One job's life, a hundred at a time, with payloads of so many bytes."""
        jobs = self.jobs
        new = self._new(100, size)
        for batch in batches(new):
            self._timed("enqueue", jobs.enqueue(QUEUE, batch, new_id()))
        later = self._new(20, size, delay_ms=3_600_000)
        for batch in batches(later):
            self._timed("enqueue", jobs.enqueue(QUEUE, batch, new_id()))
        self._timed("promote", jobs.promote(QUEUE, later[0].id))
        self._timed("cancel", jobs.cancel(QUEUE, later[1].id))
        self._timed("remove", jobs.remove(QUEUE, later[2].id))
        for state in (State.WAITING, State.DELAYED, State.FAILED):
            self._timed("page", jobs.page(QUEUE, state, 0, 100))
        self._timed("counts", jobs.counts(QUEUE))
        held = self._timed("claim", jobs.claim(QUEUE, "w", next(self._numbers), 50, LEASE, 5_000)).jobs
        self._timed("extend", jobs.extend(QUEUE, [(job.id, job.token) for job in held], LEASE))
        text = b'"' + b"x" * size + b'"'
        told = [ProgressItem(job.id, job.token, b'{"fraction":0.5}', text) for job in held]
        for some in runs(told, 200, lambda item: len(item.checkpoint or b"")):
            self._timed("progress", jobs.progress(QUEUE, some))
        record = AttemptRecord(1, "w", 1, 2, "error", "E", "m", "x" * min(size, 4_000))
        lost = Settlement(State.FAILED, count="attempts", reason=Reason.EXHAUSTED)
        ends = [Settlement(State.COMPLETED, result=text), lost]
        items = [SettleItem(job.id, job.token, ends[n % 2], record) for n, job in enumerate(held)]
        for some in runs(items, 100, lambda item: len(item.settlement.result or b"") + 4_000):
            self._timed("settle", jobs.settle(QUEUE, "w", next(self._numbers), some))
        self._timed("replay", jobs.replay(QUEUE, [item.id for item in items[1::2]]))
        taken = self._connection.ask(jobs.claim(QUEUE, "gone", next(self._numbers), 50, 0, 5_000)).jobs
        assert taken
        again = self._timed("takeover", jobs.takeover(QUEUE, "w", next(self._numbers), LEASE, 50))
        back = Settlement(State.WAITING, count="interruptions", keep_rank=True)
        items = [SettleItem(job.id, job.token, back, record) for job in again]
        self._timed("settle", jobs.settle(QUEUE, "w", next(self._numbers), items))
        for name, most in (("sweep", 10_000), ("sweep", 0)):
            call = jobs.sweep(
                QUEUE, limit=200, keep_completed_ms=LEASE, keep_failed_ms=LEASE, most_completed=most, most_failed=most
            )
            self._timed(name, call)

    def worst(self) -> dict[str, float]:
        """The longest call of each verb, in ms, the slowest verb first."""
        return dict(sorted(((verb, max(took)) for verb, took in self.ms.items()), key=lambda one: -one[1]))

    def _new(self, count: int, size: int, **more: Any) -> list[NewJob]:
        spec = b'{"handler":"h","args":{"text":"' + b"x" * size + b'"},"enqueued_at":1800000000000}'
        keyed: list[dict[str, str]] = [{"key": f"k{next(self._keys)}"} if self._keys else {} for _ in range(count)]
        return [NewJob(id=new_id(), spec=spec, handler="h", **key, **more) for key in keyed]  # type: ignore[arg-type]

    def _timed(self, verb: str, call: Call[Any]) -> Any:
        before, calls = self._spent()
        answer = self._connection.ask(call)
        spent, after = self._spent()
        if after - calls == 1:  # twice, where the script had to be loaded first
            self.ms[verb].append((spent - before) / 1000)
        return answer

    def _spent(self) -> tuple[float, int]:
        stats = self._server.command("INFO", "commandstats").get("cmdstat_evalsha", {"usec": 0, "calls": 0})
        return float(stats["usec"]), int(stats["calls"])

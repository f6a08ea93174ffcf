"""Verbs of a worker that takes jobs and keeps them: claim, extend, takeover, pass on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heavylift.job import ClaimedJob, Counters
from heavylift.store.call import Arg, Call
from heavylift.store.verbs import BATCH_BYTES, Verbs, nothing, text

_WIDTH = 4
"""Fields per job in a reply; see `lua/shared/give.lua`."""

_FIRST = Counters(starts=1)


@dataclass(frozen=True, slots=True)
class ClaimReply:
    """What a claim brought.

    Attributes:
        jobs: taken, each with its lock.
        more: ask again as soon as there is a place: the worker was not noted as idle and nobody will wake it.
        next_due_ms: ms from now until it is worth to ask again: a delayed job is due, a rate limit lets the next one
            start, or the pause that a handler asked for is over; None if that is not known.
        paused: the queue is paused; its resume wakes the worker.
    """

    jobs: list[ClaimedJob]
    more: bool
    next_due_ms: int | None
    paused: bool


@dataclass(frozen=True, slots=True)
class ExtendReply:
    """What a heartbeat learned: ids whose lock is another's by now, and ids that somebody cancelled."""

    lost: list[str]
    cancelled: list[str]


def read_claimed(queue: str, token: str, now: int, fields: Sequence[Any]) -> list[ClaimedJob]:
    """Jobs from the run of fields that `lua/shared/give.lua` writes."""
    jobs = []
    for at in range(0, len(fields), _WIDTH):
        id, spec, checkpoint, started = fields[at : at + _WIDTH]
        if not started:
            jobs.append(ClaimedJob(id.decode(), queue, token, spec, _FIRST, started_at=now))
            continue
        *counters, started_at, previous = started.decode().split(" ")
        jobs.append(
            ClaimedJob(
                id.decode(),
                queue,
                token,
                spec,
                Counters(*map(int, counters)),
                checkpoint=checkpoint or None,
                previous=previous or None,
                started_at=int(started_at),
            )
        )
    return jobs


class Claiming(Verbs):
    """Claim, extend, takeover, pass on."""

    def claim(
        self,
        queue: str,
        worker: str,
        number: int,
        credits: int,
        lease_ms: int,
        sleep_ms: int,
        max_bytes: int = BATCH_BYTES,
    ) -> Call[ClaimReply]:
        """Take up to `credits` waiting jobs with their locks (at most 200, or 20 where they stand in lines by group and
        key, and about `max_bytes`).

        Args:
            queue: its name.
            worker: who asks; `<worker>.<number>` becomes the token of what it gets.
            number: one more than the last claim's; the same again if the reply was lost.
            credits: jobs wanted; 0 only looks: `more` says whether there is one.
            lease_ms: life of the locks.
            sleep_ms: how long the worker will sleep if it finds nothing.
            max_bytes: soft bound of the reply; one job always fits.
        """

        def parse(reply: Any) -> ClaimReply:
            more, next_due, paused, now = reply[:4]
            jobs = read_claimed(queue, f"{worker}.{number}", now, reply[4:])
            return ClaimReply(jobs, bool(more), None if next_due < 0 else next_due, bool(paused))

        return self._script(
            "claim",
            queue,
            parse,
            worker=worker,
            number=number,
            credits=credits,
            lease=lease_ms,
            sleep=sleep_ms,
            max_bytes=max_bytes,
        )

    def extend(self, queue: str, held: Sequence[tuple[str, str]], lease_ms: int) -> Call[ExtendReply]:
        """Renew the locks of `held`, pairs of id and token."""
        rest: list[Arg] = [part for pair in held for part in pair]

        def parse(reply: Any) -> ExtendReply:
            lost, cancelled = reply
            return ExtendReply([text(id) for id in lost], [text(id) for id in cancelled])

        return self._script("extend", queue, parse, rest, lease=lease_ms)

    def takeover(
        self, queue: str, worker: str, number: int, lease_ms: int, limit: int, max_bytes: int = BATCH_BYTES
    ) -> Call[list[ClaimedJob]]:
        """Take the jobs whose lock has expired, at most `limit`; each names the worker that held it.

        They are active under `worker`'s lock until it settles them, as abandoned.

        Args:
            queue: its name.
            worker: who asks; `<worker>.t<number>` becomes the token of what it gets.
            number: one more than its last takeover's; the same again if the reply was lost.
            lease_ms: life of the new locks.
            limit: jobs at most.
            max_bytes: soft bound of the reply; one job always fits.
        """

        def parse(reply: Any) -> list[ClaimedJob]:
            return read_claimed(queue, f"{worker}.t{number}", reply[0], reply[1:])

        return self._script(
            "takeover", queue, parse, worker=worker, number=number, lease=lease_ms, limit=limit, max_bytes=max_bytes
        )

    def pass_on(self, queue: str) -> Call[None]:
        """Wake another worker, if there is anything to do: the caller was woken but has no place."""
        return self._script("pass_on", queue, nothing)

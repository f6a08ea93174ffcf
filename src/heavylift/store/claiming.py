"""Verbs of a worker that takes jobs and keeps them: claim and extend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heavylift.job import ClaimedJob, Counters
from heavylift.store.call import Arg, Call
from heavylift.store.verbs import Verbs, optional, text

CLAIM_BYTES = 1 << 20

_WIDTH = 11
"""Fields per job in a reply; see `lua/shared/give.lua`."""


@dataclass(frozen=True, slots=True)
class ClaimReply:
    """What a claim brought.

    Attributes:
        jobs: taken, each with its lock.
        more: ask again as soon as there is a place: the worker was not noted as idle and nobody will wake it.
        next_due_ms: ms from now until the next delayed job is due; None if there is none.
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


def read_claimed(queue: str, fields: Sequence[Any]) -> list[ClaimedJob]:
    """Jobs from the flat run of fields that `lua/shared/give.lua` writes."""
    return [
        ClaimedJob(
            id=fields[at].decode(),
            queue=queue,
            token=fields[at + 1].decode(),
            spec=fields[at + 2],
            counters=Counters(*map(int, fields[at + 3 : at + 8])),
            checkpoint=optional(fields[at + 8]),
            started_at=int(fields[at + 9]),
            previous=text(fields[at + 10]) or None,
        )
        for at in range(0, len(fields), _WIDTH)
    ]


class Claiming(Verbs):
    """Claim and extend."""

    def claim(
        self,
        queue: str,
        worker: str,
        number: int,
        credits: int,
        lease_ms: int,
        sleep_ms: int,
        max_bytes: int = CLAIM_BYTES,
    ) -> Call[ClaimReply]:
        """Take up to `credits` waiting jobs with their locks (at most 200, and about `max_bytes`).

        Args:
            queue: its name.
            worker: who asks; `<worker>.<number>` becomes the token of what it gets.
            number: one more than the last claim's; the same again if the reply was lost.
            credits: free places, 1 or more.
            lease_ms: life of the locks.
            sleep_ms: how long the worker will sleep if it finds nothing.
            max_bytes: soft bound of the reply; one job always fits.
        """

        def parse(reply: Any) -> ClaimReply:
            more, next_due, paused = reply[:3]
            return ClaimReply(
                read_claimed(queue, reply[3:]), bool(more), None if next_due < 0 else next_due, bool(paused)
            )

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

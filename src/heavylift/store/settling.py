"""Verbs of an attempt's holder that write: settle and progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from heavylift.decide import Settlement
from heavylift.job import AttemptRecord
from heavylift.store.call import Arg, Call
from heavylift.store.verbs import Verbs

Written: TypeAlias = Literal["ok", "outbox", "stale", "gone"]
"""`ok`: written. `outbox`: written, and its children have to be told. `stale`: the token is not the job's any more.
`gone`: there is no such job. The last two change nothing."""

WRITTEN: dict[int, Written] = {ord("o"): "ok", ord("h"): "outbox", ord("s"): "stale", ord("g"): "gone"}

_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class ProgressItem:
    """How far an attempt is (`progress`) and what a next one would go on from (`checkpoint`), both JSON."""

    id: str
    token: str
    progress: bytes | None = None
    checkpoint: bytes | None = None


class SettleItem(msgspec.Struct, frozen=True):
    """One attempt's end, to be written.

    Attributes:
        settlement: what it means for the job.
        record: kept with the job (the last 20 are); None keeps nothing.
        progress, checkpoint: the last ones, JSON, if not written yet.
        args: all of it as the script takes it. Made with the item, by whoever makes that, so that there is nothing left
            to go wrong where it is sent, together with others'.
    """

    id: str
    token: str
    settlement: Settlement
    record: AttemptRecord | None = None
    progress: bytes | None = None
    checkpoint: bytes | None = None
    args: tuple[str | bytes, ...] = ()

    def __post_init__(self) -> None:
        force_setattr(
            self,
            "args",
            (
                self.id,
                self.token,
                _plan(self.settlement),
                _cause(self),
                self.settlement.result or b"",
                _json.encode(self.record) if self.record else b"",
                self.progress or b"",
                self.checkpoint or b"",
            ),
        )


def _plan(settlement: Settlement) -> str:
    if settlement.to is None:
        raise ValueError("a settlement without a state has nothing to write")
    counter = settlement.count or "-"
    reason = settlement.reason or "-"
    times = round(settlement.delay * 1000), round(settlement.rest * 1000)
    return f"{settlement.to} {counter} {times[0]} {settlement.keep_rank:d} {reason} {times[1]}"


def _cause(item: SettleItem) -> str:
    record = item.record
    if record is None:
        return ""
    return f"{record.cause} {record.fingerprint}" if item.settlement.reason else record.cause


class Settling(Verbs):
    """Settle and progress."""

    def settle(self, queue: str, worker: str, number: int, items: Sequence[SettleItem]) -> Call[list[Written]]:
        """Write what became of attempts and let their locks go. The answer has one word per item.

        Args:
            queue: its name.
            worker: the holder.
            number: one more than its last settle's; the same again if the reply was lost.
            items: at most some hundred; their `settlement.to` is never None.
        """
        rest: list[Arg] = []
        for item in items:
            rest += item.args
        return self._script("settle", queue, _written, rest, worker=worker, number=number)

    def progress(self, queue: str, items: Sequence[ProgressItem]) -> Call[list[Written]]:
        """Store how far attempts are, and tell watchers. The answer has one word per item."""
        rest: list[Arg] = []
        for item in items:
            rest += (item.id, item.token, item.progress or b"", item.checkpoint or b"")
        return self._script("progress", queue, _written, rest)


def _written(reply: Any) -> list[Written]:
    return [WRITTEN[letter] for letter in reply]

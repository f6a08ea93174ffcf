"""`--arg` and `--args` of `failed replay` and `retry`: other arguments, checked where their handler is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heavylift.cli import asking
from heavylift.client import Client, Job
from heavylift.errors import UniqueHeld
from heavylift.registry import Registry


@dataclass(frozen=True, slots=True)
class Edited:
    """What was said about the arguments.

    Attributes:
        pairs: those that change, as `NAME=VALUE`.
        stated: all of them instead, as one JSON object.
        registry: the handlers that are here.
    """

    pairs: Sequence[str]
    stated: str | None
    registry: Registry

    def replay(self, client: Client, ids: Sequence[str], queue: str | None) -> tuple[int, list[str]]:
        """Put jobs back in line with these arguments: how many it were, and those that another like them holds up.

        All are looked at before any is replayed.

        Raises:
            InvalidArgument: the arguments cannot be read; `InvalidJob`: they do not fit the handler.
            JobNotFound: one of the ids is in no queue.
        """
        jobs = [client.job(id, queue) for id in dict.fromkeys(ids)]
        done, held = 0, []
        for job, said in self.of(jobs):
            try:
                done += job.replay(**said)
            except UniqueHeld:
                held.append(job.id)
        return done, held

    def of(self, jobs: Sequence[Job[Any]]) -> list[tuple[Job[Any], dict[str, Any]]]:
        """With each job what its `replay` or `retry` is to be told. All are looked at first.

        Raises:
            InvalidArgument: the arguments cannot be read; `InvalidJob`: they do not fit the handler.
        """
        return [(job, self._of(job)) for job in jobs]

    def _of(self, job: Job[Any]) -> dict[str, Any]:
        record = job.record()
        found = self.registry.get(record.handler)
        said: Mapping[str, Any] = asking.named(found, self.pairs)
        if self.stated is None:
            if found is not None:
                asking.check_some(found, said)
            return {"change": said}
        said = {**asking.stated(self.stated), **said}
        return {"args": said if found is None else found.job(**said)}

"""Verbs of those who put jobs in: enqueue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from heavylift.options import Durable, JobRef
from heavylift.states import LETTERS, State
from heavylift.store.call import Arg, Call
from heavylift.store.verbs import BATCH_BYTES as BATCH_BYTES
from heavylift.store.verbs import Verbs, runs

BATCH_JOBS = 100
"""One enqueue call carries at most this many jobs, and `BATCH_BYTES`."""

KEYED_JOBS = 32
"""And at most so many that have a key, are unique or wait for others: each brings Redis keys of its own."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The tick of a schedule that a job is made for, as `store.scheduling` has read it.

    Attributes:
        schedule: its name.
        at: the schedule's next tick (ms).
        rev: its revision.
        next: the tick that follows; None if there is none.
        alone: not while the job of the tick before has not ended.
    """

    schedule: str
    at: int
    rev: str
    next: int | None
    alone: bool = False

    @property
    def words(self) -> str:
        """As `NewJob.options`."""
        following = "inf" if self.next is None else self.next
        return f"schedule={self.schedule} tick={self.at} rev={self.rev} next={following}" + " alone=1" * self.alone


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be enqueued. Times in ms.

    Attributes:
        spec: the envelope, JSON.
        delay_ms: from now; `due_ms`: since 1970, instead.
        expires_ms: from now; not started by then, it goes to the dead letters.
        keep_ms: how long it is kept once ended; None for the queue's rule; `keep_failed_ms`: as a dead letter.
        keep_count, keep_failed_count: so many completed jobs and dead letters of its handler are kept at most.
        group, key: where it stands for limits; the group is the handler if not said.
        durable: what must be known before it counts as enqueued; not stored. None for the client's own rule.
        unique: `<mode>.<digest>`; see `unique`. `window_ms` goes with mode w, the other two with mode d.
        flow: id of its flow.
        after: jobs it waits for; `stage` must have noted them.
        policy: what becomes of it when one of them does not complete.
        tick: not unless that is its schedule's next tick; the schedule then goes on.
    """

    id: str
    spec: bytes
    handler: str
    priority: int = 0
    delay_ms: int = 0
    due_ms: int | None = None
    expires_ms: int | None = None
    keep_ms: int | None = None
    group: str = ""
    key: str = ""
    unique: str = ""
    window_ms: int | None = None
    quiet_ms: int | None = None
    latest_ms: int | None = None
    flow: str = ""
    after: tuple[JobRef, ...] = ()
    policy: str = ""
    durable: Durable | None = None
    tick: Tick | None = None
    keep_failed_ms: int | None = None
    keep_count: int | None = None
    keep_failed_count: int | None = None

    @property
    def _keep(self) -> str | None:
        """As `<ms>/<ms as a dead letter>/<completed>/<dead letters>`, without what is not said at its end."""
        said = [getattr(self, name) for name in _KEPT]
        while said and said[-1] is None:
            said.pop()
        return "/".join("-" if part is None else str(part) for part in said) or None

    @property
    def options(self) -> str:
        """What differs from the plainest job, as the script reads it; empty for the plainest."""
        said = [
            f"{word}={value}"
            for word, name, nothing in _WORDS
            if (value := getattr(self, name)) is not nothing and value != nothing
        ]
        if keep := self._keep:
            said.append(f"keep={keep}")
        if self.after:
            said.append(f"after={len(self.after)}")
        if self.tick:
            said.append(self.tick.words)
        return " ".join(said)

    @classmethod
    def stored(cls, id: str, spec: bytes, handler: str, options: str, tick: Tick | None = None) -> NewJob:
        """A job of a schedule, whose options stand in Redis as this class writes them. Unknown ones are passed over."""
        parts = (word.partition("=") for word in options.split())
        said = {name: value for name, _, value in parts}
        read: dict[str, Any] = {
            name: int(said[word]) if nothing in (0, None) else said[word]
            for word, name, nothing in _WORDS
            if word in said
        }
        kept = zip(_KEPT, said.get("keep", "").split("/"), strict=False)
        read.update((name, int(part)) for name, part in kept if part.isdigit())
        return cls(id, spec, handler, tick=tick, **read)


_KEPT = ("keep_ms", "keep_failed_ms", "keep_count", "keep_failed_count")

_WORDS: tuple[tuple[str, str, int | str | None], ...] = (
    ("prio", "priority", 0),
    ("delay", "delay_ms", 0),
    ("due", "due_ms", None),
    ("expires", "expires_ms", None),
    ("group", "group", ""),
    ("key", "key", ""),
    ("unique", "unique", ""),
    ("window", "window_ms", None),
    ("quiet", "quiet_ms", None),
    ("latest", "latest_ms", None),
    ("flow", "flow", ""),
    ("policy", "policy", ""),
)
"""The words of the wire, the fields they stand for, and what need not be said."""


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What became of one job.

    Attributes:
        id: its own, or that of the job which is there instead, where it was to be unique.
        state: None if the job that is there instead has been removed, but the window it has opened is not over.
        duplicate: a job of its id, or like it, was there before. But for a debounced one nothing was changed.
    """

    id: str
    state: State | None
    duplicate: bool


_STATES: dict[str, State | None] = {**{letter: state for state, letter in LETTERS.items()}, "g": None}


def batches(jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    """`jobs` in runs that each fit one enqueue call, in order."""
    keyed = BATCH_BYTES // KEYED_JOBS
    return runs(jobs, BATCH_JOBS, lambda job: max(len(job.spec), keyed if job.key or job.unique or job.after else 0))


class Producing(Verbs):
    """Enqueue."""

    def enqueue(self, queue: str, jobs: Sequence[NewJob], nonce: str) -> Call[list[Enqueued]]:
        """Put jobs into the queue: all of them or, while Redis is full, none.

        Args:
            queue: its name.
            jobs: one of `batches`.
            nonce: fresh for each call, kept when the call is repeated: then nothing is enqueued twice.
        """
        rest: list[Arg] = []
        for job in jobs:
            rest += (job.id, job.handler, job.spec, job.options)

        def parse(reply: Any) -> list[Enqueued]:
            letters, *others = reply.decode().split(" ")
            ids = [job.id for job in jobs]
            for other in others:
                place, _, id = other.partition("=")
                ids[int(place)] = id
            return [
                Enqueued(id, _STATES[letter.lower()], letter.isupper()) for id, letter in zip(ids, letters, strict=True)
            ]

        return self._script("enqueue", queue, parse, rest, nonce=nonce)

"""Verbs for dead letters: pages of them, another life, deletion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from heavylift.errors import UNREADABLE
from heavylift.job import AttemptRecord
from heavylift.store.call import Arg, Call
from heavylift.store.flowing import Relived, relived
from heavylift.store.verbs import BATCH_BYTES, Verbs

LETTERS_AT_ONCE = 100
"""Letters of one page at most."""

REPLAYS_AT_ONCE = 32
"""Jobs of one replay, one discard or one `revive`."""

_WIDTH = 8


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, as far as it is needed to choose it.

    Attributes:
        ended: when it became one, ms since 1970.
        reason: why it is one; `cause`: what its last attempt came to; `fingerprint`: of that attempt's error.
        tags, last: its tags and last attempt, if whole jobs were asked for.
    """

    id: str
    ended: int
    handler: str
    reason: str
    cause: str
    fingerprint: str
    tags: tuple[str, ...] = ()
    last: AttemptRecord | None = None

    @property
    def mark(self) -> str:
        """Where a page that comes after this one begins."""
        return f"{self.ended} {self.id}"


@dataclass(frozen=True, slots=True)
class LetterPage:
    """Some dead letters, and how many there are in all between the times that were given."""

    total: int
    letters: Sequence[Letter]


class Letters(Verbs):
    """Letters, replay, discard."""

    def letters(
        self,
        queue: str,
        after: str = "",
        *,
        since: int | None = None,
        until: int | None = None,
        newest_first: bool = False,
        whole: bool = False,
        count: int = LETTERS_AT_ONCE,
    ) -> Call[LetterPage]:
        """A page of the dead letters; the last is reached when one is empty.

        Args:
            queue: its name.
            after: the `mark` of the last letter of the page before.
            since, until: only those that ended then, ms since 1970, both inclusive.
            newest_first: the latest first.
            whole: with tags and last attempt.
            count: of letters at most; fewer if they are large.
        """
        return self._script(
            "letters",
            queue,
            _page,
            after=after,
            **{"from": "-inf" if since is None else since, "to": "+inf" if until is None else until},
            newest=int(newest_first),
            count=min(count, LETTERS_AT_ONCE),
            whole_jobs=int(whole),
            max_bytes=BATCH_BYTES,
        )

    def replay(
        self, queue: str, ids: Sequence[str], nonce: str = "", *, envelope: bytes = b"", any_end: bool = False
    ) -> Call[list[Relived]]:
        """Put ended jobs back in line, with fresh counters. One word per job; `REPLAYS_AT_ONCE` at most.

        Args:
            queue: its name.
            ids: of the jobs.
            nonce: fresh for each call, kept when the call is repeated: then nothing is replayed twice. Without one, a
                repetition finds the jobs in another state.
            envelope: takes the place of their own.
            any_end: cancelled and completed jobs too; else only dead letters.
        """
        rest: list[Arg] = [part for id in ids for part in (id, envelope)]
        return self._script("replay", queue, relived, rest, nonce=nonce, which="ended" if any_end else "failed")

    def discard(self, queue: str, ids: Sequence[str]) -> Call[list[Relived]]:
        """Delete dead letters and all that is kept of them. One word per id; `REPLAYS_AT_ONCE` at most."""
        return self._script("discard", queue, relived, ids)


class _Tags(msgspec.Struct):
    tags: tuple[str, ...] = ()


def _page(reply: Any) -> LetterPage:
    total, *fields = reply
    return LetterPage(total, [_letter(*fields[at : at + _WIDTH]) for at in range(0, len(fields), _WIDTH)])


def _letter(id: bytes, ended: bytes, *said: bytes) -> Letter:
    handler, reason, cause, fingerprint = (word.decode("utf-8", "replace") for word in said[:4])
    tags = _decoded(said[4], _Tags)
    last = _decoded(said[5], AttemptRecord)
    return Letter(id.decode(), int(ended), handler, reason, cause, fingerprint, tags.tags if tags else (), last)


def _decoded(raw: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind) if raw else None
    except UNREADABLE:
        return None  # what cannot be read is left out rather than hide the rest

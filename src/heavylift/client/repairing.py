"""Dead letters, as plans: listing and grouping them, giving them another life, deleting them.

All go through the dead letters page by page, a page beginning where the one before ended, and none looks at what became
a dead letter after it began: a job that is replayed and fails again is not replayed again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

from heavylift.client.linking import Blocked
from heavylift.client.operations import AT_ONCE, Operations
from heavylift.client.plan import Plan, ask, ask_in_parts
from heavylift.client.which import Which
from heavylift.errors import InvalidArgument
from heavylift.job import JobRecord, new_id
from heavylift.store.call import Call
from heavylift.store.flowing import RELIVED
from heavylift.store.jobs import Jobs, Letter, LetterPage
from heavylift.store.letters import REPLAYS_AT_ONCE

PAGE = 1000
"""Dead letters listed at once at most."""

GROUPS = 1000
"""Groups that are told apart at most; what does not fit is counted in one more, without a name."""

OnPage: TypeAlias = Callable[[int, int], object]
"""Told after each page how many dead letters were looked at, and how many there are."""

Do: TypeAlias = Callable[[str, Sequence[str]], Plan[int]]
"""Does something with jobs of a queue, and says with how many."""

GroupBy: TypeAlias = Literal["fingerprint", "reason", "cause", "handler", "queue"]
"""What the dead letters of a group have in common: `fingerprint` is equal for equal faults."""
GROUP_BY: tuple[GroupBy, ...] = ("fingerprint", "reason", "cause", "handler", "queue")


@dataclass(frozen=True, slots=True)
class FailedGroup:
    """Dead letters that have something in common.

    Attributes:
        name: what they have in common: the fingerprint, reason ... by which they are grouped. Empty for those that
            have none.
        count: how many they are.
        first_at, last_at: when the first and the last of them failed, ms since 1970.
        example: the last of them, as far as it is known.
    """

    name: str
    count: int
    first_at: int
    last_at: int
    example: JobRecord | None = None


class Replayed(int):
    """How many dead letters got another life.

    Attributes:
        held: ids of those left where they are: they are to be unique, and another job like each is there.
    """

    held: tuple[str, ...]

    def __new__(cls, count: int, held: Iterable[str] = ()) -> Replayed:
        """So many; and those left."""
        made = super().__new__(cls, count)
        made.held = tuple(held)
        return made


@dataclass(slots=True)
class _Group:
    count: int = 0
    first_at: int = 0
    last_at: int = 0
    example: tuple[str, str] = ("", "")

    def add(self, queue: str, letter: Letter) -> None:
        self.first_at = min(self.first_at, letter.ended) if self.count else letter.ended
        if letter.ended >= self.last_at:
            self.last_at, self.example = letter.ended, (queue, letter.id)
        self.count += 1


class Repairing:
    """Plans for dead letters.

    Args:
        operations: the other plans, whose verbs and patience are used.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._jobs = operations.jobs
        self._patience = operations.patience

    # --- looking ----------------------------------------------------------------------------------------

    def failed(self, which: Which, offset: int, limit: int) -> Plan[list[JobRecord]]:
        """Dead letters, those that ended last first: `limit` of them after the first `offset`."""
        for name, value, most in (("offset", offset, 1_000_000), ("limit", limit, PAGE)):
            if not isinstance(value, int) or not 0 <= value <= most:
                raise InvalidArgument(name, value, f"give a whole number, 0 to {most}")
        found: list[tuple[int, str, str]] = []
        for queue in (yield from self._operations.named(which.queue)):
            newest = yield from self._newest(queue, which, offset + limit)
            found += [(letter.ended, queue, letter.id) for letter in newest]
        found.sort(key=lambda one: one[0], reverse=True)
        return (yield from self._records([(queue, id) for _, queue, id in found[offset : offset + limit]]))

    def groups(self, which: Which, by: GroupBy, on_page: OnPage | None) -> Plan[list[FailedGroup]]:
        """Dead letters by what they have in common, the largest group first."""
        if by not in GROUP_BY:
            raise InvalidArgument("by", by, f"give one of {', '.join(GROUP_BY)}")
        groups: dict[str, _Group] = {}
        looked = 0
        for queue in (yield from self._operations.named(which.queue)):
            walk = _Walk(queue, which)
            while letters := (yield from self._next(walk)):
                for letter in filter(which.fits, letters):
                    name = queue if by == "queue" else getattr(letter, by)
                    name = name if name in groups or len(groups) < GROUPS else ""
                    groups.setdefault(name, _Group()).add(queue, letter)
                if on_page:
                    on_page(looked + walk.looked, looked + walk.total)
            looked += walk.looked
        records = yield from self._records([group.example for group in groups.values()])
        examples = {(record.queue, record.id): record for record in records}
        made = [
            FailedGroup(name, group.count, group.first_at, group.last_at, examples.get(group.example))
            for name, group in groups.items()
        ]
        return sorted(made, key=lambda group: (-group.count, -group.last_at))

    def _newest(self, queue: str, which: Which, most: int) -> Plan[list[Letter]]:
        found: list[Letter] = []
        walk = _Walk(queue, which, newest_first=True)
        while len(found) < most and (letters := (yield from self._next(walk))):
            found += filter(which.fits, letters)
        return found[:most]

    def _records(self, jobs: Sequence[tuple[str, str]]) -> Plan[list[JobRecord]]:
        records = yield from ask_in_parts([self._jobs.job(queue, id) for queue, id in jobs], self._patience, AT_ONCE)
        return [record for record in records if record is not None]

    def _next(self, walk: _Walk) -> Plan[Sequence[Letter]]:
        """The next page of a walk; empty at its end."""
        page: LetterPage = yield from ask(walk.call(self._jobs), self._patience)
        walk.saw(page.total, page.letters)
        return page.letters

    # --- another life -----------------------------------------------------------------------------------

    def replay(self, ids: Sequence[str], which: Which, on_page: OnPage | None) -> Plan[Replayed]:
        """Put dead letters back in line with fresh counters, by id, or all that are meant. How many it were."""
        held: list[str] = []
        blocked = Blocked()
        do = partial(self._replay, held, blocked)
        if ids:
            count = yield from self._replay_ids(ids, which.queue, do)
        else:
            _refuse_everything(which)
            count = yield from self._each_page(which, do, on_page)
        yield from blocked.link(self._jobs, self._patience)
        return Replayed(count, held)

    def _replay_ids(self, ids: Sequence[str], queue: str | None, do: Do) -> Plan[int]:
        found = (yield from self._operations.find_all(ids)) if queue is None else {}
        by_queue: dict[str, list[str]] = defaultdict(list)
        for id in dict.fromkeys(ids):
            by_queue[found.get(id) or (yield from self._operations.find(id, queue))].append(id)
        replayed = 0
        for name, mine in by_queue.items():
            for start in range(0, len(mine), REPLAYS_AT_ONCE):
                replayed += yield from do(name, mine[start : start + REPLAYS_AT_ONCE])
        return replayed

    def _replay(self, held: list[str], blocked: Blocked, queue: str, ids: Sequence[str]) -> Plan[int]:
        words = yield from ask(self._jobs.replay(queue, ids, new_id()), self._patience)
        held += [id for id, word in zip(ids, words, strict=True) if word == "held"]
        blocked.note(queue, ids, words)
        return sum(map(words.count, RELIVED))

    # --- deletion ---------------------------------------------------------------------------------------

    def purge(self, which: Which, dry_run: bool, on_page: OnPage | None) -> Plan[int]:
        """Delete the dead letters that are meant; how many it were, or would be."""
        _refuse_everything(which)
        return (yield from self._each_page(which, self._count if dry_run else self._discard, on_page))

    def _discard(self, queue: str, ids: Sequence[str]) -> Plan[int]:
        words = yield from ask(self._jobs.discard(queue, ids), self._patience)
        return len(words) - words.count("not_failed")  # one that is gone went in an earlier try of this call

    def _count(self, queue: str, ids: Sequence[str]) -> Plan[int]:
        yield from ()
        return len(ids)

    def _each_page(self, which: Which, do: Do, on_page: OnPage | None) -> Plan[int]:
        """Do something with all that are meant, oldest first; the sum of what it says."""
        done = looked = 0
        for queue in (yield from self._operations.named(which.queue)):
            newest = yield from ask(self._jobs.letters(queue, newest_first=True, count=1), self._patience)
            if not newest.letters:
                continue
            last = newest.letters[0].ended  # what fails from here on is for another time
            walk = _Walk(queue, replace(which, until=last if which.until is None else min(last, which.until)))
            while letters := (yield from self._next(walk)):
                ids = [letter.id for letter in letters if which.fits(letter)]
                for start in range(0, len(ids), REPLAYS_AT_ONCE):
                    done += yield from do(queue, ids[start : start + REPLAYS_AT_ONCE])
                if on_page:
                    on_page(looked + walk.looked, looked + walk.total)
            looked += walk.looked
        return done


class _Walk:
    """A way through the dead letters of one queue, page by page.

    Attributes:
        looked: letters seen so far; `total`: those there were to see when it began.
    """

    def __init__(self, queue: str, which: Which, *, newest_first: bool = False) -> None:
        self.looked = self.total = 0
        self._queue = queue
        self._which = which
        self._newest_first = newest_first
        self._after = ""

    def call(self, jobs: Jobs) -> Call[LetterPage]:
        """What reads the next page."""
        which = self._which
        return jobs.letters(
            self._queue,
            self._after,
            since=which.since,
            until=which.until,
            newest_first=self._newest_first,
            whole=which.whole,
        )

    def saw(self, total: int, letters: Sequence[Letter]) -> None:
        """Go on after these."""
        self.looked += len(letters)
        self.total = max(self.total, total, self.looked)
        if letters:
            self._after = letters[-1].mark


def _refuse_everything(which: Which) -> None:
    if which.everything:
        raise InvalidArgument("which", None, "give ids, or say which: by queue, reason, handler, fingerprint ...")

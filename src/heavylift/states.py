"""The states of a job, and the one table of its moves: which verb takes it from where to where, and who may ask for it.

Whatever depends on a set of states takes it from here; the scripts are given theirs when they are loaded. Every call
of the store's models is held to the table, and every row of it is shown (`tests/store/test_states.py`). The diagram in
`docs/reference/states.md` is drawn from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a job is. *Stalled* is an event, not a state."""

    WAITING = "waiting"
    DELAYED = "delayed"
    BLOCKED = "blocked"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True if the job will not change its state by itself any more."""
        return self in ENDED


class Who(StrEnum):
    """Who asks for a move. A client is anybody who meddles with single jobs."""

    PRODUCER = "producer"
    WORKER = "worker"
    JANITOR = "janitor"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Move:
    """One row of the table.

    Attributes:
        verb: the script that does it, by its name in `store/lua`.
        who: asks for it.
        before: the state it leads out of; None: there is no such job yet.
        after: the state it leads into; None: there is no such job any more.
        when: in which case.
    """

    verb: str
    who: Who
    before: State | None
    after: State | None
    when: str


WAITING, DELAYED, BLOCKED, ACTIVE, COMPLETED, FAILED, CANCELLED = State
UNSTARTED = (WAITING, DELAYED, BLOCKED)
"""Nobody runs it, and it has not ended."""


def _table() -> Iterator[Move]:
    def moves(verb: str, who: Who, before: Iterable[State | None], after: State | None, when: str) -> Iterator[Move]:
        return (Move(verb, who, state, after, when) for state in before)

    producer, worker, janitor, client = Who
    yield from moves("enqueue", producer, [None], WAITING, "it may run at once")
    yield from moves("enqueue", producer, [None], DELAYED, "it is to run later")
    yield from moves("enqueue", producer, [None], BLOCKED, "it waits for other jobs")
    yield from moves("enqueue", producer, [DELAYED], DELAYED, "it is debounced, and put off by another like it")

    yield from moves("claim", worker, [DELAYED], WAITING, "its time has come")
    yield from moves("claim", worker, [WAITING], ACTIVE, "it is its turn")
    yield from moves("claim", worker, [WAITING], FAILED, "it has expired, or cannot be read")
    yield from moves("claim", worker, [DELAYED], FAILED, "it cannot be read")

    yield from moves("settle", worker, [ACTIVE], COMPLETED, "its handler returned")
    yield from moves("settle", worker, [ACTIVE], FAILED, "it will not be tried again")
    yield from moves("settle", worker, [ACTIVE], DELAYED, "it is tried again later")
    yield from moves("settle", worker, [ACTIVE], WAITING, "it is tried again at once, or was interrupted")
    yield from moves("settle", worker, [ACTIVE], CANCELLED, "it was asked to stop")

    yield from moves("deliver", worker, [BLOCKED], WAITING, "its last parent has ended")
    yield from moves("deliver", worker, [BLOCKED], DELAYED, "its last parent has ended before its time came")
    yield from moves("deliver", worker, [BLOCKED], FAILED, "a parent did not complete")
    yield from moves("deliver", worker, [BLOCKED], CANCELLED, "a parent ended otherwise than it was to")

    yield from moves("takeover", janitor, [ACTIVE], ACTIVE, "its lock has expired: another worker settles it")
    yield from moves("tend", janitor, [BLOCKED], WAITING, "what it waited for is lost")
    yield from moves("tend", janitor, [BLOCKED], DELAYED, "the same, before its time came")
    yield from moves("tend", janitor, [BLOCKED], CANCELLED, "the same, and it was to run after a failure only")
    yield from moves("sweep", janitor, UNSTARTED, FAILED, "it has expired")
    yield from moves("sweep", janitor, [COMPLETED, FAILED, CANCELLED], None, "it was kept long enough")

    yield from moves("cancel", client, UNSTARTED, CANCELLED, "nobody runs it")
    yield from moves("promote", client, [DELAYED], WAITING, "it is to run now")
    yield from moves("reschedule", client, [WAITING, DELAYED], DELAYED, "it is to run at another time")
    yield from moves("reschedule", client, [DELAYED], WAITING, "the other time has come")
    yield from moves("replay", client, [COMPLETED, FAILED, CANCELLED], WAITING, "it gets another life")
    yield from moves("replay", client, [FAILED, CANCELLED], BLOCKED, "the same, and it waits for parents again")
    yield from moves("revive", client, [FAILED, CANCELLED], WAITING, "its flow gets another life")
    yield from moves("revive", client, [FAILED, CANCELLED], BLOCKED, "the same, and it waits for parents again")
    yield from moves("discard", client, [FAILED], None, "it is deleted with other dead letters")
    yield from moves("remove", client, [*UNSTARTED, COMPLETED, FAILED, CANCELLED], None, "it is deleted")


MOVES = tuple(_table())
"""The table."""

OPEN = tuple(
    state
    for state in State
    if any(move.before is state and move.after is not None and move.who is not Who.CLIENT for move in MOVES)
)
"""States that a job leaves by itself, in the order of `State`."""

ENDED = frozenset(State) - frozenset(OPEN)

LETTERS = {
    WAITING: "w", DELAYED: "d", BLOCKED: "b", ACTIVE: "a", COMPLETED: "c", FAILED: "f", CANCELLED: "x",
}  # fmt: skip
"""What a state is called in replies of many jobs; `g` is for one that is gone."""


def may(verb: str, state: State) -> bool:
    """Whether the verb moves a job out of this state, or within it."""
    return any(move.verb == verb and move.before is state for move in MOVES)


def as_lua() -> str:
    """What the scripts know of states: `ENDED` (set) and `LETTER` (by state)."""
    ended = ", ".join(f"{state} = true" for state in State if state.ended)
    letters = ", ".join(f"{state} = '{letter}'" for state, letter in LETTERS.items())
    return f"local ENDED = {{ {ended} }}\nlocal LETTER = {{ {letters}, gone = 'g' }}\n"

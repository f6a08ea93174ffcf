"""What a handler is told of the jobs that its own waited for: `ctx.parents`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any, ClassVar, overload

import msgspec

from heavylift.asking import Asks, Question, ask, ask_async
from heavylift.errors import HeavyliftError
from heavylift.job import State

MOST_BYTES = 16 << 20
"""Results told of all parents together; what is above stays with them, and asking for it says how to read it."""


class ParentSaid(msgspec.Struct, frozen=True):
    """One parent, as it travels to the handler: `result` is JSON, None if there is none to be had, or if it was
    `left_out` as there was no room for it."""

    queue: str
    id: str
    state: State | None
    result: bytes | None
    left_out: bool = False


class ParentsAsked(Question[list[ParentSaid]], frozen=True):
    """How have the parents of this job ended?"""

    answers: ClassVar[Any] = list[ParentSaid]


class Parent:
    """A job that this one waited for.

    Attributes:
        queue, id: which job.
        state: how it ended: `completed`, `failed` or `cancelled`; None if it was removed before it could say so.
    """

    __slots__ = ("_left_out", "_result", "id", "queue", "state")

    def __init__(
        self, queue: str, id: str, state: State | None, result: bytes | None = b"null", left_out: bool = False
    ) -> None:
        self.queue = queue
        self.id = id
        self.state = state
        self._result = result
        self._left_out = left_out

    @property
    def completed(self) -> bool:
        """True if it has a result."""
        return self.state is State.COMPLETED

    @property
    def result(self) -> Any:
        """What its handler returned, as plain JSON values; None if it has not completed.

        Raises:
            HeavyliftError: the result was too large to be handed on, and is not kept with the parent any more; or
                the results of all parents make up more than 16 MiB, and this one had no room among those handed on.
        """
        if not self.completed:
            return None
        if self._left_out:
            raise HeavyliftError(
                f"the result of job {self.id} in queue {self.queue} was left out: those of all parents make up more "
                f"than {MOST_BYTES >> 20} MiB; read it with client.job({self.id!r}, {self.queue!r}).result(timeout=0)"
            )
        if self._result is None:
            raise HeavyliftError(f"the result of job {self.id} in queue {self.queue} is not to be had any more")
        return msgspec.json.decode(self._result)

    def __repr__(self) -> str:
        return f"<parent {self.id} in queue {self.queue}, {self.state or 'gone'}>"


class Parents(Sequence[Parent]):
    """The parents in the order of `after`. Asked for when first used; in an async handler say `await ctx.parents`."""

    def __init__(self, reporter: Asks | None = None, count: int = 0, known: Sequence[Parent] | None = None) -> None:
        self._reporter = reporter
        self._count = count
        self._known: list[Parent] | None = list(known) if known is not None else None if count else []

    def __len__(self) -> int:
        return self._count if self._known is None else len(self._known)

    @overload
    def __getitem__(self, at: int) -> Parent: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Parent]: ...
    def __getitem__(self, at: int | slice) -> Parent | Sequence[Parent]:
        return self._all()[at]

    def __iter__(self) -> Iterator[Parent]:
        return iter(self._all())

    def __await__(self) -> Generator[Any, None, list[Parent]]:
        return self._awaited().__await__()

    def _all(self) -> list[Parent]:
        if self._known is None and self._reporter is not None:
            self._known = _read(ask(self._reporter, ParentsAsked()))
        return self._known or []

    async def _awaited(self) -> list[Parent]:
        if self._known is None and self._reporter is not None:
            self._known = _read(await ask_async(self._reporter, ParentsAsked()))
        return self._known or []


def _read(said: list[ParentSaid]) -> list[Parent]:
    return [Parent(one.queue, one.id, one.state, one.result, one.left_out) for one in said]

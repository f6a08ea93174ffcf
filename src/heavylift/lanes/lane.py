"""What every lane promises, and what it calls back.

A lane is given starts and brings back exactly one outcome for each, whatever happens to the handler, the thread
or the process that runs it. It knows nothing of Redis, of retries, or of what an outcome means.

**Places.** `free` says how many starts the lane can take now. `submit` reserves a place for each. A place is free
again *before* `Sink.ended` is called for its attempt, with two exceptions: a thread that does not end when it is
told to keeps its place until it returns, and a slot whose process was killed has none until a new one is up. In both
cases `Sink.freed` is called when the place is back.

**Stopping an attempt** takes two steps in every lane. First it is asked: `Stop` is raised in a plain handler, an
async one is cancelled, and the handler may clean up. If it has not ended after its `grace`, it is ended for it: a
process is killed together with its group; a thread cannot be killed, so its attempt is settled without it. A
timeout is such a stop that the lane asks for by itself. A stop for an attempt that has ended already, or whose token is
another, does nothing. A handler that swallows the stop and returns in time has completed.

**Of several reasons the first stays**, whoever gives them and from whichever thread: its grace runs on, its outcome is
what the attempt comes to, and the handler is disturbed once. Only the lane keeps it (`stop` of its attempts); the
worker asks as often as it likes.

| reason | outcome |
|---|---|
| `timeout` | `TimedOut` |
| `cancelled` | `Cancelled` |
| `lock_lost` | `LockLost` |
| `shutdown`, `lost_contact` | `Interrupted` |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from heavylift.asking import Answered
from heavylift.attempt import Start
from heavylift.errors import StopReason
from heavylift.job import Progress
from heavylift.outcome import Outcome

__all__ = ["Lane", "LaneName", "Sink", "Start"]

LaneName = Literal["io", "cpu"]


class Sink(Protocol):
    """What a lane calls back: from any of its threads, one call at a time for one attempt, in this order:
    `began`, then `progressed`, `checkpointed` and `asked` as they come, then `ended`. Must return at once and not
    raise.
    """

    def began(self, id: str, token: str) -> None:
        """The handler is about to be called. Not called if the attempt ends without that."""

    def progressed(self, id: str, token: str, progress: Progress) -> None:
        """How far it is; at most about ten a second for one job, and the last value always."""

    def checkpointed(self, id: str, token: str, state: bytes) -> None:
        """The handler saved this state (JSON) for its next attempt."""

    def asked(self, id: str, token: str, question: bytes, patience: float, answered: Answered) -> None:
        """The handler asks something; `answered` is to be called once, from any thread, before `patience` (seconds)
        is over. May be called from several threads at once, where the handler has them."""

    def ended(self, id: str, token: str, outcome: Outcome, log: tuple[str, ...]) -> None:
        """What the attempt came to, with its last log lines. Exactly once for every start submitted."""

    def freed(self) -> None:
        """A place became free apart from an `ended`."""


class Lane(Protocol):
    """One of the places where attempts run. All methods may be called from any thread."""

    @property
    def name(self) -> LaneName:
        """Which lane this is."""
        ...

    def start(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Get ready; returns when the lane can take work, or knows that it cannot yet (see `snapshot`).

        Also soon after `hurry` says that nobody waits for it any more.
        """

    @property
    def size(self) -> int:
        """Places there are, free or taken; without those that are stuck."""
        ...

    def resize(self, size: int) -> None:
        """Have so many places from now on. What runs goes on; those that are too many go when they are free."""

    def free(self) -> int:
        """Places free now."""
        ...

    def submit(self, starts: Sequence[Start]) -> None:
        """Run these. Does not block. Give no more than `free`: what finds no place comes back as `Interrupted`."""

    def holds(self, id: str, token: str) -> bool:
        """This attempt was submitted, and its end is not told yet."""
        ...

    def stop_attempt(self, id: str, token: str, reason: StopReason) -> None:
        """Ask this attempt to end, and see to it that it does (see the table above). Does not block."""

    def close(self, deadline_s: float) -> None:
        """Stop every attempt (`shutdown`), wait up to `deadline_s` seconds for them, end what is left. Blocks.

        When it returns every start has had its `ended`, and no thread (but stuck ones) or process of the lane is left.
        """

    def snapshot(self) -> dict[str, Any]:
        """Facts for the status: `places`, `free`, `busy`, `stuck`, `ready`, the `problem` if it is not ready, and what
        else the lane knows.
        """
        ...

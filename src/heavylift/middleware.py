"""Middleware: code of the user's own around `enqueue`, around an attempt in its worker, and around the handler's call.

It is named by the setting `middleware`, as `module:Name`, so that each process makes its own: the worker, and each
process of the cpu lane, which gets the name and never code. A client may be given objects instead. The first of
several is the outermost.

What one of them says to those further down travels with the job in its *carrier*, a small dictionary of strings.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from heavylift import plain
from heavylift.context import Context, JobInfo
from heavylift.decide import Settlement
from heavylift.errors import InvalidArgument
from heavylift.outcome import Outcome

MOST_ENTRIES = 32
MOST_BYTES = 8192
"""Of a carrier, names and values as UTF-8. It is stored with the job and sent with every claim."""


@dataclass(eq=False, slots=True)
class Enqueuing:
    """A job that is being enqueued.

    Attributes:
        id: of the job; once it is enqueued and a duplicate, that of the job that was there.
        queue, handler, tags: of the job.
        correlation_id: as it was given. May be set.
        carrier: travels with the job. To be filled.
        duplicate: it was there already, known once it is enqueued.
    """

    id: str
    queue: str
    handler: str
    tags: tuple[str, ...] = ()
    correlation_id: str | None = None
    carrier: dict[str, str] = field(default_factory=dict)
    duplicate: bool = False


@dataclass(eq=False, slots=True)
class Attempt:
    """An attempt as its worker sees it.

    Attributes:
        job: what is known of its job.
        number: which start of the job this is, from 1.
        worker: id of the worker that claimed it.
        carrier: what the handler's side will find in `ctx.job.carrier`. May be changed in `claimed`.
    """

    job: JobInfo
    number: int
    worker: str
    carrier: dict[str, str] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since it was claimed."""
        return time.monotonic() - self._since


class Middleware:
    """Does nothing. Derive from it, and say what should be done where.

    One object serves all threads of its process. `enqueuing` and `enqueued` run where `enqueue` is called; `claimed`
    and `ended` in threads of the worker, which wait for them; `call` where the handler runs.
    """

    def enqueuing(self, job: Enqueuing) -> None:
        """A job is about to be enqueued. What this raises is raised to the caller, and nothing is enqueued.

        Not called for jobs that a schedule makes, whose carrier is empty, nor for replays, which keep theirs.
        """

    def enqueued(self, job: Enqueuing, wrong: BaseException | None) -> None:
        """It is in; or it is not, or not known to be, because of `wrong`. What this raises is logged."""

    def claimed(self, attempt: Attempt) -> None:
        """The worker has claimed a job, and is about to hand it to a lane. What this raises is logged."""

    def ended(self, attempt: Attempt, outcome: Outcome, settlement: Settlement) -> None:
        """The attempt has come to an outcome, and what that means is decided. What this raises is logged.

        Follows each `claimed`. Comes without one for a job that was taken over from a lost worker. The job is settled
        when this has returned; if that takes longer than a lock lives, it is taken over, and runs again.
        """

    def call(self, ctx: Context) -> AbstractContextManager[object]:
        """What the handler is called within. It belongs to the attempt: what it raises, the attempt has raised.

        Context variables that are set in here are seen by the handler, plain or async, and by no other attempt. An
        exception of the handler's comes out of the `yield`; another may be raised in its place.
        """
        return nullcontext()

    def flush(self) -> None:
        """This worker, or this process of the cpu lane, ends: send what is held back. What this raises is logged."""


def overriding(middleware: Iterable[Middleware], hook: str) -> tuple[Middleware, ...]:
    """Those that do something there."""
    return tuple(one for one in middleware if getattr(type(one), hook) is not getattr(Middleware, hook))


def within(middleware: Sequence[Middleware], ctx: Context, call: Callable[[], bytes]) -> bytes:
    """The encoded result of a call with all of these around it; null if one of them has swallowed its exception."""
    with ExitStack() as around:
        for one in middleware:
            around.enter_context(one.call(ctx))
        return call()
    return b"null"


async def within_async(middleware: Sequence[Middleware], ctx: Context, call: Callable[[], Awaitable[bytes]]) -> bytes:
    """As `within`, awaited."""
    with ExitStack() as around:
        for one in middleware:
            around.enter_context(one.call(ctx))
        return await call()
    return b"null"


def check_carrier(carrier: Mapping[str, str]) -> dict[str, str]:
    """A carrier as it travels with a job, of plain strings; refuses what cannot.

    Raises:
        InvalidArgument: something in it is no string, or it is too large.
    """
    if not isinstance(carrier, Mapping):
        raise InvalidArgument("carrier", carrier, "give a dictionary of strings")
    for name, value in carrier.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidArgument(f"carrier[{name!r}]", value, "give strings")
    if len(carrier) > MOST_ENTRIES:
        raise InvalidArgument("carrier", f"{len(carrier)} entries", f"put at most {MOST_ENTRIES} into it")
    if (size := carrier_size(carrier)) > MOST_BYTES:
        raise InvalidArgument("carrier", f"{size} bytes", f"put at most {MOST_BYTES} bytes into it")
    return {plain.text(name): plain.text(value) for name, value in carrier.items()}


def carrier_size(carrier: Mapping[str, str]) -> int:
    """Bytes of its names and values."""
    return sum(len(text.encode("utf-8", "backslashreplace")) for pair in carrier.items() for text in pair)


# --- by name --------------------------------------------------------------------------------------------------

_made: dict[str, Middleware] = {}
_guard = threading.Lock()
"""One object for each name in a process: clients come and go, and each may hold threads and connections."""


def load(names: Sequence[str], root: Path) -> tuple[Middleware, ...]:
    """The middleware of these names, made when first asked for in this process.

    Args:
        names: `module:Name` of a class, which is called without arguments, or of an object.
        root: the project's root, where modules are looked for too.

    Raises:
        InvalidArgument: there is none, or it cannot be made (the cause is chained).
    """
    with _guard:
        for name in names:
            if name not in _made:
                _made[name] = _make(name, find(name, root))
        return tuple(_made[name] for name in names)


def find(name: str, root: Path) -> type[Middleware] | Middleware:
    """The class or object of a name; its module is imported, and nothing is made.

    Raises:
        InvalidArgument: there is none.
    """
    module, _, attribute = name.partition(":")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        found = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as wrong:
        raise InvalidArgument("middleware", name, f"cannot be imported: {type(wrong).__name__}: {wrong}") from wrong
    if isinstance(found, Middleware) or (isinstance(found, type) and issubclass(found, Middleware)):
        return found
    raise InvalidArgument("middleware", name, "is no Middleware: derive it from heavylift.Middleware")


def _make(name: str, found: type[Middleware] | Middleware) -> Middleware:
    if isinstance(found, Middleware):
        return found
    try:
        return found()
    except Exception as wrong:
        raise InvalidArgument("middleware", name, f"cannot be made: {type(wrong).__name__}: {wrong}") from wrong


def checked(middleware: Iterable[Middleware]) -> tuple[Middleware, ...]:
    """Objects that were given.

    Raises:
        InvalidArgument: one is no `Middleware`.
    """
    given = tuple(middleware)
    for one in given:
        if not isinstance(one, Middleware):
            raise InvalidArgument("middleware", one, "give objects of classes derived from heavylift.Middleware")
    return given

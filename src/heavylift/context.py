"""What a handler knows of its job and can say about it: `ctx`.

A context does no I/O. What the handler says goes to a `Reporter`: in the io lane that is the lane itself, in a slot's
process the pipe to the worker. Progress is held back here, at the source, so that a handler may report every row of
a million without anybody downstream noticing.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any, Literal, Protocol, TypeVar, overload

import msgspec

from heavylift import plain
from heavylift.arguments import encode_other
from heavylift.asking import Answer, Answered
from heavylift.errors import InvalidArgument, StopReason
from heavylift.job import Progress
from heavylift.once import KEEP, Memory, Once
from heavylift.parents import Parent, Parents

T = TypeVar("T")

InDoubtRule = Literal["fail", "repeat"]
"""What to do about an effect that was begun and never recorded: `fail` raises `InDoubt`, `repeat` does it again."""

PROGRESS_INTERVAL = 0.1
"""Seconds between two progress reports of one attempt. What lies between them is replaced by the newest."""

MAX_CHECKPOINT = 256 * 1024
"""Bytes of an encoded checkpoint. It is stored with the job and sent with every claim."""

MOST = 2**63 - 1
"""Of anything, in a progress report."""

MAX_MESSAGE = 500
"""Characters of a progress message."""

MAX_LINE = 2000
"""Characters of a log line."""

LOG_LINES = 50
"""Last log lines kept with an attempt."""


class Reporter(Protocol):
    """Where a context's reports go, and its questions. Called from the handler's thread, or from `later`'s.

    **Asking the worker.** What a handler wants to know from Redis it asks its worker, in every lane alike:

    1. declare the question in a module of values: `class ParentResults(Question[dict[str, Raw]], frozen=True)`, its
       fields msgspec-encodable, with `answers = dict[str, Raw]`, the type of the answer;
    2. say in `worker/answers.py` how it is answered: a generator that yields lists of store calls, is sent their
       replies, and returns the answer; all it calls must be harmless to repeat;
    3. in the context: `asking.ask(self._reporter, question)` waits for the typed answer in this thread;
       `await asking.ask_async(self._reporter, question)` does in an async handler, whose loop must not stand still.

    Raised are `Unavailable` when Redis could not be asked for as long as the patience lasts, `StoreError` when the
    question was refused, and `Stop` if the attempt is stopped while it waits.
    """

    def setting_up(self, seconds: float) -> None:
        """Something is about to be loaded for the handler, which may take so long."""

    def began(self) -> None:
        """The handler is about to be called."""

    def progressed(self, progress: Progress) -> None:
        """Already held back to the interval."""

    def checkpointed(self, state: bytes) -> None:
        """A state to resume from, JSON."""

    def logged(self, level: str, line: str) -> None:
        """One log line."""

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call this after so many seconds, from any thread, unless the attempt has ended."""

    def pose(self, question: bytes, patience: float, answered: Answered) -> None:
        """Send a question to the worker; see `asking.Asks`. Does not block."""

    def ask(self, question: bytes, patience: float) -> Answer:
        """Send a question to the worker and wait; see `asking.Asks`. `Stop` may be raised meanwhile."""
        ...

    def stopping(self) -> StopReason | None:
        """Why the attempt has been asked to stop, if it has."""
        ...


class Silent(Memory):
    """A reporter that listens to nobody: for a handler called as the plain function it is, as unit tests do."""

    def setting_up(self, seconds: float) -> None:
        """Nothing."""

    def began(self) -> None:
        """Nothing."""

    def progressed(self, progress: Progress) -> None:
        """Nothing."""

    def checkpointed(self, state: bytes) -> None:
        """Nothing."""

    def logged(self, level: str, line: str) -> None:
        """Nothing."""

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Nothing."""

    def stopping(self) -> StopReason | None:
        """Never."""
        return None


class JobInfo(msgspec.Struct, frozen=True):
    """What a handler may want to know of its job.

    Attributes:
        enqueued_at: seconds since 1970, by the producer's clock; for the job of a schedule, its tick.
        carrier: what middleware sent along.
    """

    id: str = "job"
    queue: str = "default"
    handler: str = "handler"
    tags: tuple[str, ...] = ()
    correlation_id: str | None = None
    enqueued_at: float = 0.0
    carrier: dict[str, str] = {}


class Context:
    """Given to a handler whose first parameter is annotated with it. `Context()` does for a unit test.

    Attributes:
        job: the job this attempt belongs to.
        attempt: which start of the job this is, from 1.
        parents: the jobs it waited for, in the order of `after`: `[one.result for one in ctx.parents]`; in an async
            handler `await ctx.parents`.
    """

    __slots__ = (
        "_checkpoint",
        "_closed",
        "_guard",
        "_log",
        "_next",
        "_pending",
        "_reporter",
        "attempt",
        "job",
        "parents",
    )

    def __init__(
        self,
        job: JobInfo | None = None,
        attempt: int = 1,
        checkpoint: bytes | None = None,
        reporter: Reporter | None = None,
        parents: Sequence[Parent] = (),
    ) -> None:
        self.job = job or JobInfo()
        self.attempt = attempt
        self._checkpoint = checkpoint
        self._reporter: Reporter = reporter or Silent()
        self.parents = parents if isinstance(parents, Parents) else Parents(known=parents)
        self._guard = threading.RLock()
        self._log: Log | None = None
        self._next = 0.0
        self._pending: Progress | None = None
        self._closed = False

    @property
    def log(self) -> Log:
        """Lines that belong to this attempt: `ctx.log.info("resized", width=800)`. The last ones are kept."""
        if self._log is None:
            self._log = Log(self._reporter)
        return self._log

    @property
    def cancelled(self) -> bool:
        """True once this attempt has been asked to stop, for whatever reason."""
        return self._reporter.stopping() is not None

    # --- progress -----------------------------------------------------------------------------------------

    def progress(self, fraction_or_done: float | None = None, total: float | None = None, message: str = "") -> None:
        """Say how far the job is: `progress(0.5)`, `progress(3, 10)`, `progress(message="reading")`.

        Cheap: at most about ten reports a second leave the process, and the last one always does.

        Raises:
            InvalidArgument: not a number, negative or beyond 2**63, or a fraction above 1 without a total; or a message
                that is no text.
        """
        value = _progress(fraction_or_done, total, message)
        now = time.monotonic()
        with self._guard:
            if self._closed:
                return
            wait = self._next - now
            if wait <= 0:
                self._next = now + PROGRESS_INTERVAL
                self._pending = None
                self._reporter.progressed(value)
                return
            held_back = self._pending is not None
            self._pending = value
        if not held_back:
            self._reporter.later(wait, self.flush)

    def track(self, iterable: Iterable[T], total: float | None = None) -> Iterator[T]:
        """The items of `iterable`, with progress reported after each. `total` is its length where it has one."""
        if total is None and isinstance(iterable, Sized):
            total = len(iterable)
        for done, item in enumerate(iterable, 1):
            yield item
            self.progress(done, total) if total else self.progress(message=f"{done} done")

    def flush(self) -> None:
        """Send the progress that is held back, if there is any."""
        with self._guard:
            value, self._pending = self._pending, None
            if value is not None and not self._closed:
                self._next = time.monotonic() + PROGRESS_INTERVAL
                self._reporter.progressed(value)

    def close(self) -> None:
        """The attempt has ended: send what is held back, then nothing more."""
        self.flush()
        with self._guard:
            self._closed = True

    # --- effects ------------------------------------------------------------------------------------------

    @overload
    def once(self, key: str, *, in_doubt: InDoubtRule = "fail", keep: float = KEEP) -> Once[Any]: ...
    @overload
    def once(self, key: str, kind: type[T], *, in_doubt: InDoubtRule = "fail", keep: float = KEEP) -> Once[T]: ...
    def once(self, key: str, kind: Any = Any, *, in_doubt: InDoubtRule = "fail", keep: float = KEEP) -> Once[Any]:
        """Do something only once, however often the job runs. `async with` in an async handler.

            with ctx.once(f"charge:{order}") as step:
                if step.first:
                    step.result = charge(order, idempotency_key=step.key)
            return step.result

        A later run, of this job or any other that uses the key, gets the recorded result. The effect is started at
        most once: an attempt that ends between the effect and its record leaves it in doubt. See `Step`.

        Args:
            key: names the effect in the whole installation, 1 to 500 characters.
            kind: the type of the result; plain JSON values if not given.
            in_doubt: `fail`: a job that meets an effect in doubt becomes a dead letter, reason `in_doubt`. `repeat`:
                the effect is done again; for those that the other side knows by `step.key`.
            keep: seconds that the record is kept, 30 days.

        Raises:
            InDoubt, EffectHeld: on entering; let them pass.
            Unavailable, StoreError: on entering, Redis could not be asked, and nothing was done. On leaving, the result
                could not be recorded: the effect is in doubt.
        """
        return Once(self._reporter, key, kind, _repeats(in_doubt), keep)

    # --- checkpoints --------------------------------------------------------------------------------------

    def checkpoint(self, state: Any) -> None:
        """Save a state (anything JSON can hold) for the next attempt, should there be one.

        Raises:
            InvalidArgument: it cannot be encoded, or is larger than 256 KiB.
        """
        try:
            encoded = msgspec.json.encode(state, enc_hook=encode_other)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as wrong:
            raise InvalidArgument("state", state, f"give what JSON can hold ({wrong})") from None
        if len(encoded) > MAX_CHECKPOINT:
            raise InvalidArgument("state", f"{len(encoded)} bytes", f"give at most {MAX_CHECKPOINT} bytes of JSON")
        with self._guard:
            if not self._closed:
                self._checkpoint = encoded
                self._reporter.checkpointed(encoded)

    @property
    def last_checkpoint(self) -> Any:
        """The state saved last, by this attempt or an earlier one; None if there is none."""
        return None if self._checkpoint is None else msgspec.json.decode(self._checkpoint)


def _repeats(in_doubt: InDoubtRule) -> bool:
    if in_doubt not in ("fail", "repeat"):
        raise InvalidArgument("in_doubt", in_doubt, "give 'fail' or 'repeat'")
    return in_doubt == "repeat"


def _progress(done: float | None, total: float | None, message: str) -> Progress:
    done = None if done is None else _amount("fraction_or_done", done)
    total = None if total is None else _amount("total", total)
    try:
        message = plain.text(message)
    except TypeError:
        raise InvalidArgument("message", message, "give text") from None
    if len(message) > MAX_MESSAGE:
        message = message[: MAX_MESSAGE - 1] + "…"
    if done is None:
        return Progress(total=total, message=message)
    if total is None:
        if done > 1:
            raise InvalidArgument("fraction_or_done", done, "give a fraction between 0 and 1, or say the total too")
        return Progress(fraction=float(done), message=message)
    fraction = min(1.0, done / total) if total else 1.0
    return Progress(fraction=fraction, done=done, total=total, message=message)


def _amount(name: str, value: float) -> float:
    """As every lane can carry it, and every reader read it."""
    try:
        amount = plain.number(value)
    except Exception:  # whatever stands for a number may raise anything
        amount = -1
    if not 0 <= amount <= MOST:
        raise InvalidArgument(name, value, "give a number, zero or more, and below 2**63")
    return amount


class Log:
    """The logger of one attempt: an event and fields, one line each. Never raises because of what it is given."""

    __slots__ = ("_reporter",)

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def debug(self, event: object, **fields: object) -> None:
        """A detail for whoever looks for a fault."""
        self._reporter.logged("debug", line(event, fields))

    def info(self, event: object, **fields: object) -> None:
        """What happened."""
        self._reporter.logged("info", line(event, fields))

    def warning(self, event: object, **fields: object) -> None:
        """What somebody should look at."""
        self._reporter.logged("warning", line(event, fields))

    def error(self, event: object, **fields: object) -> None:
        """What went wrong."""
        self._reporter.logged("error", line(event, fields))

    def exception(self, event: object, **fields: object) -> None:
        """What went wrong, with the last line of the exception being handled."""
        kind, raised, _ = sys.exc_info()
        if kind is not None:
            fields["exception"] = traceback.format_exception_only(kind, raised)[-1].strip()
        self._reporter.logged("error", line(event, fields))


def line(event: object, fields: dict[str, object] | None = None) -> str:
    """One log line: the event, then `name=value` for each field, capped."""
    parts = [_shown(event, str)]
    parts += [f"{name}={_shown(value, repr)}" for name, value in (fields or {}).items()]
    text = plain.text(" ".join(parts))
    return text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"


def _shown(value: object, how: Callable[[object], str]) -> str:
    try:
        return how(value)
    except Exception as wrong:
        return f"<{type(value).__name__} that cannot be shown: {type(wrong).__name__}>"

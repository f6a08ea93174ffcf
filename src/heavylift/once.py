"""Effects that must happen only once, however often their job runs: `ctx.once`.

The promise: *the effect is started at most once, unless you ask to repeat it.* That it is about to be done is stored
before it is done, and its result after. An attempt that dies in between leaves it in doubt: nobody but the other side
can know whether it happened. Doubt is said, and never resolved by doing it again unasked.
"""

from __future__ import annotations

import secrets
from types import TracebackType
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

import msgspec

from heavylift import plain
from heavylift.asking import UNDO, Answer, Answered, Asks, Question, answer, ask, ask_async, encode
from heavylift.codec import decode_result, encode_result
from heavylift.errors import UNREADABLE, EffectHeld, InDoubt, InvalidArgument, Stop, Unavailable

T = TypeVar("T")

KEEP = 30 * 24 * 3600.0
"""Seconds that a record is kept."""

MAX_KEY = 500
"""Characters of a key."""

MAX_RESULT = 64 * 1024
"""Bytes of an encoded result."""


class Standing(msgspec.Struct, frozen=True):
    """How an effect stands. `result` is JSON; `job` is the one that holds it, or left it in doubt."""

    how: Literal["new", "done", "held", "in_doubt"]
    result: bytes = b""
    job: str = ""


class BeginOnce(Question[Standing], frozen=True):
    """May I do this? `again`: yes, also if it is in doubt. `keep` in ms."""

    key: str
    nonce: str
    keep: int
    again: bool = False
    answers: ClassVar[Any] = Standing

    def undo(self) -> ForgetOnce:
        """Unless it is told to go on, the handler has not begun the effect."""
        return ForgetOnce(self.key, self.nonce)

    def follows(self, other: Question[Any]) -> bool:
        """What is being recorded, or taken back, is no doubt."""
        return isinstance(other, (DoneOnce, ForgetOnce)) and other.key == self.key


class DoneOnce(Question[bool], frozen=True):
    """I have done it; with this result (JSON). The answer is whether it was mine to do."""

    key: str
    result: bytes
    keep: int
    answers: ClassVar[Any] = bool
    outlives: ClassVar[bool] = True


class ForgetOnce(Question[bool], frozen=True):
    """I have not done what I have begun under this nonce, and it has not happened."""

    key: str
    nonce: str
    answers: ClassVar[Any] = bool
    outlives: ClassVar[bool] = True


class Step(Generic[T]):
    """One effect, within its `with` block.

    Leave the block normally and the effect counts as done, with the `result` that was set (None if none was). Leave
    it by an exception and the effect is in doubt, unless `forget` was called, or a result was set already.

    Attributes:
        key: to be handed to the other side, which can then tell a repetition by itself.
        first: True if the effect is to be done now; False if it was done before and `result` is there.
    """

    def __init__(self, key: str, kind: Any) -> None:
        self.key = key
        self.first = False
        self._kind = kind
        self._result: bytes | None = None
        self._forgotten = False

    @property
    def result(self) -> T:
        """What the effect gave, as it came back from JSON: the same in the first run and in every later one.

        Raises:
            InvalidArgument: it is not known yet.
        """
        if self._result is None:
            raise InvalidArgument(
                "result", None, "is not known before it is set: do the effect where step.first is true"
            )
        return cast(T, decode_result(self._result, self._kind))

    @result.setter
    def result(self, value: T) -> None:
        """Set it as soon as the effect has happened.

        Raises:
            InvalidArgument: the effect was done before, or the value is no JSON or above 64 KiB.
        """
        if not self.first:
            raise InvalidArgument("result", value, "was recorded before: do the effect only where step.first is true")
        self._result = encode_result(value, MAX_RESULT)

    def forget(self) -> None:
        """Say that the effect has not happened and will not: the next run may do it. Call it before you raise."""
        if self.first:
            self._forgotten = True


def check_key(key: str) -> str:
    """The key, if it can be an effect's.

    Raises:
        InvalidArgument: it cannot.
    """
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY:
        raise InvalidArgument("key", key, f"give a string of 1 to {MAX_KEY} characters")
    return plain.text(key)


class Once(Generic[T]):
    """What `ctx.once` returns: to be entered by `with`, in an async handler by `async with`."""

    def __init__(self, reporter: Asks, key: str, kind: Any, again: bool, keep: float) -> None:
        key = check_key(key)
        if not 1 <= keep < 1e10:
            raise InvalidArgument("keep", keep, "give seconds, 1 or more")
        self._reporter = reporter
        self._step: Step[T] = Step(key, kind)
        self._keep = int(keep * 1000)
        self._begin = BeginOnce(key, secrets.token_hex(8), self._keep, again)

    def __enter__(self) -> Step[T]:
        """Ask whether to do it.

        Raises:
            InDoubt: it was begun before, and nobody knows whether it happened.
            EffectHeld: another attempt is at it.
            Unavailable, StoreError: it could not be asked; nothing was done.
        """
        try:
            return self._entered(ask(self._reporter, self._begin))
        except (Stop, Unavailable):
            self._give_back()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (question := self._left(raised)) is not None:
            ask(self._reporter, question)

    async def __aenter__(self) -> Step[T]:
        """As `__enter__`."""
        from asyncio import CancelledError  # loaded by whoever runs a loop

        try:
            return self._entered(await ask_async(self._reporter, self._begin))
        except (CancelledError, Unavailable):
            self._give_back()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (question := self._left(raised)) is not None:
            await ask_async(self._reporter, question)

    def _entered(self, standing: Standing) -> Step[T]:
        step = self._step
        if standing.how == "held":
            raise EffectHeld(step.key, standing.job)
        if standing.how == "in_doubt":
            raise InDoubt(step.key, standing.job)
        step.first = standing.how == "new"
        if not step.first:
            step._result = standing.result
        return step

    def _left(self, raised: BaseException | None) -> Question[bool] | None:
        """What is to be said at the end of the block."""
        step = self._step
        if not step.first:
            return None
        if step._forgotten:
            return self._begin.undo()
        if raised is not None and step._result is None:
            return None
        if step._result is None:
            step._result = b"null"
        return DoneOnce(step.key, step._result, self._keep)

    def _give_back(self) -> None:
        """It was asked, and the answer did not come: the effect has not been begun, whatever the answer was."""
        self._reporter.pose(encode(self._begin.undo()), UNDO, lambda _: None)


class Memory:
    """Answers for a `Context()` of a unit test: what was done is known within that context."""

    def __init__(self) -> None:
        self._done: dict[str, bytes | None] = {}

    def pose(self, question: bytes, patience: float, answered: Answered) -> None:
        """Answered at once."""
        answered(self.ask(question, patience))

    def ask(self, question: bytes, patience: float) -> Answer:
        """Answered at once; questions about anything else are refused."""
        try:
            asked = _questions.decode(question)
        except UNREADABLE:
            return Answer(trouble="there is no worker to ask")
        match asked:
            case BeginOnce(key=key, again=again) if key in self._done:
                result = self._done[key]
                if result is not None:
                    return answer(Standing("done", result))
                return answer(Standing("new" if again else "in_doubt"))
            case BeginOnce(key=key):
                self._done[key] = None
                return answer(Standing("new"))
            case DoneOnce(key=key, result=result):
                self._done[key] = result
            case ForgetOnce(key=key):
                self._done.pop(key, None)
        return answer(True)


_questions: msgspec.msgpack.Decoder[BeginOnce | DoneOnce | ForgetOnce] = msgspec.msgpack.Decoder(
    BeginOnce | DoneOnce | ForgetOnce
)

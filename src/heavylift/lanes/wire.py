"""What a slot's process and the worker say to each other: a handful of small messages over one duplex pipe.

A frame is four bytes of length and a MessagePack value. Each side may be killed in the middle of one, and the child
may be frozen there, so the worker never waits for the rest of a frame: it reads what there is and keeps the beginning
of the next. The outcome travels here as well, and not as the result of the executor's call: the executor reads its
own pipe with blocking reads, and a child killed half-way through a large result would hold its thread for good.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, TypeAlias, get_args

import msgspec

from heavylift.asking import Answer
from heavylift.errorinfo import error_info
from heavylift.errors import UNREADABLE, StopReason
from heavylift.job import Progress
from heavylift.outcome import Outcome, Raised

MAX_FRAME = 64 * 1024 * 1024
"""Bytes. A longer one means that something else wrote to the pipe; its process is given up."""

_length = struct.Struct("!I")
_OUTCOMES: dict[str, Any] = {kind.__name__: kind for kind in get_args(Outcome)}


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The process is up, or says why it is not.

    Attributes:
        preloaded: the handlers came with the fork server.
        handlers: names of those it can run.
        error: why it cannot run any, a traceback.
    """

    pid: int
    preloaded: bool = False
    handlers: tuple[str, ...] = ()
    error: str = ""


class SettingUp(msgspec.Struct, frozen=True, tag=True):
    """Something is about to be loaded for the handler, which may take so many seconds. It has not begun yet."""

    call: int
    seconds: float


class Begin(msgspec.Struct, frozen=True, tag=True):
    """The handler is about to be called. From here on a death of the process is a crash of the job.

    Attributes:
        resident, share: bytes that the process has now, if the handler has a limit; see `memory`.
        loaded: bytes that it has loaded for this handler and will keep.
    """

    call: int
    resident: int = 0
    share: int = 0
    loaded: int = 0


class Reported(msgspec.Struct, frozen=True, tag=True):
    """`ctx.progress`."""

    call: int
    progress: Progress


class Saved(msgspec.Struct, frozen=True, tag=True):
    """`ctx.checkpoint`; the state as JSON."""

    call: int
    state: bytes


class Logged(msgspec.Struct, frozen=True, tag=True):
    """A log line, or one that was printed (`level` is then `stdout` or `stderr`)."""

    call: int
    level: str
    line: str


class Asked(msgspec.Struct, frozen=True, tag=True):
    """A question to the worker; the number tells which one an answer is to."""

    call: int
    number: int
    question: bytes
    patience: float


class End(msgspec.Struct, frozen=True, tag=True):
    """The attempt has ended with this outcome; the slot can take the next call."""

    call: int
    kind: str
    outcome: msgspec.Raw


class StopAsked(msgspec.Struct, frozen=True, tag=True):
    """From the worker: stop this call if it is still the one that runs."""

    call: int
    reason: StopReason


class Told(msgspec.Struct, frozen=True, tag=True):
    """From the worker: the answer to a question of this call."""

    call: int
    number: int
    answer: Answer


FromChild: TypeAlias = Hello | SettingUp | Begin | Reported | Saved | Logged | Asked | End
FromWorker: TypeAlias = StopAsked | Told
Message: TypeAlias = FromChild | FromWorker

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class Garbled(Exception):
    """Bytes that are no frame: somebody else wrote to the pipe."""


def frame(message: Message) -> bytes:
    """A message as it goes over the pipe."""
    body = _encoder.encode(message)
    return _length.pack(len(body)) + body


class Frames:
    """Puts the pieces that are read together again."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that these bytes complete.

        Raises:
            Garbled: what came is no frame.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= 4:
                (size,) = _length.unpack_from(buffer, start)
                if size > MAX_FRAME:
                    raise Garbled(f"a frame of {size} bytes")
                if len(buffer) - start - 4 < size:
                    break
                body = bytes(buffer[start + 4 : start + 4 + size])
                start += 4 + size
                yield _decode(body)
        finally:
            del buffer[:start]


def _decode(body: bytes) -> Message:
    try:
        return _decoder.decode(body)
    except UNREADABLE as wrong:
        raise Garbled(str(wrong)) from None


def end(call: int, outcome: Outcome) -> End:
    """The message that carries an outcome; one that says why not, if there is something in it that cannot cross."""
    try:
        data = _encoder.encode(outcome)
    except Exception as wrong:
        outcome = Raised(error_info(wrong))
        data = _encoder.encode(outcome)
    return End(call, type(outcome).__name__, msgspec.Raw(data))


def outcome_in(message: End) -> Outcome:
    """The outcome that a message carries.

    Raises:
        Garbled: it is none.
    """
    try:
        outcome: Outcome = msgspec.msgpack.decode(message.outcome, type=_OUTCOMES[message.kind])
    except (KeyError, *UNREADABLE) as wrong:
        raise Garbled(f"an outcome {message.kind}: {wrong}") from None
    return outcome

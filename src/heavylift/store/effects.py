"""Verbs about effects that are to happen only once. A record lies in a slot of its own, away from any queue's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from heavylift.store.call import Arg, Call
from heavylift.store.verbs import Verbs, flag, text


@dataclass(frozen=True, slots=True)
class Begun:
    """What became of beginning an effect.

    Attributes:
        how: `new`: it is the caller's to do. `done`: `result` is what was recorded. `begun`: another attempt has begun
            it and recorded nothing; its lock is `token`, on `job` of `queue`.
        result: JSON.
    """

    how: Literal["new", "done", "begun"]
    result: bytes = b""
    queue: str = ""
    job: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True)
class EffectRecord:
    """What is stored of an effect. Times in ms since 1970, None if not yet.

    Attributes:
        done: it has a result; else it was begun and nothing more is known.
        result: JSON.
        queue, job, token: of the attempt that began it last.
    """

    key: str
    done: bool
    result: bytes
    queue: str
    job: str
    token: str
    begun_at: int | None
    done_at: int | None


def digest(key: str) -> str:
    """What stands for a key in Redis: any text may be one."""
    return hashlib.blake2b(key.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


class Effects(Verbs):
    """Begin, done, forget, look."""

    def once_begin(
        self, key: str, nonce: str, queue: str, job: str, token: str, keep_ms: int, instead: str = ""
    ) -> Call[Begun]:
        """Note that an attempt is about to do this, unless somebody has, or is.

        Args:
            key: of the effect.
            nonce: of this beginning; the same again if the reply was lost.
            queue, job, token: of the attempt.
            keep_ms: how long the record is kept.
            instead: the token of a holder known to be gone, in whose place it may be done again.
        """

        def parse(reply: Any) -> Begun:
            how, *rest = reply
            if how == b"begun":
                return Begun("begun", b"", *map(text, rest))
            return Begun("done", rest[0]) if how == b"done" else Begun("new")

        return self._effect(
            "once_begin",
            key,
            parse,
            name=key,
            nonce=nonce,
            queue=queue,
            job=job,
            token=token,
            keep=keep_ms,
            instead=instead,
        )

    def once_done(self, key: str, token: str, result: bytes, keep_ms: int) -> Call[bool]:
        """Record the effect's result. False: `token` is not the holder's any more; "" is always right."""
        return self._effect(
            "once_done", key, lambda reply: reply == b"ok", name=key, token=token, result=result, keep=keep_ms
        )

    def once_forget(self, key: str, token: str = "", nonce: str = "") -> Call[bool]:
        """The effect has not happened. False: there is nothing to forget, or it was begun by another, or again.

        Without token and nonce it is forgotten whoever began it, also if it was done.
        """
        return self._effect("once_forget", key, flag, token=token, nonce=nonce)

    def once(self, key: str) -> Call[EffectRecord | None]:
        """What is stored of an effect; None if nothing is."""

        def parse(reply: Any) -> EffectRecord | None:
            said = dict(zip(reply[::2], reply[1::2], strict=True))
            if not said:
                return None

            def time(name: bytes) -> int | None:
                return int(said[name]) if said.get(name, b"").isdigit() else None

            return EffectRecord(
                text(said.get(b"key", b"")),
                said.get(b"state") == b"done",
                said.get(b"result", b""),
                text(said.get(b"queue", b"")),
                text(said.get(b"job", b"")),
                text(said.get(b"token", b"")),
                time(b"begun_at"),
                time(b"done_at"),
            )

        return self._plain(parse, "HGETALL", self.common.once(digest(key)))

    def holds(self, queue: str, job: str, token: str) -> Call[bool]:
        """Whether this token is the lock of the job still; an expired one is until it is taken over."""
        return self._plain(
            lambda reply: bool(token) and reply == token.encode(), "HGET", self.keys(queue).job(job), "token"
        )

    def _effect(self, verb: str, key: str, parse: Any, **args: Arg) -> Call[Any]:
        loaded = self.scripts[verb]
        keys, command = loaded.bind(self.common, {"digest": digest(key), **args}, ())
        return Call(keys, command, parse, loaded.script)

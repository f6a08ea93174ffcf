"""What was enqueued, and what of it a test means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from heavylift.arguments import encode_other
from heavylift.codec import decode_envelope, encode_args
from heavylift.duration import seconds
from heavylift.errors import InvalidArgument
from heavylift.handler import Handler
from heavylift.job import JobRecord, JobSpec
from heavylift.redaction import redacted

DELAY_WITHIN = 2.0
"""Seconds by which a delay may differ: producers and tests take their time."""

SHOWN = 10
"""Jobs named in a failed assertion."""


@dataclass(frozen=True, slots=True)
class Found:
    """A job that is there.

    Attributes:
        record: what a reader is shown of it: its secrets are left out.
        args: its arguments as they are.
    """

    record: JobRecord
    args: Any

    @classmethod
    def of(cls, record: JobRecord, stored: bytes | None) -> Found:
        """From a record and the job's envelope as it stands in Redis."""
        if record.options is None or not record.options.secret or stored is None:
            return cls(record, record.args)
        return cls(record, msgspec.json.decode(decode_envelope(stored).args))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs a test means; None is any.

    Attributes:
        handler: its name.
        args: these arguments, among others; secrets as they are.
        delay: seconds from when it was enqueued until it is due, to two seconds.
        secret: paths of arguments that are not shown.
    """

    handler: str | None
    args: Mapping[str, Any]
    queue: str | None
    delay: float | None
    priority: int | None
    tags: tuple[str, ...]
    secret: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        what: Handler[..., Any] | JobSpec[Any] | str | None,
        args: Mapping[str, Any] | None,
        queue: str | None,
        delay: float | timedelta | None,
        priority: int | None,
        tags: Sequence[str],
    ) -> Wanted:
        """From what a test says.

        Raises:
            InvalidArgument: the handler has no argument of such a name: the assertion could never hold.
        """
        wait = None if delay is None else seconds("delay", delay)
        if isinstance(what, JobSpec):
            given = {**msgspec.json.decode(encode_args(what)), **_plain(args or {})}
            return cls(what.handler, given, queue, wait, priority, tuple(tags), what.options.secret)
        if isinstance(what, Handler):
            _check_names(what, args or {})
            return cls(what.name, _plain(args or {}), queue, wait, priority, tuple(tags), what.options.secret)
        return cls(what, _plain(args or {}), queue, wait, priority, tuple(tags))

    def fits(self, found: Found) -> bool:
        """True if this is such a job."""
        job = found.record
        return (
            self.handler in (None, job.handler)
            and self.queue in (None, job.queue)
            and self.priority in (None, job.priority)
            and self._args_fit(found.args)
            and self._delay_fits(job)
            and (not self.tags or set(self.tags) <= set(job.options.tags if job.options else ()))
        )

    def _args_fit(self, args: Any) -> bool:
        if not self.args:
            return True
        return isinstance(args, dict) and all(name in args and args[name] == v for name, v in self.args.items())

    def _delay_fits(self, job: JobRecord) -> bool:
        if self.delay is None:
            return True
        given = 0.0 if job.due_at is None else (job.due_at - job.enqueued_at) / 1000
        return abs(given - self.delay) <= DELAY_WITHIN

    def shown(self, jobs: Iterable[Found]) -> str:
        """For a failed assertion: without what is a secret, of the handler's or of one of these jobs of it."""
        alike = [one.record.options for one in jobs if self.handler in (None, one.record.handler)]
        secret = [*self.secret, *(path for options in alike if options for path in options.secret)]
        parts = [f"{self.handler or 'any handler'}({_shown(redacted(self.args, secret))})"]
        parts += [f"queue={self.queue!r}"] if self.queue else []
        parts += [f"delay={self.delay:g} s"] if self.delay is not None else []
        parts += [f"priority={self.priority}"] if self.priority is not None else []
        parts += [f"tags={list(self.tags)}"] if self.tags else []
        return " ".join(parts)


def listing(found: Sequence[Found]) -> str:
    """The jobs, a line each, for a failed assertion."""
    jobs = [one.record for one in found]
    if not jobs:
        return "nothing is enqueued"
    lines = [f"  {job.handler}({_shown(job.args)}) queue={job.queue!r} {job.state}" for job in jobs[:SHOWN]]
    more = [f"  and {len(jobs) - SHOWN} more"] if len(jobs) > SHOWN else []
    return "\n".join(["enqueued are:", *lines, *more])


def _shown(args: Any) -> str:
    text = ", ".join(f"{n}={v!r}" for n, v in args.items()) if isinstance(args, Mapping) else repr(args)
    return text if len(text) <= 200 else text[:199] + "…"


def _plain(args: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives them back: a path is a string by then."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(dict(args), enc_hook=encode_other))
    return plain


def _check_names(handler: Handler[..., Any], args: Mapping[str, Any]) -> None:
    known = handler.arguments.names
    for name in args:
        if name not in known:
            raise InvalidArgument("args", name, f"is no argument of {handler.name}; it takes {', '.join(known)}")

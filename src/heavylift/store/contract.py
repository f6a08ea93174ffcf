"""The wire contract as a page: everything another program needs to know to read a queue, or to enqueue.

`python -m heavylift.store.contract` prints it; `python -m heavylift.store.contract enqueue` prints a script as it is
loaded into Redis.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any

import msgspec

from heavylift.calculated import hashed
from heavylift.event import Event, Kind
from heavylift.job import AttemptRecord, Envelope, Progress
from heavylift.options import Backoff
from heavylift.store.keys import JOB_FIELDS, META_FIELDS, SCHEDULE_FIELDS, Common, Keys
from heavylift.store.producing import BATCH_BYTES, BATCH_JOBS, KEYED_JOBS
from heavylift.store.scripts import Scripts
from heavylift.unique import Unique, canonical

_INTRO = """# What is in Redis

Generated from the code by `python -m heavylift.store.contract`; do not edit.

Times are milliseconds since 1970 by the Redis server's own clock, ranks are microseconds. `<prefix>` is the setting
`prefix`, `heavylift` unless changed. All keys of a queue carry the hash tag `{<queue>}` and so lie in one slot of a
Redis Cluster. Text is UTF-8. A reader must pass over fields and events it does not know."""

_ENQUEUE = """## Enqueueing from another language

Run the script `enqueue` with EVALSHA; `python -m heavylift.store.contract enqueue` prints it (add `--cluster` for a
Cluster). KEYS are the queue's keys in the order given below, ARGV a fresh nonce and then four strings per job: id,
handler, envelope, options. Repeat the call with the same nonce if the reply was lost. Then
`SADD <prefix>:queues <queue>`.

    EVALSHA <sha> 9 heavylift:{images}:meta heavylift:{images}:line: heavylift:{images}:delayed \\
        heavylift:{images}:blocked heavylift:{images}:expiring heavylift:{images}:idle heavylift:{images}:ring \\
        heavylift:{images}:held heavylift:{images}:schedules \\
        <nonce> 01 resize '{"handler":"resize","args":{"source":"a.jpg","width":800}}' ''

Ids, keys for limits and flows are 1 to 200 letters, digits and `_ . : @ -`; queues, handlers and groups 1 to 100
letters, digits and `_ . -`. Nothing else may stand there, since options are words with spaces between.

One call takes so many jobs that it does not hold up Redis for long: {jobs} at most, envelopes of {kib} KiB in all, and
{keyed} jobs at most that have a `key`, are `unique` or have parents (`after`), because each of them brings keys of its
own. A job whose envelope is larger goes alone.

### Unique jobs

`unique=<mode>.<digest>` among the options has a job left out while another one like it is there. The digest is the
same for all producers, in whatever language, if it is made like this: the first 32 hexadecimal digits of the SHA-256 of
three texts with a byte 0 between them, which are

- for jobs with the same arguments: `args`, the handler, and `args` of the envelope in the canonical form;
- for a key of your own, 1 to 1000 characters: `key`, the handler, and the key.

The canonical form is JSON without spaces, the names of each object in the order of their code points, as UTF-8: only
`"`, `\\` and what is below U+0020 are escaped (`\\b` `\\t` `\\n` `\\f` `\\r`, else `\\u001f`, in small letters). A
number without a fraction is written as an integer if it is below 2^53 (`1.0` as `1`), integers of any size as they are,
others with the fewest digits that give the same double. `JSON.stringify` writes the same, if names are sorted by code
points, for numbers from 1e-5 to 2^53; what is beyond may be written otherwise (`1e-6`, `1e20`).

{examples}

Where a handler's function makes the key, of a unique job or for limits, or the group, of an argument that is a secret,
a hash goes in its place: the first 32 hexadecimal digits of the SHA-256 of the option (`unique`, `key`, `group`) and
what the function returned, with a byte 0 between them. So `key` is {hashed} where the function says `ada`."""


def page() -> str:
    """The whole page, Markdown."""
    return "\n\n".join(_parts()) + "\n"


def _parts() -> Iterator[str]:
    yield _INTRO
    yield "## Keys of a queue"
    yield _keys(Keys("<prefix>", "<queue>"))
    yield "## Keys and channels of all queues"
    yield _keys(Common("<prefix>"))
    yield "## A job's hash"
    yield _table(("field", "holds"), JOB_FIELDS.items())
    yield "## A queue's `meta`"
    yield _table(("field", "holds"), META_FIELDS.items())
    yield "## A schedule's hash"
    yield _table(("field", "holds"), SCHEDULE_FIELDS.items())
    yield "## The envelope"
    yield "JSON, written by the producer. Fields with their default are left out."
    yield _struct(Envelope)
    yield _struct(Backoff)
    yield "## What is kept of an attempt, and progress"
    yield _struct(AttemptRecord)
    yield _struct(Progress)
    yield "## Events"
    yield (
        "One JSON object per message, on the channel of the job. `event` is one of "
        + " ".join(f"`{kind}`" for kind in Kind)
        + ". Events are hints and may be lost: subscribe, then read the job, then listen."
    )
    yield _struct(Event)
    yield _enqueue()
    yield "## Scripts"
    yield "What each does, with its KEYS (named as above) and ARGV in order."
    for verb in sorted(Scripts().verbs):
        yield _verb(verb)


def _enqueue() -> str:
    said = {"jobs": BATCH_JOBS, "kib": BATCH_BYTES // 1024, "keyed": KEYED_JOBS, "examples": _digests()}
    said["hashed"] = f"`{hashed('key', 'ada')}`"
    text = _ENQUEUE
    for name, value in said.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _digests() -> str:
    args = b'{"width": 800.0, "source": "a.jpg"}'
    rows = (
        ("args", canonical(args).decode(), Unique().digest("resize", args)),
        ("key", "ada", Unique(by="ada").digest("resize", args)),
    )
    head = "| of | for the handler `resize` | digest |\n|---|---|---|\n"
    return head + "\n".join(f"| `{kind}` | `{what}` | `{digest}` |" for kind, what, digest in rows)


def _keys(keys: Keys | Common) -> str:
    rows: list[tuple[str, str]] = []
    for name, member in vars(type(keys)).items():
        doc = inspect.getdoc(member)
        if name.startswith("_") or name == "base" or not doc:
            continue
        value: Any = getattr(keys, name)
        if isinstance(member, property):
            rows.append((value, doc))
            continue
        given = inspect.signature(value).parameters
        if any(parameter.default is None for parameter in given.values()):
            rows.append((value(), doc))
        rows.append((value(*(f"<{arg}>" for arg in given)), doc))
    return _table(("key", "type and content"), sorted(rows))


def _table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    return "\n".join(lines + [f"| `{left}` | {right.replace('|', chr(92) + '|')} |" for left, right in rows])


def _struct(kind: type[msgspec.Struct]) -> str:
    rows: list[tuple[str, str]] = []
    for field in msgspec.structs.fields(kind):
        shown = str(field.type) if not isinstance(field.type, type) else field.type.__name__
        for module in ("heavylift.job.", "heavylift.options.", "heavylift.event.", "msgspec.", "typing."):
            shown = shown.replace(module, "").replace("Raw", "any JSON")
        needed = "always there" if field.required else f"default `{_default(field)}`"
        rows.append((field.name, f"{shown}; {needed}"))
    doc = (inspect.getdoc(kind) or "").replace("Attributes:\n", "").replace("\n    ", "\n- ")
    return f"### {kind.__name__}\n\n{doc}\n\n{_table(('field', 'type'), rows)}"


def _default(field: Any) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return msgspec.json.encode(value).decode()


def _verb(verb: str) -> str:
    text = (files("heavylift.store") / "lua" / f"{verb}.lua").read_text("utf-8")
    header = []
    for line in text.splitlines()[1:]:
        if not line.startswith("--"):
            break
        header.append(line.removeprefix("--").removeprefix(" "))
    said = [line for line in header if not line.startswith("include:")]
    return f"### {verb}\n\n```text\n" + "\n".join(said).removeprefix(f"{verb}: ").rstrip() + "\n```"


def main(words: list[str]) -> None:
    """Print the page, or the script that is named."""
    names = [word for word in words if not word.startswith("--")]
    print(Scripts(single_node="--cluster" not in words)[names[0]].script.source if names else page(), end="")


if __name__ == "__main__":
    main(sys.argv[1:])

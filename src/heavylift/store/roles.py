"""Who needs which rights in Redis: one table of what each role calls, and the ACL rules that follow from it.

A right is given to commands, keys and channels; scripts run with the rights of whoever calls them. So a role has the
commands that its verbs give (`needs`), on the kinds of keys that they declare or find.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from heavylift.options import Durable
from heavylift.store.keys import Common, Keys
from heavylift.store.needs import Needs, needs
from heavylift.store.scripts import Scripts, Verb


@dataclass(frozen=True, slots=True)
class Role:
    """What somebody with one job to do calls.

    Attributes:
        does: in a few words.
        verbs: scripts.
        plain: single commands, each with the keys (names in `Keys` and `Common`) that it is given.
        hears: channels (names in `Keys` and `Common`).
        reads_only: its keys are not to be written.
    """

    does: str
    verbs: tuple[str, ...]
    plain: dict[str, tuple[str, ...]]
    hears: tuple[str, ...] = field(default=("event_channel",))
    reads_only: bool = False


_LOOKS = ("counts", "ended", "letters", "page", "schedules", "why")
_READS = {
    "HGETALL": ("job", "meta", "worker", "once"),
    "HMGET": ("job",),
    "HGET": ("job",),
    "ZRANGE": ("pending",),
    "ZREVRANGE": ("workers",),
    "SMEMBERS": ("queues",),
    "INFO": (),
}

ROLES = {
    "producer": Role(
        "enqueues, waits for results, watches its jobs",
        ("enqueue", "flow", "link", "stage"),
        {
            "SADD": ("queues",),
            "SMEMBERS": ("queues",),
            "HMGET": ("job",),
            "HGETALL": ("job",),
            "HSCAN": ("parents",),
            "ZRANGE": ("pending",),
        },
    ),
    "worker": Role(
        "claims, runs and settles; fires schedules",
        (
            *(
                "claim",
                "counts",
                "deliver",
                "enqueue",
                "epoch",
                "extend",
                "handover",
                "limit",
                "link",
                "once_begin",
                "once_done",
            ),
            *("once_forget", "pass_on", "progress", "seen", "settle", "sweep", "takeover", "tend"),
            *("schedule", "schedule_pass", "schedules", "unschedule"),
        ),
        {
            "SADD": ("queues",),
            "SMEMBERS": ("queues",),
            "HGET": ("job",),
            "HSCAN": ("parents",),
            "INFO": (),
            "HSET": ("worker",),
            "PEXPIRE": ("worker",),
            "DEL": ("worker",),
            "ZREM": ("workers",),
        },
        hears=("worker_channel",),
    ),
    "reader": Role("looks: status, jobs, dead letters, a dashboard", _LOOKS, _READS, reads_only=True),
    "operator": Role(
        "looks, pauses, limits, schedules, cancels, moves, replays and purges",
        (
            *_LOOKS,
            *("cancel", "discard", "flow", "limit", "once_done", "once_forget", "order", "priority", "promote"),
            *("remove", "replay", "reschedule", "resume", "revive"),
            *("handover", "link", "deliver", "tend"),  # of flows that it cancels, or gives another life
            *("schedule", "schedule_pause", "unschedule"),
        ),
        {**_READS, "HSET": ("meta",), "HSCAN": ("parents",), "SADD": ("queues",)},
    ),
}

GREETING = ("client|setname", "ping", "select", "script|load")
"""What every connection says, or may have to."""

CLUSTER = ("asking", "cluster|slots")

CONFIRMS = {"fast": (), "fsync": ("set", "info", "waitaof", "config|get"), "replicated": ("set", "info", "wait")}
"""What a producer says beside, to know that its jobs are kept."""

_ANY_QUEUE = "*"


def rules(
    name: str, prefix: str, queues: Sequence[str] = (), *, durable: Durable = "fast", cluster: bool = False
) -> list[str]:
    """The ACL rules of a role, in the words of `ACL SETUSER`, without user and password.

    Args:
        name: a key of `ROLES`.
        prefix: first part of every key.
        queues: that it has to do with; all if there are none.
        durable: how surely the jobs of a producer are to be kept.
        cluster: of a Redis Cluster.
    """
    role, verbs = ROLES[name], _verbs(name)
    commands = {word.lower() for verb, need in verbs for word in (*need.commands, need.word)}
    commands |= {word.lower() for word in role.plain} | {*GREETING}
    commands |= {"subscribe", "unsubscribe"} | ({"psubscribe", "punsubscribe"} if "job" in _heard(role) else set())
    commands |= set(CLUSTER) if cluster else set()
    kinds = {kind for verb, need in verbs for kind in _kinds(verb, need)}
    kinds |= {kind for keys in role.plain.values() for kind in keys}
    if name == "producer":
        commands |= set(CONFIRMS[durable])
        kinds |= {"durable"} if durable != "fast" else set()
    sign = "%R~" if role.reads_only else "~"
    keys = sorted({key for kind in kinds for key in _patterns(kind, prefix, queues)})
    tells = {told for _, need in verbs for told in need.tells}
    channels = sorted({channel for told in tells | _heard(role) for channel in _channels(told, prefix, queues)})
    return [
        *(sign + key for key in keys),
        *("&" + channel for channel in channels),
        *("+" + c for c in sorted(commands)),
    ]


def _verbs(name: str) -> list[tuple[Verb, Needs]]:
    scripts = Scripts()
    return [(scripts[verb], needs(scripts[verb].script)) for verb in ROLES[name].verbs]


def _heard(role: Role) -> set[str]:
    return {"job" if channel == "event_channel" else "worker" for channel in role.hears}


def _kinds(verb: Verb, need: Needs) -> Iterator[str]:
    """Names in `Keys` and `Common` of all the keys of a verb."""
    yield from (kind for kind, _ in verb.keys)
    yield from (part.rstrip(":") for part in need.found)


def _patterns(kind: str, prefix: str, queues: Sequence[str]) -> Iterator[str]:
    common = Common(prefix)
    if hasattr(common, kind):
        found = getattr(common, kind)
        yield found if isinstance(found, str) else found("*")
        return
    for queue in queues or [_ANY_QUEUE]:
        keys = Keys(prefix, queue)
        found = getattr(keys, kind)
        yield found if isinstance(found, str) else found("*")
        if kind == "ring":
            yield keys.ring()


def _channels(told: str, prefix: str, queues: Sequence[str]) -> Iterator[str]:
    """As patterns. Redis compares one that is listened to as it stands, so those of named queues are given whole."""
    if told == "worker":
        yield Common(prefix).worker_channel("*")
        return
    for queue in queues:
        yield Keys(prefix, queue).event_pattern()
    if not queues:
        yield Keys(prefix, _ANY_QUEUE).event_channel("*")

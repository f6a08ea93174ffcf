"""Settings: explicit, frozen, refused at the door by name and value.

A value comes from the call, else from the environment (`HEAVYLIFT_...`), else from `heavylift.toml` in the
project's root, else from the default below. *Not said* is None everywhere on the way; it is never a default.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from heavylift.errors import InvalidArgument
from heavylift.options import DURABLE, NAME

FOLDER = ".heavylift"
"""The folder that marks a project's root and holds the embedded server's files."""

KIB, MIB = 1024, 1024 * 1024

MIDDLEWARE = re.compile(r"[\w.]+:\w+")


def project_root(start: Path | None = None) -> Path:
    """The nearest folder upwards that has `.heavylift/`, `heavylift.toml` or `handlers/`; else `start` itself."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if any((folder / mark).exists() for mark in (FOLDER, "heavylift.toml", "handlers")):
            return folder
    return here


def processors() -> int:
    """Processors this process may use, not those the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


UNSAID = -1.0
"""A time that follows from another setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings with their defaults. Durations in seconds, sizes in bytes unless the name says otherwise.

    Attributes:
        redis_url: `redis://`, `rediss://`, `unix://`; None runs the embedded server.
        sentinel: name of the Sentinel set if `redis_url` names sentinels.
        cluster: `redis_url` names a node of a Redis Cluster.
        tls_ca: file with the CA that signed the server's certificate, for `rediss://`; the system's if not given.
        tls_cert, tls_key: files with the client's certificate and its key, for a server that asks for one.
        tls_check_hostname: the server's certificate must name the host that was asked for.
        prefix: first part of every key; keeps two installations apart on one Redis.
        root: the project's root. Paths in jobs are relative to it.
        allowed_roots: folders handlers may read and write; the root if empty.
        slots: processes of the cpu lane. One per processor: more only makes them queue for the processor.
        places: attempts the io lane runs at once; each may hold a thread.
        queues: which queues to serve, with weights; None serves those of all loaded handlers, all with weight 1.
        strict: `queues` are served in the order they are named in, instead of by weight.
        costs: places of its lane that a job of a queue takes, where that is not one.
        threads: most threads of a numeric library (BLAS, OpenMP) in a slot; 0 leaves that to the library.
        lock: life of a lock. A dead worker's jobs come back within this plus `sweep`.
        heartbeat: pause between renewals; three may fail before a lock is in danger. A quarter of `lock` if not said.
        sweep: pause between the janitor's rounds.
        poll: longest sleep of an idle dispatcher, and so the longest delay if every wake-up is lost.
        deadline: how long a graceful shutdown waits for running attempts.
        grace: between asking an attempt to stop and killing it, unless its handler says otherwise; at shutdown no
            attempt gets more than this.
        nice: niceness of the cpu lane's processes, so that heartbeats and light jobs go first.
        recycle_jobs: a slot's process is renewed after this many jobs; 0 for never.
        recycle_rss: a slot's process is renewed, while idle, above this resident size; 0 for never.
        keep_completed, keep_failed: how long ended jobs are kept.
        keep_completed_count, keep_failed_count: how many of them a queue keeps at most.
        max_payload, max_result: encoded size limits of arguments and results.
        durable: when `enqueue` returns unless its job says otherwise: `fast`, `fsync` or `replicated`.
        middleware: `module:Name` of each `Middleware`, the outermost first. In the environment with commas between.
        connect_timeout, command_timeout: of every Redis connection.
    """

    redis_url: str | None = field(default=None, repr=False)  # it may hold a password
    sentinel: str | None = None
    cluster: bool = False
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_check_hostname: bool = True
    prefix: str = "heavylift"
    root: Path = field(default_factory=project_root)
    allowed_roots: tuple[Path, ...] = ()
    slots: int = field(default_factory=processors)
    places: int = 100
    queues: Mapping[str, int] | None = None
    strict: bool = False
    costs: Mapping[str, int] = field(default_factory=dict)
    threads: int = 1
    lock: float = 30.0
    heartbeat: float = UNSAID
    sweep: float = 5.0
    poll: float = 5.0
    deadline: float = 25.0
    grace: float = 5.0
    nice: int = 10
    recycle_jobs: int = 1000
    recycle_rss: int = 512 * MIB
    keep_completed: float = 24 * 3600.0
    keep_failed: float = 14 * 24 * 3600.0
    keep_completed_count: int = 10_000
    keep_failed_count: int = 10_000
    max_payload: int = 256 * KIB
    max_result: int = 256 * KIB
    durable: str = "fast"
    middleware: tuple[str, ...] = ()
    connect_timeout: float = 5.0
    command_timeout: float = 10.0

    def __post_init__(self) -> None:
        for f in fields(self):
            _check_type(f.name, str(f.type), getattr(self, f.name))
        if self.heartbeat == UNSAID:
            object.__setattr__(self, "heartbeat", self.lock / 4)
        for name, low in _LOWEST.items():
            if not getattr(self, name) >= low:
                raise InvalidArgument(name, getattr(self, name), f"give {low} or more")
        if not self.heartbeat <= self.lock / 2:
            raise InvalidArgument("heartbeat", self.heartbeat, f"give at most half of lock ({self.lock:g} s)")
        if self.durable not in DURABLE:
            raise InvalidArgument("durable", self.durable, 'give "fast", "fsync" or "replicated"')
        for name in self.middleware:
            if not isinstance(name, str) or not MIDDLEWARE.fullmatch(name):
                raise InvalidArgument("middleware", name, 'give "module:Name"')
        if not self.prefix or not set(self.prefix).isdisjoint("{}* \n"):
            raise InvalidArgument("prefix", self.prefix, "use letters, digits and _ . : -")
        _check_numbers("queues", self.queues or {})
        _check_numbers("costs", self.costs)
        if self.queues is not None and not self.queues:
            raise InvalidArgument("queues", self.queues, "name a queue, or leave it out to serve all")
        if self.strict and self.queues is None:
            raise InvalidArgument("strict", True, "name the queues in their order: queues")

    @classmethod
    def load(cls, env: Mapping[str, str] | None = None, **said: Any) -> Settings:
        """Settings from what was said, the environment and `heavylift.toml`, in this order.

        Args:
            env: the environment; `os.environ` if not given. `REDIS_URL` stands in for `HEAVYLIFT_REDIS_URL`.
            **said: any attribute; None means not said.

        Raises:
            InvalidArgument: a value cannot be read or is out of range; names it and where it came from.
        """
        env = os.environ if env is None else env
        root = Path(said.get("root") or env.get("HEAVYLIFT_ROOT") or project_root()).resolve()
        file = root / "heavylift.toml"
        of_call = {name: value for name, value in said.items() if value is not None}
        of_env, of_file = _from_env(env), _from_file(file)
        try:
            return cls._of({**of_file, **of_env, **of_call, "root": root})
        except InvalidArgument as wrong:
            name = wrong.field
            if name in of_call or not (name in of_env or name in of_file):
                raise
            where = _variable(env, name) if name in of_env else str(file)
            raise InvalidArgument(name, wrong.value, f"{wrong.remedy} (said by {where})") from None

    @classmethod
    def _of(cls, values: dict[str, Any]) -> Settings:
        if unknown := values.keys() - {f.name for f in fields(cls)}:
            name = min(unknown)
            raise InvalidArgument(name, values[name], "is not a setting; `heavylift settings` lists them")
        return cls(**values)


_LOWEST: dict[str, float] = {
    "slots": 0,
    "places": 0,
    "threads": 0,
    "lock": 0.2,
    "heartbeat": 0.05,
    "sweep": 0.05,
    "poll": 0.05,
    "deadline": 0,
    "grace": 0,
    "nice": 0,
    "recycle_jobs": 0,
    "recycle_rss": 0,
    "keep_completed": 0,
    "keep_failed": 0,
    "keep_completed_count": 0,
    "keep_failed_count": 0,
    "max_payload": 1,
    "max_result": 1,
    "connect_timeout": 0.05,
    "command_timeout": 0.05,
}


_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "a string"),
    "str | None": ((str, type(None)), "a string"),
    "Path": ((Path,), "a path"),
    "tuple[Path, ...]": ((tuple,), "a tuple of paths"),
    "tuple[str, ...]": ((tuple,), "a tuple of strings"),
    "Mapping[str, int]": ((Mapping,), "a whole number for each queue"),
    "Mapping[str, int] | None": ((Mapping, type(None)), "a whole number for each queue"),
}
"""What a setting of a type may be given, by the type as it is written above."""


def _check_type(name: str, kind: str, value: Any) -> None:
    """`"2"` is not 2, and True is not 1: the file and the call say what they mean."""
    allowed, words = _TYPES[kind]
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed) or value == float("inf"):
        raise InvalidArgument(name, value, f"give {words}")


def _check_numbers(name: str, numbers: Mapping[str, int]) -> None:
    for queue, number in numbers.items():
        if not isinstance(queue, str) or not NAME.fullmatch(queue):
            raise InvalidArgument(name, queue, "is no name of a queue: use 1 to 100 letters, digits and _ . -")
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InvalidArgument(name, {queue: number}, "give whole numbers, 1 or more")


def numbers_in(where: str, text: str) -> dict[str, int]:
    """What a text like `critical=5,default` says of queues; 1 where no number is said.

    Raises:
        InvalidArgument: it cannot be read; names `where` it stands.
    """
    found: dict[str, int] = {}
    for part in text.split(","):
        name, equals, number = (word.strip() for word in part.partition("="))
        if not name or name in found or (equals and not (number.isascii() and number.isdigit() and len(number) < 10)):
            raise InvalidArgument(where, text, "give NAME or NAME=NUMBER with commas between, as critical=5,default=1")
        found[name] = int(number) if equals else 1
    return found


def _variable(env: Mapping[str, str], name: str) -> str:
    """The variable that says it."""
    own = f"HEAVYLIFT_{name.upper()}"
    return own if env.get(own) or name != "redis_url" else "REDIS_URL"


def _from_env(env: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if url := env.get("HEAVYLIFT_REDIS_URL") or env.get("REDIS_URL"):
        found["redis_url"] = url
    for f in fields(Settings):
        text = env.get(f"HEAVYLIFT_{f.name.upper()}")
        if text and f.name not in ("redis_url", "root"):
            found[f.name] = _parse(f.name, str(f.type), text, f"HEAVYLIFT_{f.name.upper()}")
    return found


def _from_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise InvalidArgument("heavylift.toml", str(path), f"is not valid TOML: {wrong}") from None
    if "allowed_roots" in table:
        entries = table["allowed_roots"]
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise InvalidArgument("allowed_roots", entries, f"give a list of paths (said by {path})")
        table["allowed_roots"] = tuple((path.parent / entry).resolve() for entry in entries)
    if "middleware" in table:
        entries = table["middleware"]
        if not isinstance(entries, list):
            raise InvalidArgument("middleware", entries, f'give a list of "module:Name" (said by {path})')
        table["middleware"] = tuple(entries)
    if isinstance(named := table.get("queues"), list):
        table["queues"] = dict.fromkeys(named, 1) if _all_different(named) else named
    return table


def _all_different(named: list[Any]) -> bool:
    return all(isinstance(name, str) for name in named) and len(set(named)) == len(named)


def _parse(name: str, kind: str, text: str, where: str) -> Any:
    try:
        if kind == "bool":
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
        if kind == "tuple[str, ...]":
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if kind.startswith("Mapping"):
            return numbers_in(where, text)
        if kind.startswith("tuple"):
            return tuple(Path(part).resolve() for part in text.split(os.pathsep) if part)
        return text
    except (ValueError, KeyError):
        raise InvalidArgument(where, text, f"cannot be read as {kind} for the setting {name}") from None

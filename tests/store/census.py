"""Everything a queue has in Redis, read at one moment, and what must always be true of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import redis

from heavylift.store.keys import JOB_FIELDS, META_FIELDS, Keys

SETS = {"delayed": "delayed", "blocked": "blocked", "active": "locks"} | {
    s: s for s in ("completed", "failed", "cancelled")
}
ENDED = {"completed", "failed", "cancelled"}
PASSING = ("call:", "idle")  # what numbered calls and sleeping workers leave behind


@dataclass
class Census:
    """A queue's jobs, sets, lines and rings."""

    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    zsets: dict[str, dict[str, float]] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)
    unique: dict[str, str] = field(default_factory=dict)
    other: dict[str, object] = field(default_factory=dict)

    @property
    def lines(self) -> dict[str, dict[str, float]]:
        """Waiting jobs by path."""
        return {name[5:]: ids for name, ids in self.zsets.items() if name.startswith("line:")}

    def of(self, name: str) -> dict[str, float]:
        """A sorted set, empty if it is not there."""
        return self.zsets.get(name, {})


def read(client: redis.Redis, keys: Keys) -> Census:
    """The whole of a queue, in a few round trips."""
    census = Census()
    found = list(dict.fromkeys(client.scan_iter(match=keys.base.replace("[", "\\[") + "*", count=1000)))
    with client.pipeline(transaction=False) as pipe:
        for raw in found:
            pipe.type(raw)
        kinds = pipe.execute()
        for raw, kind in zip(found, kinds, strict=True):
            match kind:
                case b"zset":
                    pipe.zrange(raw, 0, -1, withscores=True)
                case b"hash":
                    pipe.hgetall(raw)
                case _:
                    pipe.get(raw) if kind == b"string" else pipe.dump(raw)
        for raw, kind, value in zip(found, kinds, pipe.execute(), strict=True):
            _enter(census, raw.decode()[len(keys.base) :], kind, value)
    return census


def _enter(census: Census, name: str, kind: bytes, value: Any) -> None:
    if name.startswith(PASSING):
        census.other[name] = kind
    elif name.startswith("unique:"):
        census.unique[name[7:]] = (value or b"").decode()
    elif kind == b"zset":
        census.zsets[name] = {id.decode(): score for id, score in value}
    elif kind == b"hash":
        stored = {f.decode(): v.decode("utf-8", "replace") for f, v in value.items()}
        if name == "meta":
            census.meta = stored
        elif name == "held":
            census.held = {path: int(n) for path, n in stored.items()}
        elif name.startswith("job:"):
            census.jobs[name[4:]] = stored
        else:
            census.other[name] = stored
    else:
        census.other[name] = value


def check(census: Census) -> None:
    """Every job is in exactly the one place its state says, and nothing is counted that is not there."""
    places: dict[str, list[str]] = {}
    for path, ids in census.lines.items():
        for id in ids:
            places.setdefault(id, []).append("waiting")
            assert census.jobs.get(id, {}).get("path", "") == path, f"{id} stands in line {path!r}"
    for state, name in SETS.items():
        for id in census.of(name):
            places.setdefault(id, []).append(state)
    for id in census.jobs.keys() | places.keys():
        job = census.jobs.get(id)
        assert job is not None, f"{id} has no hash but is in {places[id]}"
        assert places.get(id) == [job["state"]], f"{id} is {job['state']} but stands in {places.get(id)}"
        assert bool(job.get("token")) == (job["state"] == "active"), (
            f"{id} is {job['state']}: token {job.get('token')!r}"
        )
    ended = {id for id, job in census.jobs.items() if job["state"] in ENDED}
    assert set(census.of("purge")) == ended, "every ended job, and no other, has a time to go"
    expiring = {
        id
        for id, job in census.jobs.items()
        if "expires" in job and job["state"] in ("waiting", "delayed", "blocked") and "starts" not in job
    }
    assert set(census.of("expiring")) == expiring, "jobs that have not started and may expire"
    _check_unique(census)
    fields = {re.sub(r"(?<=^attempt:)\d+$", "<n>", name) for job in census.jobs.values() for name in job}
    assert fields <= JOB_FIELDS.keys(), "every field of a job is documented"
    kinds = {re.sub(r"^(limit:|rate:)[^/]+", r"\1<group>", name) for name in census.meta}
    kinds = {re.sub(r"^(declared:).*", r"\1<scope>", name) for name in kinds}
    kinds = {re.sub(r"^(keep:|kept:|most:)[a-z]+", r"\1<state>", name) for name in kinds}
    kinds = {re.sub(r"^(most:<state>:).*", r"\1<handler>", name) for name in kinds}
    assert kinds <= META_FIELDS.keys(), "every field of meta is documented"
    _check_limits(census)


def _check_unique(census: Census) -> None:
    """A key that does not lapse belongs to a job that lives and, but for mode f, has not started since it took it."""
    for name, said in census.unique.items():
        mode, starts, id = said.split(" ")
        if mode in "wd":
            continue  # they lapse
        job = census.jobs.get(id, {})
        assert job.get("unique") == f"{mode}.{name}", f"{name} is held by {id}, which does not know of it"
        assert job["state"] not in ENDED, f"{id} has ended and holds {name}"
        assert mode == "f" or job.get("starts", "0") == starts, f"{id} has started and holds {name}"
    for id, job in census.jobs.items():
        held = job.get("unique", "")
        if held.startswith("f.") and job["state"] not in ENDED:
            assert census.unique.get(held[2:], "").endswith(f" {id}"), f"{id} lives and does not hold {held}"


def _check_limits(census: Census) -> None:
    """Every line with jobs is in its ring, or in the gate, or full; every group so, too."""
    held: Counter[str] = Counter()
    for job in census.jobs.values():
        path = job.get("path", "")
        if job["state"] == "active" and path:
            held[path.partition("/")[0]] += 1
            if not path.endswith("/"):
                held[path] += 1
    assert census.held == dict(held), "what is held is what runs"
    lined = sum(len(ids) for path, ids in census.lines.items() if path)
    assert int(census.meta.get("lined", 0)) == lined, "the count of jobs in lines by path"
    if census.meta.get("mode") != "lines":
        assert not lined, "only the one line is looked at"
        assert not {name for name in census.zsets if name.startswith("ring")} | {*census.of("gate"), *census.of("vt")}
        return
    if "revise" in census.meta:
        return
    places = {path: min(ids.values()) for path, ids in census.lines.items() if path}
    groups: dict[str, float] = {}
    gated: set[str] = set()
    for group in {path.partition("/")[0] for path in places} | {n[5:] for n in census.zsets if n.startswith("ring:")}:
        lines = {path: rank for path, rank in places.items() if path.partition("/")[0] == group}
        ring = census.of(f"ring:{group}")
        for path in lines:
            full = _full(census.meta, f"limit:{group}/*", held, path)
            standing = {"ring": path in ring, "gate": path in census.of("gate"), "full": full}
            assert sum(standing.values()) == 1, f"line {path!r} stands in {standing}"
            gated |= {path} & census.of("gate").keys()
        assert ring.keys() <= lines.keys(), f"the ring of group {group!r} has empty lines"
        if "order" not in census.meta:
            assert ring == {path: lines[path] for path in ring}, f"the ring of group {group!r}"
        if not ring:
            continue
        full = _full(census.meta, f"limit:{group}", held, group)
        standing = {"ring": group in census.of("ring"), "gate": group in census.of("gate"), "full": full}
        assert sum(standing.values()) == 1, f"group {group!r} stands in {standing}"
        gated |= {group} & census.of("gate").keys()
        if standing["ring"]:
            groups[group] = min(ring.values())
    assert census.of("ring").keys() == groups.keys(), "the ring of the queue"
    if "order" not in census.meta:
        assert census.of("ring") == groups, "the ring of the queue"
    assert census.of("gate").keys() == gated, "only what has jobs waits for tokens"
    _check_clock(census)


def _check_clock(census: Census) -> None:
    clock = float(census.meta.get("clock", 0))
    if "order" not in census.meta:
        assert not census.of("vt")
        assert not clock
        return
    times = [time for name, ring in census.zsets.items() if name.startswith(("ring", "vt")) for time in ring.values()]
    assert all(time <= clock + 1_000_000 for time in times), "no line waits for more than a turn of all others"


def _full(meta: Mapping[str, str], limit: str, held: Mapping[str, int], what: str) -> bool:
    if what.endswith("/") or not what:
        return False
    return limit in meta and held.get(what, 0) >= int(meta[limit])

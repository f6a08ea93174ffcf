"""The oracle: what must hold after every fault, as functions that say what is wrong, a sentence each.

They judge values: which jobs were acknowledged, what Redis keeps of them (`Kept`), what the ledger says really ran.
`kept` reads the one, `Ledger` the other; an empty list means that it holds.

I1 no loss            I2 bounded duplication    I3 single effective completion    I4 recovery bound
I5 no residue         I6 hygiene                I7 liveness                       I8 honesty
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec
import psutil

from heavylift.job import AttemptRecord, Counters
from heavylift.states import ENDED, State
from tests.faults.ledger import Entry
from tests.keyspace import keys_after_drain

ATTEMPTS_KEPT = 20
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Kept:
    """What Redis keeps of one job. `attempts` are the last twenty, by their number."""

    state: str
    counters: Counters
    attempts: Mapping[int, AttemptRecord] = field(default_factory=dict)
    reason: str = ""
    token: str = ""


def kept(redis: Any, jobs: Iterable[tuple[str, str]], prefix: str = "heavylift") -> dict[str, Kept]:
    """Read `(queue, id)` of many jobs, by a plain redis-py client; a job that is not there is left out."""
    found: dict[str, Kept] = {}
    jobs = list(jobs)
    for start in range(0, len(jobs), 500):
        some = jobs[start : start + 500]
        with redis.pipeline(transaction=False) as pipe:
            for queue, job in some:
                pipe.hgetall(f"{prefix}:{{{queue}}}:job:{job}")
            for (_, job), raw in zip(some, pipe.execute(), strict=True):
                if raw:
                    found[job] = _read({name.decode(): value for name, value in raw.items()})
    return found


def _read(raw: Mapping[str, bytes]) -> Kept:
    records = (
        msgspec.json.decode(value, type=AttemptRecord) for name, value in raw.items() if name.startswith("attempt:")
    )
    return Kept(
        state=raw.get("state", b"").decode(),
        counters=Counters(**{name: int(raw.get(name, 0)) for name in Counters.__struct_fields__}),
        attempts={record.number: record for record in records},
        reason=raw.get("reason", b"").decode(),
        token=raw.get("token", b"").decode(),
    )


# --- I1 to I3: what became of the jobs -----------------------------------------------------------------------


def no_loss(acknowledged: Iterable[str], jobs: Mapping[str, Kept], *, drained: bool = True) -> list[str]:
    """I1: every acknowledged job is there, in a known state, and has ended if all should have."""
    wrong = []
    for job in acknowledged:
        if job not in jobs:
            wrong.append(f"{job} was acknowledged and is lost")
        elif jobs[job].state not in set(State):
            wrong.append(f"{job} is in no known state: {jobs[job].state!r}")
        elif drained and jobs[job].state not in ENDED:
            wrong.append(f"{job} has not ended: it is {jobs[job].state}")
    return wrong


def bounded_duplication(jobs: Mapping[str, Kept], entries: Iterable[Entry], *, calm: bool = False) -> list[str]:
    """I2: no job ran more often than it was claimed, and every claim but the last has its reason on the job.

    With no fault (`calm`) every job starts once.
    """
    ran = Counter(entry.job for entry in entries if entry.event == "start")
    wrong = []
    for job, it in jobs.items():
        count = it.counters
        last = it.state in (State.COMPLETED, State.CANCELLED)  # its end explains the last start
        explained = count.attempts + count.crashes + count.interruptions + count.unknown + count.unbegun + last
        if ran[job] > count.starts:
            wrong.append(f"{job} ran {ran[job]} times and was claimed {count.starts} times")
        if it.state in ENDED and count.starts > max(explained, 1):
            wrong.append(f"{job} was claimed {count.starts} times, of which {explained} are explained")
        if calm and ran[job] > 1:
            wrong.append(f"{job} ran {ran[job]} times with no fault")
    return wrong


def single_completion(jobs: Mapping[str, Kept], entries: Iterable[Entry]) -> list[str]:
    """I3: no fence was given twice, and one attempt completed the job: its last, and one that really finished."""
    begun, finished = Counter[tuple[str, int]](), set()
    for entry in entries:
        if entry.event == "start":
            begun[entry.job, entry.attempt] += 1
        elif entry.event == "finish":
            finished.add((entry.job, entry.attempt))
    wrong = [f"attempt {n} of {job} began {times} times" for (job, n), times in begun.items() if times > 1]
    for job, it in jobs.items():
        completed = [number for number, record in it.attempts.items() if record.cause == "completed"]
        last = it.counters.starts
        if len(completed) > 1:
            wrong.append(f"{job} completed {len(completed)} times, as attempts {sorted(completed)}")
        if it.state == State.COMPLETED and begun[job, last] and (job, last) not in finished:
            wrong.append(f"{job} is completed by attempt {last}, which never finished")
        if it.state == State.COMPLETED and completed and completed != [last]:
            wrong.append(f"{job} is completed by attempt {completed[0]}, but its last is {last}")
        if it.state in ENDED and it.token:
            wrong.append(f"{job} has ended and still has a lock: {it.token}")
    return wrong


# --- I4 and I7: how long it took -----------------------------------------------------------------------------


def recoveries(entries: Iterable[Entry], died: Mapping[int, int]) -> list[float]:
    """Seconds from a process's death (pid to monotonic ns) to the next start of each job that died with it."""
    by_job: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.event in ("start", "finish"):
            by_job[entry.job].append(entry)
    return [
        (after.at - died[before.pid]) / SECOND
        for lines in by_job.values()
        for before, after in pairwise(lines)
        if before.event == "start" and after.event == "start" and before.pid in died and before.at < died[before.pid]
    ]


def recovery_bound(entries: Iterable[Entry], died: Mapping[int, int], bound: float) -> list[str]:
    """I4: what died with a process is started again within `bound` seconds."""
    return [
        f"a job was started again {took:.2f} s after its process died, not within {bound:g} s"
        for took in recoveries(entries, died)
        if took > bound
    ]


def back_after(entries: Iterable[Entry], cleared: int) -> float | None:
    """Seconds from the end of a fault (monotonic ns) to the first finish after it; None if there was none."""
    after = [entry.at for entry in entries if entry.event == "finish" and entry.at >= cleared]
    return (min(after) - cleared) / SECOND if after else None


def rate_back_after(entries: Iterable[Entry], cleared: int, baseline: float, share: float = 0.9) -> float | None:
    """Seconds from a fault's end to the first second with `share` of the baseline (finishes/s), if any."""
    for begin, done in _seconds(entries, cleared):
        if done >= share * baseline:
            return (begin - cleared) / SECOND
    return None


def liveness(entries: Iterable[Entry], cleared: int, baseline: float, within: float, share: float = 0.9) -> list[str]:
    """I7: some second that begins within `within` seconds of a fault's end has `share` of the baseline (finishes/s)."""
    best = max((done for begin, done in _seconds(entries, cleared) if begin <= cleared + within * SECOND), default=0)
    if best >= share * baseline:
        return []
    return [f"{best}/s at best within {within:g} s of the fault's end, where {baseline:.0f}/s were done before"]


def _seconds(entries: Iterable[Entry], cleared: int) -> Iterator[tuple[int, int]]:
    """Each second that begins with a finish after the fault: when it begins (monotonic ns), and how many it has."""
    at = sorted(entry.at for entry in entries if entry.event == "finish" and entry.at >= cleared)
    end = 0
    for begin, first in enumerate(at):
        while end < len(at) and at[end] < first + SECOND:
            end += 1
        yield first, end - begin


# --- I5, I6, I8: what is left, and what was said ---------------------------------------------------------------


def no_residue(redis: Any, allowed: Iterable[str] = ()) -> list[str]:
    """I5: when every job has ended, Redis holds no lock, line, hold or unknown key, and no key that ought to expire."""
    return keys_after_drain(redis, allowed)


@dataclass(frozen=True)
class Vitals:
    """What a process holds: descriptors, resident bytes, children."""

    descriptors: int
    rss: int
    children: int

    @classmethod
    def of(cls, pid: int) -> Vitals:
        """As it is now."""
        process = psutil.Process(pid)
        with process.oneshot():
            return cls(process.num_fds(), process.memory_info().rss, len(process.children(recursive=True)))


def hygiene(before: Vitals, after: Vitals, *, slack: int = 3, growth: int = 64 << 20) -> list[str]:
    """I6: no child more than before, as many descriptors but for `slack`, no more than `growth` bytes more memory."""
    wrong = []
    if after.children > before.children:
        wrong.append(f"{after.children - before.children} more processes than before")
    if after.descriptors > before.descriptors + slack:
        wrong.append(f"{after.descriptors - before.descriptors} more descriptors than before")
    if after.rss > before.rss + growth:
        wrong.append(f"{(after.rss - before.rss) >> 20} MiB more memory than before")
    return wrong


def honesty(jobs: Mapping[str, Kept]) -> list[str]:
    """I8: a dead letter says why, and every attempt that did not complete is on its job with a cause."""
    wrong = []
    for job, it in jobs.items():
        if it.state == State.FAILED and not it.reason:
            wrong.append(f"{job} failed without a reason")
        wrong += [f"attempt {n} of {job} has no cause" for n, record in it.attempts.items() if not record.cause]
        told, last = set(it.attempts), it.counters.starts
        if it.state == State.COMPLETED:
            last -= 1  # the one that completed it
        missing = set(range(max(1, last - ATTEMPTS_KEPT + 2), last + 1)) - told
        if it.state in (State.COMPLETED, State.FAILED) and missing:
            wrong.append(f"nothing is said of attempts {sorted(missing)} of {job}")
    return wrong


def judge(acknowledged: Sequence[str], jobs: Mapping[str, Kept], entries: Sequence[Entry]) -> list[str]:
    """What can be judged of any row that has drained: I1, I2, I3 and I8."""
    return [
        *no_loss(acknowledged, jobs),
        *bounded_duplication(jobs, entries),
        *single_completion(jobs, entries),
        *honesty(jobs),
    ]

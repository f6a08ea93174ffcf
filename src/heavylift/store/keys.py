"""Every key heavylift writes, named once, with its type.

All keys of a queue carry the hash tag `{<queue>}`, so that a Redis Cluster keeps them in one slot and one
script may touch them all. Four keys belong to no queue and stand alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from heavylift.plain import text


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one queue. Each attribute or method says the type of what it names."""

    prefix: str
    queue: str

    def __post_init__(self) -> None:
        if type(self.queue) is not str:  # a member of an Enum would be written as `Queues.LIGHT`
            object.__setattr__(self, "queue", text(self.queue))

    def _name(self, part: str) -> str:
        return f"{self.prefix}:{{{self.queue}}}:{part}"

    @property
    def base(self) -> str:
        """What every key of the queue begins with; the scripts build job and line keys from it."""
        return self._name("")

    @property
    def meta(self) -> str:
        """hash: how the queue is run (paused, limits, step, retention) and what it counted."""
        return self._name("meta")

    def job(self, id: str) -> str:
        """hash: one job, with its envelope, state, lock token, counters and last attempts."""
        return self._name(f"job:{id}")

    def line(self, path: str = "") -> str:
        """sorted set: ids of waiting jobs of one path, by rank. Path "" while nothing but the queue is limited."""
        return self._name(f"line:{path}")

    def ring(self, group: str | None = None) -> str:
        """sorted set: groups that may run now, by rank or virtual time of their best line; of one group: its lines."""
        return self._name("ring" if group is None else f"ring:{group}")

    @property
    def gate(self) -> str:
        """sorted set: lines and groups out of rate tokens, by the time they open again (ms)."""
        return self._name("gate")

    @property
    def held(self) -> str:
        """hash: running jobs per group and per path with a key; a field goes when it reaches 0."""
        return self._name("held")

    @property
    def tat(self) -> str:
        """sorted set: places of rate limits (queue "", groups, paths) by their theoretical arrival time (us)."""
        return self._name("tat")

    @property
    def vt(self) -> str:
        """sorted set: paths that had a turn lately, by the virtual time of their next; in the order `fair`."""
        return self._name("vt")

    @property
    def locks(self) -> str:
        """sorted set: ids of active jobs by the expiry of their lock (ms)."""
        return self._name("locks")

    @property
    def delayed(self) -> str:
        """sorted set: ids of delayed jobs by due time (ms)."""
        return self._name("delayed")

    @property
    def expiring(self) -> str:
        """sorted set: ids of jobs that must have started by a time (ms), until they start."""
        return self._name("expiring")

    @property
    def blocked(self) -> str:
        """sorted set: ids of jobs that wait for parents, by when somebody should look after them again (ms)."""
        return self._name("blocked")

    @property
    def completed(self) -> str:
        """sorted set: ids of completed jobs by the time they ended (ms)."""
        return self._name("completed")

    @property
    def failed(self) -> str:
        """sorted set: ids of dead letters by the time they ended (ms)."""
        return self._name("failed")

    @property
    def cancelled(self) -> str:
        """sorted set: ids of cancelled jobs by the time they ended (ms)."""
        return self._name("cancelled")

    def of(self, handler: str) -> str:
        """sorted set: jobs of `<state>:<handler>` by the time they ended (ms), if that says how many are kept."""
        return self._name(f"of:{handler}")

    @property
    def purge(self) -> str:
        """sorted set: ids of all ended jobs by the time they are removed (ms)."""
        return self._name("purge")

    @property
    def outbox(self) -> str:
        """sorted set: ended jobs whose children have to be told, by when somebody may see to it (ms)."""
        return self._name("outbox")

    def children(self, id: str) -> str:
        """sorted set: jobs to be told when this one ends, each as `<queue> <id>`, by the child's life."""
        return self._name(f"children:{id}")

    def pending(self, id: str) -> str:
        """sorted set: parents that a job waits for, each as `<queue> <id>`, by when they were last asked for (ms)."""
        return self._name(f"pending:{id}")

    def parents(self, id: str) -> str:
        """hash: a job's parents, `<queue> <id>` to its place and, once it has ended, how: `<place> c<result>`."""
        return self._name(f"parents:{id}")

    def flow(self, id: str) -> str:
        """sorted set: ids of the jobs of a flow in this queue; score 1 while nothing waits for it, else 0."""
        return self._name(f"flow:{id}")

    def call(self, worker: str) -> str:
        """hash: the last numbered call of each verb by one worker, and its answer. Expires after an hour."""
        return self._name(f"call:{worker}")

    def unique(self, digest: str) -> str:
        """string: `<mode> <starts> <id>`, the job that is there for all like it; a window's (mode w) expires."""
        return self._name(f"unique:{digest}")

    @property
    def schedules(self) -> str:
        """sorted set: names of schedules by their next tick (ms); inf if there is none, or it is paused."""
        return self._name("schedules")

    def schedule(self, name: str) -> str:
        """hash: one schedule: its times, what its jobs are made of, and what it has counted."""
        return self._name(f"schedule:{name}")

    @property
    def durable(self) -> str:
        """string: written before WAIT and WAITAOF by those who want to know that a job is kept. Expires."""
        return self._name("durable")

    @property
    def idle(self) -> str:
        """sorted set: workers that found nothing, by the end of their sleep (ms); free places in the thousandths."""
        return self._name("idle")

    def raw(self, id: str) -> str:
        """any type: what stood under the key of a malformed job, moved aside. Expires with retention."""
        return self._name(f"raw:{id}")

    def event_channel(self, id: str) -> str:
        """channel: events of one job."""
        return self._name(f"job:{id}")

    def event_pattern(self) -> str:
        """channel pattern: events of all jobs of the queue."""
        return _escape(self._name("job:")) + "*"


def _escape(text: str) -> str:
    """`text` as a pattern that matches only itself."""
    return "".join("\\" + c if c in "*?[]\\^" else c for c in text)


@dataclass(frozen=True, slots=True)
class Common:
    """The keys that belong to no queue. They may lie in any slot of a Cluster, each by itself."""

    prefix: str

    @property
    def queues(self) -> str:
        """set: names of all queues that were ever used."""
        return f"{self.prefix}:queues"

    @property
    def workers(self) -> str:
        """sorted set: workers by the time they were last seen (ms); after a day they are forgotten."""
        return f"{self.prefix}:workers"

    def worker(self, worker: str) -> str:
        """hash: what a worker says about itself. Expires when it stops saying so."""
        return f"{self.prefix}:worker:{worker}"

    def once(self, digest: str) -> str:
        """hash: one effect of `ctx.once`: state (begun, done), key, result (JSON), who began it. Expires."""
        return f"{self.prefix}:once:{digest}"

    def worker_channel(self, worker: str) -> str:
        """channel: to a worker: `wake QUEUE`, `cancel QUEUE ID`, `schedules`, `scale LANE PLACES`, `quiet 0` or `1`."""
        return f"{self.prefix}:worker:{worker}"

    def event_pattern(self) -> str:
        """channel pattern: events of all jobs of all queues."""
        return _escape(self.prefix) + ":{*}:job:*"


JOB_FIELDS = {
    "state": "`waiting` `delayed` `blocked` `active` `completed` `failed` `cancelled`",
    "spec": "the envelope, written once by the producer; scripts never look into it",
    "handler": "name of the handler, as in the envelope",
    "nonce": "of the enqueue call and the job's place in it: tells a repeated call from a duplicate id",
    "enqueued_at": "when it came (ms)",
    "prio": "priority, if not 0",
    "group": "for limits, if named; else its handler is its group",
    "key": "for limits, if named",
    "expires": "not started by then (ms), it becomes a dead letter",
    "keep": "how long it is kept once ended (ms), if said. Or `<ms>/<ms>/<n>/<n>`: as a dead letter; so many completed "
    "and so many dead letters, of its handler; `-` for what is not said",
    "due": "when a delayed job is, or was, due (ms)",
    "path": "the line it stands in, or stood in when it was taken: `<group>/<key>`, or empty",
    "rank": "its place in that line when it was taken",
    "token": "of the lock: `<worker>.<number of its claim>`, after a takeover `<worker>.t<number>`; else empty",
    "worker": "who holds it, or held it last",
    "started_at": "when its last start was (ms)",
    "finished_at": "when it ended (ms)",
    "starts": "times it was claimed",
    "attempts": "failures of the handler itself",
    "crashes": "times its process or worker died under it",
    "interruptions": "times it was taken away through no fault of its own",
    "unknown": "times it was claimed by a worker that does not know its handler",
    "unbegun": "times its process ended before its handler was called",
    "overcome": "`crashes` as it was when a checkpoint came that was new",
    "attempt:<n>": "JSON: how start n ended; the last 20 are kept",
    "progress": "JSON: the last progress",
    "checkpoint": "JSON: the last state the handler saved",
    "result": "JSON: what the handler returned",
    "reason": "why it is a dead letter, or was cancelled by the end of its parents",
    "unique": "`<mode>.<digest>`: the key it holds, or held (s until started, f until finished, w window, d debounce)",
    "latest": "for a debounced job: it is put off no longer than this (ms)",
    "replaced": "the nonce of the call that replaced its envelope last, if debounced",
    "cause": "what the last attempt of a dead letter came to",
    "fingerprint": "of the error of that attempt: equal for equal faults",
    "replayed": "nonce of the replay that gave it another life: tells a repeated call from another",
    "rescheduled": "nonce of the call that moved its time last, if from then on: tells a repeated call from another",
    "original": "the envelope as it came, if it was replayed with other arguments",
    "cancel": "1: it was asked to stop while it ran",
    "flow": "id of its flow, if it has parents or children",
    "after": "how many parents it was enqueued with",
    "policy": "what becomes of it when a parent does not complete: `run` `cancel` `require`; it fails if not there",
    "lives": "times it went back to waiting for its parents",
    "blame": "`<queue> <id> <how>`: the parent that ended it by not completing (f failed, x cancelled, g gone)",
    "children": "1 while others wait to be told of its end",
}
"""Fields of a job's hash. A field that says nothing is not there."""

SCHEDULE_FIELDS = {
    "times": "JSON: the timetable, and its start and end (ms) if it has any",
    "rev": "changed with every change of the schedule by hand or by code",
    "handler": "of its jobs",
    "spec": "the envelope of its jobs; each gets the time of its tick as `enqueued_at`",
    "options": "as for `enqueue`",
    "catch_up": "`once` or `skip`: what becomes of ticks that were missed",
    "alone": "1: no tick while the job of the one before has not ended",
    "declared": "what the handler's code says of it, as last written; not there if it was made by hand",
    "paused": "1 while it is not fired",
    "last": "id of the job of its last tick",
    "fired": "jobs it has made",
    "skipped": "ticks left out",
}
"""Fields of a schedule's hash. A field that says nothing is not there."""

META_FIELDS = {
    "paused": "1 while no jobs are given out",
    "rank": "the last rank given (us)",
    "step": "waiting that one unit of priority is worth (us); 60,000,000 if not there, 7e12 at most",
    "held_until": "a handler asked for a pause of the queue until then (ms)",
    "swept": "when a janitor last looked after the queue (ms)",
    "epoch": "a mark of the first worker that served it: another one, or none, if Redis has forgotten the queue since",
    "mode": "`lines` while some group or key is limited, or they take turns: jobs stand in lines by path",
    "order": "`fair`: lines take turns; not there: by rank across all",
    "clock": "the virtual time, in the order `fair`; a turn is 1,000,000",
    "revise": "what is left to look at after a change of limits or order: a cursor, and keys",
    "lined": 'jobs waiting in lines other than the one of path ""',
    "limit": "most jobs of the queue that run at once",
    "limit:<group>": "most jobs of the group that run at once",
    "limit:<group>/*": "most jobs of each key of the group that run at once",
    "rate": "most jobs of the queue that start in a period: count, period (ms), burst",
    "rate:<group>": "the same of the group",
    "rate:<group>/*": "the same of each key of the group",
    "limits": "how many limits there are on groups and keys",
    "declared:<scope>": "what the handlers' code says of this limit (scope as behind `limit:`), as last written",
    "keep:<state>": "how long jobs that ended in this state are kept (ms)",
    "kept:<state>": "the same as it was set for this queue: it goes before what workers say (`completed`, `failed`)",
    "most:<state>": "how many of them are kept, as it was set for this queue",
    "most:<state>:<handler>": "how many of this handler's are kept, as the last of them said",
    "stale": "settlements refused because their token was not the job's any more",
}
"""Fields of a queue's `meta`."""

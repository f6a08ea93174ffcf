"""Putting jobs in, as plans: one, or many at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from heavylift.client.announcing import Announcer
from heavylift.client.linking import Linking
from heavylift.client.operations import Operations
from heavylift.client.plan import Plan, ask_all, or_raise
from heavylift.errors import InvalidArgument, NotAllEnqueued, NotDurable, ServerUnsupported, StoreError, Unavailable
from heavylift.flow import FlowSpec
from heavylift.job import JobSpec, new_id
from heavylift.options import Durable, JobOptions, JobRef, check_options
from heavylift.request import Announce, Requests, check_request, said
from heavylift.store.call import Call, Confirmed
from heavylift.store.durable import DEPENDS, confirmed, lacking, policy, syncing
from heavylift.store.jobs import Enqueued, NewJob, batches
from heavylift.store.producing import BATCH_BYTES

WINDOW_CALLS = 20
WINDOW_BYTES = 16 * BATCH_BYTES
"""What one round trip carries at most when many jobs are enqueued."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A job that is in the store: its queue and id, whether it was there before, and is kept as was asked for."""

    queue: str
    id: str
    duplicate: bool
    kept: bool = True


@dataclass(slots=True)
class _Batch:
    """One enqueue call, and which of the caller's requests it carries."""

    queue: str
    durable: Durable
    places: Sequence[int]
    jobs: Sequence[NewJob]

    def weight(self) -> int:
        return sum(len(job.spec) for job in self.jobs)


class Producing:
    """Plans that enqueue.

    Args:
        operations: the other plans, whose verbs and patience are used.
        requests: makes storable jobs.
        linking: ties them to those that they wait for.
        durable: what holds for jobs that do not say.
        wait: seconds to wait until they are kept, at most.
        announcer: tells middleware; None if there is none.
    """

    def __init__(
        self,
        operations: Operations,
        requests: Requests,
        linking: Linking,
        durable: Durable,
        wait: float,
        announcer: Announcer | None = None,
        *,
        own_server: bool = False,
    ) -> None:
        self._own_server = own_server
        self._announcer = announcer
        self._operations = operations
        self._linking = linking
        self._requests = requests
        self._durable: Durable = durable
        self._wait_ms = round(wait * 1000)

    def enqueue(self, spec: JobSpec[Any], options: Mapping[str, Any]) -> Plan[Placed]:
        """Put one job in.

        Raises:
            InvalidArgument: the request will not do; nothing was sent.
            JobNotFound: a job it should wait for is not there.
            ServerUnsupported: the server cannot tell whether it is kept as asked for; nothing was enqueued.
            NotDurable: it is in, and not known to be kept as asked for.
            ServerFull, Unavailable, StoreError: Redis did not take it.
        """
        check_request(spec)
        over = said(options)
        if self._announcer or over.after or spec.options.after:
            return (yield from self._announced(partial(self._enqueue_all, [(spec, over)])))[0]
        queue, job = self._requests.make(spec, over)
        durable = job.durable or self._durable
        depending = frozenset[str]()
        if durable != "fast":
            depending = yield from self._check([(queue, durable)])
        call = self._call(queue, (job,), durable, depending)
        answers = yield from self._operations.ask_naming((call,), (queue,))
        placed = _placed(queue, or_raise(answers[0]))
        _raise_if_unsure(placed)
        return placed[0]

    def enqueue_many(self, specs: Iterable[JobSpec[Any]], options: Mapping[str, Any]) -> Plan[list[Placed]]:
        """Put many jobs in, in as few round trips as their size allows. All are checked before the first is sent.

        Raises:
            InvalidArgument: one of the requests will not do; nothing was sent.
            NotAllEnqueued: some are in and some are not; says which.
            ServerUnsupported, NotDurable: as `enqueue`.
            ServerFull, Unavailable, StoreError: none is in, as far as is known.
        """
        if options.get("id") is not None:
            raise InvalidArgument("id", options["id"], "is for one job; give each JobSpec its own")
        over = said(options)
        return (yield from self._announced(partial(self._enqueue_all, [(spec, over) for spec in specs])))

    def enqueue_flow(self, flow: FlowSpec, options: Mapping[str, Any]) -> Plan[tuple[str, list[Placed]]]:
        """Put all jobs of a flow in; its id, and they. Their ids are made from it: done again, it changes nothing.

        Raises:
            InvalidArgument, NotAllEnqueued, StoreError: as `enqueue_many`.
        """
        if not isinstance(flow, FlowSpec):
            raise InvalidArgument("flow", flow, "give what chain, group or batch return")
        if wrong := {"flow", "after", "unique", "on_parent_failure"} & options.keys():
            name = min(wrong)
            raise InvalidArgument(name, options[name], "is not for a whole flow")
        over = said(options)
        id = over.id or new_id()
        over = msgspec.structs.replace(over, flow=id)
        check_options(over)
        return id, (yield from self._announced(partial(self._enqueue_flow, flow, id, over)))

    def _announced(self, plan: Callable[[Announce | None], Plan[list[Placed]]]) -> Plan[list[Placed]]:
        """Carry a plan out with middleware told of its jobs, before and after."""
        if self._announcer is None:
            return (yield from plan(None))
        announcements = self._announcer()
        try:
            placed = yield from plan(announcements.announce)
        except BaseException as wrong:
            announcements.broke(wrong)
            raise
        announcements.placed(placed)
        return placed

    def _enqueue_flow(self, flow: FlowSpec, id: str, over: JobOptions, announce: Announce | None) -> Plan[list[Placed]]:
        """Make all jobs of a flow, each with the parents it was said to have, and put them in."""
        made: list[tuple[str, NewJob]] = []
        for place, node in enumerate(flow.nodes):
            own = node.spec.options
            mine = msgspec.structs.replace(
                over,
                id=own.id or f"{id}.{place:06}",
                unique=False,
                after=tuple(JobRef(made[parent][0], made[parent][1].id) for parent in node.after),
                on_parent_failure=own.on_parent_failure or node.on_parent_failure,
            )
            made.append(self._requests.make(node.spec, mine, announce))
        return (yield from self._put(made))

    def _enqueue_all(
        self, specs: Sequence[tuple[JobSpec[Any], JobOptions]], announce: Announce | None
    ) -> Plan[list[Placed]]:
        """Find the parents of each, make all, and put them in."""
        found: dict[tuple[tuple[JobRef | str, ...], str | None], JobOptions] = {}
        made: list[tuple[str, NewJob]] = []
        for spec, over in specs:
            wanted = over
            if over.after or (isinstance(spec, JobSpec) and spec.options.after):
                options = self._requests.merged(spec.options, over)
                key = options.after, options.flow
                if key not in found:
                    found[key] = yield from self._linking.resolved(options)
                known = found[key]
                wanted = msgspec.structs.replace(over, after=known.after, flow=known.flow)
            made.append(self._requests.make(spec, wanted, announce))
        return (yield from self._put(made))

    def _put(self, made: Sequence[tuple[str, NewJob]]) -> Plan[list[Placed]]:
        """Send what was made, and link it once all of it is there."""
        placed: list[Placed | None] = [None] * len(made)
        errors: dict[int, StoreError] = {}
        trouble: StoreError | None = None
        all_batches = list(_batched(made, self._durable))
        depending = yield from self._check([(one.queue, one.durable) for one in all_batches if one.durable != "fast"])
        for window in _windows(all_batches):
            if trouble is None:
                trouble = yield from self._send(window, depending, placed, errors)
            else:  # nothing more is sent after the first trouble: it would most likely meet the same
                errors.update((place, trouble) for batch in window for place in batch.places)
        if trouble is None:
            mine = [one for one, there in zip(made, placed, strict=True) if there and there.id == one[1].id]
            yield from self._linking.link(mine)
            whole = [one for one in placed if one is not None]
            _raise_if_unsure(whole)
            return whole
        if not any(placed):
            raise trouble
        raise NotAllEnqueued(placed, errors, [job.id for _, job in made])

    def _send(
        self,
        window: Sequence[_Batch],
        depending: Collection[str],
        placed: list[Placed | None],
        errors: dict[int, StoreError],
    ) -> Plan[StoreError | None]:
        """Send some batches together and note what became of each job; the first error, if there was one."""
        yield from self._linking.stage((batch.queue, job) for batch in window for job in batch.jobs)
        calls: list[Call[Any]] = [self._call(one.queue, one.jobs, one.durable, depending) for one in window]
        answers = yield from self._operations.ask_naming(calls, {batch.queue for batch in window})
        for batch, answer in zip(window, answers, strict=True):
            if isinstance(answer, StoreError):
                errors.update((place, answer) for place in batch.places)
            else:
                for place, one in zip(batch.places, _placed(batch.queue, answer), strict=True):
                    placed[place] = one
        return next((answer for answer in answers if isinstance(answer, StoreError)), None)

    def _call(self, queue: str, jobs: Sequence[NewJob], durable: Durable, depending: Collection[str]) -> Call[Any]:
        call = self._operations.jobs.enqueue(queue, jobs, new_id())
        if durable == "fast":
            return call
        keys = self._operations.jobs.keys(queue)
        return confirmed(call, keys, durable, self._wait_ms, depends=queue in depending)

    def _check(self, wanted: Iterable[tuple[str, Durable]]) -> Plan[frozenset[str]]:
        """Refuse what the servers of these queues cannot give, before anything is sent; the queues whose one `DEPENDS`.

        The servers are asked once on each connection.
        """
        keys, patience = self._operations.jobs.keys, self._operations.patience
        asked = list(dict.fromkeys(wanted))
        if not asked:
            return frozenset()
        answers = yield from ask_all([lacking(keys(queue), durable) for queue, durable in asked], patience)
        reasons = [or_raise(answer) for answer in answers]
        if why := next((why for why in reasons if why not in (None, DEPENDS)), None):
            raise ServerUnsupported(why)
        doubtful = frozenset(queue for (queue, _), why in zip(asked, reasons, strict=True) if why == DEPENDS)
        if doubtful:
            calls = [(syncing if self._own_server else policy)(keys(queue)) for queue in doubtful]
            for answer in (yield from ask_all(calls, patience)):
                _believed(answer)
        return doubtful


def _believed(always: Any) -> None:
    """Refuse a server whose word that a job is on disk is not to be believed, or may not be."""
    if isinstance(always, Unavailable) or always is True:
        or_raise(always)
        return
    why = "" if always is False else f", which cannot be seen ({always})"
    raise ServerUnsupported(
        "durable='fsync' needs Redis 8, or appendfsync always on the server: with everysec this one says that a job is "
        f"on disk before it is{why}"
    )


def _placed(queue: str, answer: list[Enqueued] | Confirmed[list[Enqueued]]) -> list[Placed]:
    kept, answers = (answer.kept, answer.answer) if isinstance(answer, Confirmed) else (True, answer)
    return [Placed(queue, one.id, one.duplicate, kept) for one in answers]


def _raise_if_unsure(placed: Sequence[Placed]) -> None:
    if unsure := [place for place, one in enumerate(placed) if not one.kept]:
        raise NotDurable(placed, unsure)


def _batched(made: Sequence[tuple[str, NewJob]], durable: Durable) -> Iterator[_Batch]:
    """The jobs of each queue and durability in runs that fit one call."""
    places: dict[tuple[str, Durable], list[int]] = {}
    for place, (queue, job) in enumerate(made):
        places.setdefault((queue, job.durable or durable), []).append(place)
    for (queue, level), mine in places.items():
        start = 0
        for jobs in batches([made[place][1] for place in mine]):
            yield _Batch(queue, level, mine[start : start + len(jobs)], jobs)
            start += len(jobs)


def _windows(all_batches: Iterable[_Batch]) -> Iterator[list[_Batch]]:
    """Batches in runs that fit one round trip."""
    window: list[_Batch] = []
    size = 0
    for batch in all_batches:
        weight = batch.weight()
        if window and (len(window) == WINDOW_CALLS or size + weight > WINDOW_BYTES):
            yield window
            window, size = [], 0
        window.append(batch)
        size += weight
    if window:
        yield window

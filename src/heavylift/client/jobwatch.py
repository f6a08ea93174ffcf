"""One job as its watchers should see it: each state once, in order, and always the end. No reading, no listening.

A watcher learns of a job in two ways: by reads, which are the truth of a moment, and by messages, which may come late
or not at all. `JobWatch` takes both and says what there is to tell. What a read has told already is not told
again when its message arrives; what no message told, the next read does. A job that was there and is gone has
ended: retention, or somebody, removed it.
"""

from __future__ import annotations

from heavylift.errors import JobNotFound
from heavylift.event import Event, Kind
from heavylift.job import JobRecord, Progress, State


class JobWatch:
    """One job as its watchers should see it.

    Attributes:
        known: it has been seen.
        ended: nothing more will be told.
    """

    def __init__(self, queue: str, id: str) -> None:
        self.queue = queue
        self.id = id
        self.known = False
        self.ended = False
        self._state: State | None = None
        self._since = 0
        self._progress: Progress | None = None

    @property
    def since(self) -> int:
        """When it entered the state last told (ms)."""
        return self._since

    def read(self, record: JobRecord | None) -> list[Event]:
        """What a read of the job has to tell.

        Raises:
            JobNotFound: it has never been there.
        """
        if record is None:
            return self._gone()
        self.known = True
        told: list[Event] = []
        entered = _entered(record)
        at = max(entered, self._since)
        if record.state != self._state or entered > self._since:
            self._enter(record.state, at)
            told.append(_event(record, at))
        if record.progress is not None and record.progress != self._progress and not record.state.ended:
            self._progress = record.progress
            told.append(Event(Kind.PROGRESS, self.id, self.queue, at, progress=record.progress))
        return told

    def heard(self, event: Event) -> list[Event]:
        """What a message has to tell: itself, or nothing if it is old news."""
        if self.ended:
            return []
        self.known = True
        if event.event is Kind.PROGRESS:
            if event.progress == self._progress or event.at < self._since:
                return []
            self._progress = event.progress
        elif event.event is Kind.REMOVED:
            self.ended = True
        elif event.event is not Kind.STALLED:
            state = State(event.event.value)
            again = state == self._state and (state is not State.ACTIVE or event.at == self._since)
            if event.at < self._since or again:
                return []
            self._enter(state, event.at)
        return [event]

    def _enter(self, state: State, at: int) -> None:
        self._state, self._since = state, at
        self.ended = state.ended
        self._progress = None if state is State.ACTIVE else self._progress

    def _gone(self) -> list[Event]:
        if not self.known:
            raise JobNotFound(f"no job {self.id} in queue {self.queue}")
        if self.ended:
            return []
        self.ended = True
        return [Event(Kind.REMOVED, self.id, self.queue, self._since)]


def _entered(record: JobRecord) -> int:
    """When a job entered its state, as far as the record says (ms)."""
    if record.state.ended:
        return record.finished_at or 0
    if record.state is State.ACTIVE:
        return record.started_at or 0
    return record.started_at + 1 if record.started_at else record.enqueued_at


def _event(record: JobRecord, at: int) -> Event:
    detail = record.reason if record.state is State.FAILED else record.worker if record.state is State.ACTIVE else None
    due = record.due_at if record.state is State.DELAYED else None
    return Event(Kind(record.state.value), record.id, record.queue, at, detail or "", due)

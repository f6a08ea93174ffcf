"""Verbs about workers and queues as a whole: who lives, and which queues there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from heavylift.store.call import Arg, Call
from heavylift.store.verbs import Verbs, nothing


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker and when it was last seen, in ms since 1970."""

    id: str
    seen_at: int


class Fleet(Verbs):
    """Beat, leave, workers, queues."""

    def beat(self, worker: str, info: Mapping[str, str | int | float], ttl_ms: int) -> tuple[Call[None], ...]:
        """A worker says that it lives and how it does; what it says lapses after `ttl_ms`. Several calls, one trip."""
        key = self.common.worker(worker)
        said: list[Arg] = [part for pair in info.items() for part in pair] or ["id", worker]
        keys, command = self.scripts["seen"].bind(self.common, {"worker": worker}, ())
        return (
            Call(keys, command, nothing, self.scripts["seen"].script),
            self._plain(nothing, "HSET", key, *said),
            self._plain(nothing, "PEXPIRE", key, ttl_ms),
        )

    def leave(self, worker: str) -> tuple[Call[None], ...]:
        """A worker is gone, in good order. Several calls, one trip."""
        return (
            self._plain(nothing, "ZREM", self.common.workers, worker),
            self._plain(nothing, "DEL", self.common.worker(worker)),
        )

    def workers(self) -> Call[list[WorkerSeen]]:
        """Workers of the last day, those seen last first. Whether one lives, its `worker_info` says."""

        def parse(reply: Any) -> list[WorkerSeen]:
            pairs = zip(reply[::2], reply[1::2], strict=True)
            return [WorkerSeen(id.decode(), int(float(seen))) for id, seen in pairs]

        return self._plain(parse, "ZREVRANGE", self.common.workers, 0, -1, "WITHSCORES")

    def worker_info(self, worker: str) -> Call[dict[str, str]]:
        """What a worker last said about itself; empty if it says nothing any more."""

        def parse(reply: Any) -> dict[str, str]:
            return {name.decode(): said.decode() for name, said in zip(reply[::2], reply[1::2], strict=True)}

        return self._plain(parse, "HGETALL", self.common.worker(worker))

    def tell(self, worker: str, message: str) -> Call[None]:
        """Say something to a worker that listens; see `Dispatcher` for what they heed."""
        return self._plain(nothing, "PUBLISH", self.common.worker_channel(worker), message)

    def queues(self) -> Call[list[str]]:
        """Names of all queues that were ever used, sorted."""
        return self._plain(lambda reply: sorted(name.decode() for name in reply), "SMEMBERS", self.common.queues)

    def register_queue(self, queue: str) -> Call[None]:
        """Make a queue's name known to those who list queues. Once per producer or worker is enough."""
        return self._plain(nothing, "SADD", self.common.queues, queue)

    def epoch(self, queue: str, new: str) -> Call[str]:
        """The mark by which it is seen that Redis has forgotten a queue; `new`, if it has none."""
        return self._script("epoch", queue, lambda reply: reply.decode(), new=new)

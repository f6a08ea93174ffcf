"""A connection that holds every call to the table of states, and remembers which rows of it were seen.

What a call did is read from where jobs stand before and after it, and from the events in between: one call may move a
job more than once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import redis

from heavylift.states import MOVES, State
from heavylift.store.call import Call
from heavylift.store.connection import Connection, Target

Row: TypeAlias = tuple[str, State | None, State | None]
Places: TypeAlias = dict[str, State]

TABLE: frozenset[Row] = frozenset((move.verb, move.before, move.after) for move in MOVES)

# Which job stands where: pairs of a job's key and the part of its queue that holds it.
PLACES = """
local found, cursor = {}, '0'
repeat
  local scan = redis.call('SCAN', cursor, 'MATCH', '*:{*}:*', 'COUNT', 1000)
  cursor = scan[1]
  for _, key in ipairs(scan[2]) do
    local base, part = string.match(key, '^(.-}:)(%l+)')
    if string.match(key, '}:line:') or key == base .. part and (part == 'delayed' or part == 'blocked'
        or part == 'locks' or part == 'completed' or part == 'failed' or part == 'cancelled') then
      for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
        found[#found + 1] = base .. 'job:' .. id
        found[#found + 1] = part
      end
    end
  end
until cursor == '0'
return found
"""
STATES = {"line": State.WAITING, "locks": State.ACTIVE} | {str(state): state for state in State}


class Recorder(Connection):
    """Asks one call at a time, each checked.

    Attributes:
        seen: the rows that were seen; `called`: the verbs that were asked for.
    """

    def __init__(self, url: str, client: redis.Redis) -> None:
        super().__init__(Target.from_url(url), name="recorder")
        self.seen: set[Row] = set()
        self.called: set[str] = set()
        self._client = client
        self._places = client.register_script(PLACES)
        self._heard = client.pubsub()
        self._heard.psubscribe("*:job:*")
        self._heard.get_message(timeout=5)

    def round_trip(self, calls: Sequence[Call[Any]], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        """As `Connection.round_trip`."""
        return [self._one(call) for call in calls]

    def close(self) -> None:
        """Drop the sockets."""
        self._heard.close()
        super().close()

    def _one(self, call: Call[Any]) -> Any:
        if call.script is not None:
            self.called.add(call.script.verb)
        if call.script is None or "no-writes" in call.script.source.partition("\n")[0]:
            return super().round_trip([call])[0]
        before = self._now()
        (answer,) = super().round_trip([call])
        self._check(call.script.verb, before, self._events(), self._now())
        return answer

    def _check(self, verb: str, before: Places, events: list[tuple[str, State | None]], after: Places) -> None:
        now: dict[str, State | None] = dict(before)
        for job, state in events:
            self._moved(verb, now.get(job), state)
            now[job] = state
        for job in now.keys() | after.keys():
            if now.get(job) is not after.get(job):
                assert after.get(job) is None, f"{verb} has told nobody that {job} is {after.get(job)}"
                self._moved(verb, now.get(job), None)

    def _moved(self, verb: str, before: State | None, after: State | None) -> None:
        assert (verb, before, after) in TABLE, f"{verb} has moved a job from {before} to {after}"
        self.seen.add((verb, before, after))

    def _now(self) -> Places:
        flat = [part.decode() for part in self._places()]
        return {job: STATES[part] for job, part in zip(flat[::2], flat[1::2], strict=True)}

    def _events(self) -> list[tuple[str, State | None]]:
        """What was published by now: the answer to a ping comes behind it."""
        self._heard.ping()
        found: list[tuple[str, State | None]] = []
        while (message := self._heard.get_message(timeout=5)) and message["type"] != "pong":
            event = json.loads(message["data"])
            job = message["channel"].decode()
            match event["event"]:
                case "progress":
                    pass
                case "stalled":
                    found.append((job, State.ACTIVE))
                case "removed":
                    found.append((job, None))
                case state:
                    found.append((job, State(state)))
        return found

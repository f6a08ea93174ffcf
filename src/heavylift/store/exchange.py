"""What is said in one round trip, without saying it: which commands go to which node, and what replies mean.

The shells (`connection`, `async_connection`) only move bytes. Here is decided what happens when a script is not
known (load it, resend that call), when a slot has moved or is moving (follow, ask again, wait), and when to give up.
None of these replies comes after a call has run, so resending is always safe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from heavylift.errors import StoreError
from heavylift.store.call import Arg, Call, Confirm, Confirmed
from heavylift.store.refusals import GONE, LATER, Refusal, explain, is_denied
from heavylift.store.rights import Rights
from heavylift.store.slots import Slots
from heavylift.store.target import Address

Node = Address | None
"""None is the only node there is."""

PAUSE, LONGEST_PAUSE = 0.005, 0.2
FOLLOW = 16
"""Redirections followed for one call."""

_NOT_OURS = -1


def _anything(node: Node) -> Rights:
    """For those who do not ask."""
    rights = Rights()
    rights.everything = True
    return rights


def _nothing(node: Node) -> dict[tuple[Arg, ...], Any]:
    """For those who remember no answers."""
    return {}


class Exchange:
    """One round trip of `calls`. Ask `sends`, send, `feed` the replies; again while `open`; then read `results`.

    Args:
        calls: what is to be sent.
        slots: of a Cluster.
        patience: seconds that may be waited for a slot on its way.
        rights: what is known of the user's on the connection to a node.
        told: answers that last, by their commands, on the connection to a node.

    Attributes:
        results: in the order of the calls: the parsed answer, or the error this call was refused with.
        pause: seconds to wait before sending again.
        gone: nodes that said they cannot serve; connect to them anew.
    """

    def __init__(
        self,
        calls: Sequence[Call[Any]],
        slots: Slots | None = None,
        patience: float = 2.0,
        rights: Callable[[Node], Rights] = _anything,
        told: Callable[[Node], dict[tuple[Arg, ...], Any]] = _nothing,
    ) -> None:
        self._calls = calls
        self._slots = slots
        self._patience = patience
        self._rights = rights
        self._told = told
        self._unsure: dict[Node, list[int]] = {}
        self._todo: list[int] = list(range(len(calls)))
        self._asking: dict[int, Node] = {}
        self._load: set[int] = set()
        self._tries: dict[int, int] = {}
        self._sent: dict[Node, list[int]] = {}
        self._confirms: dict[Node, list[Confirm]] = {}
        self.results: list[Any] = [None] * len(calls)
        self.pause = 0.0
        self.gone: set[Node] = set()

    @property
    def open(self) -> bool:
        """True while some call has no result."""
        return bool(self._todo)

    def sends(self) -> dict[Node, list[Sequence[Arg]]]:
        """The commands to be sent now, per node."""
        sends: dict[Node, list[Sequence[Arg]]] = {}
        self._sent = {}
        self._unsure = {}
        loaded: set[tuple[Node, str]] = set()
        later: list[int] = []
        for index in self._todo:
            call = self._calls[index]
            asked = self._asking.get(index)
            node = asked or (self._slots.node(call.keys[0]) if self._slots else None)
            if call.lasting and call.command in (told := self._told(node)):
                self.results[index] = told[call.command]
                continue
            script, rights = call.script, self._rights(node)
            if not rights.known(call):
                later.append(index)
                if node not in sends:
                    self._unsure[node] = []
                    sends[node] = rights.question(call)
                    self._sent[node] = [_NOT_OURS, _NOT_OURS]
                if node in self._unsure:
                    self._unsure[node].append(index)
                continue
            if refused := rights.refusal(call):
                self.results[index] = refused
                continue
            self._asking.pop(index, None)
            commands, sent = sends.setdefault(node, []), self._sent.setdefault(node, [])
            if index in self._load and script and (node, script.sha) not in loaded:
                loaded.add((node, script.sha))
                commands.append(("SCRIPT", "LOAD", script.source))
                sent.append(_NOT_OURS)
            if asked:
                commands.append(("ASKING",))
                sent.append(_NOT_OURS)
            commands.append(call.command)
            sent.append(index)
        self._confirm_at_the_end(sends)
        self._todo = later
        self.pause = 0.0
        return sends

    def _confirm_at_the_end(self, sends: dict[Node, list[Sequence[Arg]]]) -> None:
        """One wait for all that a node is told in this pass: waiting after each call would take as long for each."""
        self._confirms = {}
        for node, commands in sends.items():
            wanted = [confirm for index in self._sent[node] if (confirm := self._confirm_of(index))]
            distinct = list({confirm.commands: confirm for confirm in wanted}.values())
            self._confirms[node] = distinct
            for confirm in distinct:
                commands += confirm.commands

    def _confirm_of(self, index: int) -> Confirm | None:
        return None if index == _NOT_OURS else self._calls[index].confirm

    def feed(self, node: Node, replies: Sequence[Any]) -> None:
        """Take a node's replies to what `sends` gave it."""
        sent = self._sent[node]
        if node in self._unsure:
            self._rights(node).answer(*replies[:2])
        kept = self._kept(node, replies[len(sent) :])
        for index, reply in zip(sent, replies[: len(sent)], strict=True):
            if index == _NOT_OURS:
                continue
            if isinstance(reply, Refusal):
                self._refused(node, index, reply)
            else:
                answer = self.results[index] = self._answer(self._calls[index], reply, kept)
                lasting = self._calls[index].lasting
                if lasting and not isinstance(answer, StoreError) and lasting(answer):
                    self._told(node)[self._calls[index].command] = answer

    def _kept(self, node: Node, replies: Sequence[Any]) -> dict[tuple[tuple[Arg, ...], ...], bool]:
        """By confirming commands, whether what was written before them is kept."""
        kept, at = {}, 0
        for one in self._confirms[node]:
            mine = replies[at : at + len(one.commands)]
            at += len(mine)
            kept[one.commands] = not any(isinstance(reply, Refusal) for reply in mine) and one.met(mine)
        if not all(kept.values()):
            self._told(node).clear()  # what the server could do it may not be able to do now
        return kept

    def _answer(self, call: Call[Any], reply: Any, kept: dict[tuple[tuple[Arg, ...], ...], bool]) -> Any:
        answer = _parsed(call, reply)
        if call.confirm is None or isinstance(answer, StoreError):
            return answer
        return Confirmed(answer, kept[call.confirm.commands])

    def fail(self, node: Node, error: StoreError) -> None:
        """The node could not be asked, or did not answer."""
        for index in (*self._sent[node], *self._unsure.get(node, ())):
            if index != _NOT_OURS:
                self.results[index] = error
        self._todo = [index for index in self._todo if self.results[index] is not error]

    def _refused(self, node: Node, index: int, refusal: Refusal) -> None:
        code = refusal.code
        tries = self._tries[index] = self._tries.get(index, 0) + 1
        if code == "NOSCRIPT" and tries <= FOLLOW:
            self._load.add(index)
            self._todo.append(index)
        elif code == "MOVED" and self._slots and tries <= FOLLOW:
            self._slots.moved(str(refusal), node)
            self._todo.append(index)
        elif code == "ASK" and self._slots and tries <= FOLLOW:
            self._asking[index] = self._slots.asked(str(refusal), node)
            self._todo.append(index)
        elif code in LATER and self._slots and self._patience > 0:
            if code == "CLUSTERDOWN" and node:
                self._slots.forget(node)  # it may be the one that was left behind: hear what others say
            pause = min(PAUSE * 2 ** min(tries, 10), LONGEST_PAUSE)
            if pause > self.pause:
                self._patience -= pause - self.pause
                self.pause = pause
            self._todo.append(index)
        else:
            if code in GONE:
                self.gone.add(node)
            if self._calls[index].script and is_denied(refusal):
                self._rights(node).forget()
            self.results[index] = _explained(self._calls[index], refusal)


def _explained(call: Call[Any], refusal: Refusal) -> StoreError:
    """As `explain`; Redis names a command that is not permitted, but no key."""
    if refusal.code == "NOPERM":
        refusal = Refusal(f"NOPERM {call.command[0]!s} {' '.join(call.keys)}: {str(refusal).partition(' ')[2]}")
    return explain(refusal)


def _parsed(call: Call[Any], reply: Any) -> Any:
    try:
        return call.parse(reply)
    except Exception as wrong:  # one call's odd reply must not take its neighbours' answers along
        what = call.script.verb if call.script else str(call.command[0])
        return StoreError(f"the reply to {what} is not understood: {wrong!r}")


def raise_if_lost(result: Any) -> Any:
    """A single call's result; raises it if it is an error."""
    if isinstance(result, StoreError):
        raise result
    return result

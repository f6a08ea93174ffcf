"""Who answers which kind of question; see `answering` for what a plan is."""

from __future__ import annotations

from heavylift.once import BeginOnce, DoneOnce, ForgetOnce
from heavylift.parents import ParentsAsked
from heavylift.worker import once
from heavylift.worker.answering import Answers
from heavylift.worker.parents import parents

ANSWERS: Answers = {
    BeginOnce: once.begin,
    DoneOnce: once.done,
    ForgetOnce: once.forget,
    ParentsAsked: parents,
}

"""Who answers which kind of question; see `answering` for what a plan is."""

from __future__ import annotations

from heavylift.worker.answering import Answers

ANSWERS: Answers = {}

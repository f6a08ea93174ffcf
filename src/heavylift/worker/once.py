"""Answers the questions of `ctx.once`.

Whether the holder of an unfinished effect is gone is known in its queue's slot, and the record lies in another, so it
takes a second call; between the two the holder may have finished. So the record is asked again afterwards: only if it
still names the same holder, who is gone, is the effect in doubt. A holder that is merely frozen past its lock counts
as gone; it may still record its result, and then the doubt is over.
"""

from __future__ import annotations

from heavylift.once import BeginOnce, DoneOnce, ForgetOnce, Standing
from heavylift.store.jobs import Jobs
from heavylift.worker.questions import Asker, Plan


def begin(jobs: Jobs, asker: Asker, question: BeginOnce) -> Plan:
    """How the effect stands, and if it may be done, the note that it is being done."""
    gone = job = ""
    for _ in range(5):
        (said,) = yield [
            jobs.once_begin(
                question.key,
                question.nonce,
                asker.queue,
                asker.job,
                asker.token,
                question.keep,
                gone if question.again else "",
            )
        ]
        if said.how != "begun":
            return Standing(said.how, said.result)
        if said.token == gone:
            return Standing("in_doubt", job=said.job)
        if said.token != asker.token:  # else this very attempt has left it unfinished
            (live,) = yield [jobs.holds(said.queue, said.job, said.token)]
            if live:
                return Standing("held", job=said.job)
        gone, job = said.token, said.job
    return Standing("held", job=job)  # it goes from hand to hand


def done(jobs: Jobs, asker: Asker, question: DoneOnce) -> Plan:
    """Record the result."""
    (mine,) = yield [jobs.once_done(question.key, asker.token, question.result, question.keep)]
    return mine


def forget(jobs: Jobs, asker: Asker, question: ForgetOnce) -> Plan:
    """Take the intent back."""
    (mine,) = yield [jobs.once_forget(question.key, asker.token, question.nonce)]
    return mine

"""Misuse that both type checkers must refuse. Read by mypy and pyright, never run.

Each line carries the refusal it must meet, for either checker; a refusal that no longer comes is itself an error
(`warn_unused_ignores`, `reportUnnecessaryTypeIgnoreComment`).
"""

from __future__ import annotations

from heavylift import Client, Context, Job, JobSpec, Retry, handler
from tests.typing.handlers import Size, asynchronous, nothing, plain, with_context, with_options

# A job's arguments are those of its handler.
plain.job("a.jpg", "800")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
plain.job("a.jpg")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
plain.job("a.jpg", 800, widht=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
plain.job("a.jpg", 800, None, 4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
plain.job("a.jpg", width=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
nothing.job(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
with_context.job("a.jpg", 800)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
with_options.job(source=b"a.jpg")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
asynchronous.job(url=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# The context is no argument of a job ...
with_context.job(Context(), "a.jpg")  # type: ignore[call-arg,arg-type]  # pyright: ignore[reportCallIssue]
# ... but it is one of the function.
with_context("a.jpg")  # type: ignore[arg-type,call-arg]  # pyright: ignore[reportCallIssue]
with_context.fn("a.jpg")  # type: ignore[arg-type,call-arg]  # pyright: ignore[reportCallIssue]

# The options are what they say.
handler(lane="gpu")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
handler(retires=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
handler(retries="3")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
handler(retry_on="OSError")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
handler(on_lost_contact="hope")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
handler(concurrency="2")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
handler(key=7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
handler(7)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue,reportArgumentType]

# A limit is a number, an order one of two words.
Client().limit("q", concurrency="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Client().order("q", "random")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# A result is of the handler's type, and the handler's own.
number: JobSpec[int] = plain.job("a.jpg", 800)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
size: Size = plain.job("a.jpg", 800)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
plain("a.jpg", 800)["depth"]  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]


# What is enqueued is a request, with options that exist, and its job's result has its type.
def producing(client: Client) -> None:
    client.enqueue(plain)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.enqueue(plain("a.jpg", 800))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.enqueue("plain", {"source": "a.jpg"})  # type: ignore[call-arg,arg-type]  # pyright: ignore[reportCallIssue]
    client.enqueue(nothing.job(), dealy=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.enqueue(nothing.job(), delay="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.enqueue(nothing.job(), at=3600)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.enqueue(nothing.job(), priority=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    words: str = client.enqueue(asynchronous.job("a")).result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    job: Job[int] = client.enqueue(plain.job("a", 1))  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    print(words, job)


# A handler and a request do not change.
plain.queue = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
plain.job("a.jpg", 800).queue = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

raise Retry(after="soon")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

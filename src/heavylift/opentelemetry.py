"""Traces from `enqueue` to the handler, as OpenTelemetry spans. Needs the extra `heavylift[otel]`.

| span | kind | where | lasts |
|---|---|---|---|
| `enqueue QUEUE` | PRODUCER | where `enqueue` is called | until the job is in |
| `process QUEUE` | CONSUMER | in the worker | from the claim to the outcome |
| `run HANDLER` | INTERNAL | where the handler runs | as long as its call |

Each is the parent of the next, over the job's carrier. Attributes follow the semantic conventions for messaging; none
holds an argument or a result, and error texts are those of the outcome, where secrets are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider

from heavylift.context import Context, JobInfo
from heavylift.decide import Settlement
from heavylift.errors import InvalidArgument, Retry, Stop
from heavylift.middleware import Attempt, Enqueuing, Middleware, check_carrier
from heavylift.outcome import Cancelled, Completed, Held, Interrupted, LockLost, Outcome, RetryAsked, cause_of, error_of

Attributes = Mapping[str, str | int | bool]

FLUSH_WITHIN_MS = 1500
"""A process of the cpu lane that takes longer to end is killed soon after."""

NO_FAULT = (Completed, RetryAsked, Held, Interrupted, Cancelled, LockLost)
"""Outcomes that are no error of the attempt."""


class OpenTelemetry(Middleware):
    """Spans for each job and each of its attempts.

    Derive from it to say where spans go: each process makes an object of its own, once it runs, as exporters want it.

    Args:
        tracer_provider: makes the spans; else the global one.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._provider = tracer_provider
        self._tracer: Tracer = trace.get_tracer("heavylift", version("heavylift"), tracer_provider)
        self._spans: dict[Enqueuing | Attempt, Span] = {}

    # --- where it is enqueued -------------------------------------------------------------------------------

    def enqueuing(self, job: Enqueuing) -> None:
        """Start the producer's span and send its context along."""
        said = _attributes("enqueue", "send", job.id, job.queue, job.handler, job.correlation_id)
        span = self._tracer.start_span(f"enqueue {job.queue}", kind=SpanKind.PRODUCER, attributes=said)
        self._spans[job] = span
        _send(span, otel.get_current(), job.carrier)

    def enqueued(self, job: Enqueuing, wrong: BaseException | None) -> None:
        """End it."""
        span = self._spans.pop(job, None)
        if span is None:
            return
        span.set_attribute("messaging.message.id", job.id)
        if job.duplicate:
            span.set_attribute("heavylift.duplicate", True)
        if wrong is not None:
            _failed(span, type(wrong).__qualname__)
        span.end()

    # --- in the worker --------------------------------------------------------------------------------------

    def claimed(self, attempt: Attempt) -> None:
        """Start the worker's span and send its context on."""
        span = self._spans[attempt] = self._process(attempt)
        _send(span, propagate.extract(attempt.carrier), attempt.carrier)

    def ended(self, attempt: Attempt, outcome: Outcome, settlement: Settlement) -> None:
        """End it with what the attempt came to, also where its process is dead and can say nothing any more."""
        span = self._spans.pop(attempt, None) or self._process(attempt)
        span.set_attribute("heavylift.outcome", cause_of(outcome))
        if settlement.to is not None:
            span.set_attribute("heavylift.becomes", str(settlement.to))
        if settlement.reason is not None:
            span.set_attribute("heavylift.reason", str(settlement.reason))
        error = error_of(outcome)
        if error is not None:
            said = {"exception.type": error.type, "exception.message": error.message}
            span.add_event("exception", {**said, "exception.stacktrace": error.traceback})
        if not isinstance(outcome, NO_FAULT):
            _failed(span, error.type if error else cause_of(outcome))
        span.end()

    def _process(self, attempt: Attempt) -> Span:
        job = attempt.job
        said = {
            **_attributes("process", "process", job.id, job.queue, job.handler, job.correlation_id),
            "messaging.client.id": attempt.worker,
            "heavylift.attempt": attempt.number,
        }
        parent = propagate.extract(attempt.carrier)
        return self._tracer.start_span(f"process {job.queue}", parent, SpanKind.CONSUMER, said)

    # --- where it runs --------------------------------------------------------------------------------------

    @contextmanager
    def call(self, ctx: Context) -> Iterator[None]:
        """A span around the handler, the current one for all that it does and enqueues."""
        job = ctx.job
        token = otel.attach(propagate.extract(job.carrier))
        try:
            with self._tracer.start_as_current_span(
                f"run {job.handler}",
                attributes=_run_attributes(job, ctx.attempt),
                record_exception=False,  # its text may hold secrets; the worker's span has it without them
                set_status_on_exception=False,
            ) as span:
                try:
                    yield
                except BaseException as raised:
                    if not isinstance(raised, (Retry, Stop)):
                        _failed(span, type(raised).__qualname__)
                    raise
        finally:
            otel.detach(token)

    def flush(self) -> None:
        """Send the spans that a batch processor holds back."""
        flush = getattr(self._provider or trace.get_tracer_provider(), "force_flush", None)  # the API has none
        if flush is not None:
            flush(FLUSH_WITHIN_MS)


def _attributes(
    name: str, kind: str, id: str, queue: str, handler: str, correlation_id: str | None
) -> dict[str, str | int | bool]:
    said: dict[str, str | int | bool] = {
        "messaging.system": "heavylift",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": queue,
        "messaging.message.id": id,
        "heavylift.handler": handler,
    }
    if correlation_id is not None:
        said["messaging.message.conversation_id"] = correlation_id
    return said


def _run_attributes(job: JobInfo, attempt: int) -> Attributes:
    """No operation of messaging, but found by the same job."""
    return {
        "messaging.system": "heavylift",
        "messaging.destination.name": job.queue,
        "messaging.message.id": job.id,
        "heavylift.handler": job.handler,
        "heavylift.attempt": attempt,
    }


def _send(span: Span, around: otel.Context, carrier: dict[str, str]) -> None:
    """Put the span's context into a carrier; what does not fit beside it, as a large baggage, is left out."""
    found: dict[str, str] = {}
    propagate.inject(found, trace.set_span_in_context(span, around))
    for name, value in found.items():
        try:
            check_carrier({**carrier, name: value})
        except InvalidArgument:
            continue
        carrier[name] = value


def _failed(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, kind))

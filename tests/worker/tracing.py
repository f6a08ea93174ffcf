"""Spans written to a file, from whichever process they are of."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult

from heavylift.opentelemetry import OpenTelemetry

SPANS = "HEAVYLIFT_TEST_SPANS"


class ToFile(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with open(os.environ[SPANS], "a") as file:
            for span in spans:
                file.write(json.dumps({**json.loads(span.to_json(indent=None)), "pid": os.getpid()}) + "\n")
        return SpanExportResult.SUCCESS


class Tracing(OpenTelemetry):
    def __init__(self) -> None:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(ToFile()))
        super().__init__(provider)


class Batched(OpenTelemetry):
    """Nothing is sent before it is flushed."""

    def __init__(self) -> None:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(ToFile(), schedule_delay_millis=600_000))
        super().__init__(provider)


def spans(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

"""A line that cannot be written is lost, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from heavylift.log import job_log, log

LEVELS = ("debug", "info", "warning", "error", "exception")


class Gone:
    """Writes to what nobody reads any more."""

    def __init__(self, raised: BaseException) -> None:
        self.raised = raised
        self.tried = 0

    def msg(self, line: str) -> None:
        self.tried += 1
        raise self.raised

    debug = info = warning = error = critical = exception = msg


@pytest.fixture
def unwritable(request: pytest.FixtureRequest) -> Iterator[Gone]:
    gone = Gone(request.param)
    structlog.configure(logger_factory=lambda *_: gone, cache_logger_on_first_use=False)
    yield gone
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "unwritable",
    [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left"), ValueError("closed"), SystemExit(1)],
    indirect=True,
    ids=lambda raised: type(raised).__name__,
)
def test_a_line_that_cannot_be_written_raises_nothing(unwritable: Gone) -> None:
    for level in LEVELS:
        getattr(log, level)("said", job="1")
        job_log.say(level, "said", job="1")
    assert unwritable.tried == 2 * len(LEVELS)


def test_a_line_has_its_level_its_event_and_its_fields() -> None:
    with capture_logs() as lines:
        for level in LEVELS:
            getattr(log, level)("said", job="1", level_of="x")
    assert [(line["event"], line["job"]) for line in lines] == [("said", "1")] * len(LEVELS)
    assert [line["log_level"] for line in lines] == ["debug", "info", "warning", "error", "error"]


@pytest.mark.parametrize("level", ["stdout", "stderr", "notice", "bind", "new", "_logger"])
def test_a_level_that_is_not_known_is_info(level: str) -> None:
    """Handlers may have levels of their own; and loggers have methods that are none."""
    with capture_logs() as lines:
        job_log.say(level, "said")
    assert [(line["event"], line["log_level"]) for line in lines] == [("said", "info")]


def test_the_exception_that_is_being_handled_goes_with_its_line() -> None:
    with capture_logs() as lines:
        try:
            raise ValueError("x")
        except ValueError:
            log.exception("failed")
    assert lines[0]["exc_info"]

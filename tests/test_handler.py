"""A handler is the function it was, with jobs; what could not work as a handler is refused when it is declared."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from heavylift import Backoff, Context, HandlerError, InvalidJob, JobSpec
from heavylift.handler import ContextHandler, PlainHandler, handler
from heavylift.options import JobOptions
from heavylift.parameters import Parameter, read_help
from heavylift.setup import Setup


@handler
def resize(source: str, width: int = 800) -> dict[str, int]:
    """Make a picture smaller.

    It keeps the ratio.

    Args:
        source: the picture, a path
            relative to the project.
        width (int): in pixels.

    Returns:
        source: this is no argument.
    """
    return {"width": width}


@handler
def report(ctx: Context, title: str) -> str:
    return f"{title} {ctx.attempt}"


@handler
async def ping(url: str) -> int:
    return 200


# --- it stays the function it was ------------------------------------------------------------------------


def test_a_handler_is_called_as_the_function_it_was() -> None:
    assert resize("a.jpg", 3) == {"width": 3}
    assert report(Context(), title="Sales") == "Sales 1"
    assert asyncio.run(ping("x")) == 200


def test_the_function_itself_is_fn() -> None:
    assert resize.fn("a.jpg") == {"width": 800}
    assert inspect.isfunction(resize.fn)
    assert inspect.iscoroutinefunction(ping.fn)


def test_a_handler_looks_like_its_function() -> None:
    assert resize.__name__ == "resize"  # type: ignore[attr-defined]
    assert resize.__module__ == __name__
    assert (resize.__doc__ or "").startswith("Make a picture smaller.")
    assert list(inspect.signature(resize).parameters) == ["source", "width"]
    assert inspect.unwrap(resize) is resize.fn


def test_a_handler_says_where_it_is_written() -> None:
    assert "resize (test_handler.py:" in repr(resize)
    assert "io lane" in repr(resize)


# --- what it knows of its function -----------------------------------------------------------------------


def test_a_context_is_no_argument_of_the_job() -> None:
    assert isinstance(report, ContextHandler)
    assert report.wants_context
    assert [p.name for p in report.parameters] == ["title"]
    assert report.job("Sales") == JobSpec("report", {"title": "Sales"})


def test_a_handler_without_context_is_another_class() -> None:
    assert isinstance(resize, PlainHandler)
    assert not resize.wants_context


def test_async_functions_are_known() -> None:
    assert (resize.is_async, ping.is_async) == (False, True)


def test_parameters_are_told_for_the_command_line() -> None:
    assert resize.parameters == (
        Parameter("source", str, help="the picture, a path relative to the project."),
        Parameter("width", int, required=False, default=800, help="in pixels."),
    )
    assert resize.summary == "Make a picture smaller."


def test_parameters_say_whether_they_go_by_position_or_name() -> None:
    @handler
    def scale(a: int, /, b: int, *, c: int) -> None: ...

    assert [(p.positional, p.keyword) for p in scale.parameters] == [(True, False), (True, True), (False, True)]


def test_the_return_type_is_known_where_it_can_be_read_back() -> None:
    @handler
    def unsaid(a: int): ...  # type: ignore[no-untyped-def]

    @handler
    def foreign(a: int) -> asyncio.Event: ...  # type: ignore[empty-body]

    assert resize.returns == dict[str, int]
    assert (unsaid.returns, foreign.returns) == (Any, Any)
    assert resize.job("a").returns == dict[str, int]


def test_a_class_of_the_declaring_function_may_annotate() -> None:
    @dataclass
    class Local:
        left: int

    @handler
    def crop(box: Local) -> None: ...

    @handler(name="other")
    def other(box: Local | None = None) -> None: ...

    assert crop.parameters[0].annotation is Local
    assert other.job(Local(1)).encoded == b'{"box":{"left":1}}'


@pytest.mark.parametrize(
    ("docstring", "found"),
    [
        ("", {}),
        ("One line.", {}),
        ("X.\n\nArgs:\n    a: first\n    b: second", {"a": "first", "b": "second"}),
        ("X.\n\nArgs:\n    a: first,\n        continued\n\n    b (int, optional): second", {
            "a": "first, continued", "b": "second"}),
        ("X.\n\n    Args:\n        *rest: many", {"rest": "many"}),
        ("X.\n\nArgs:\n    a: see: this\n\nRaises:\n    b: no", {"a": "see: this"}),
        ("X.\n\nArgs:\n    no colon here", {}),
    ],
)  # fmt: skip
def test_the_args_section_of_a_docstring_is_read(docstring: str, found: dict[str, str]) -> None:
    assert read_help(docstring) == found


# --- jobs of it ------------------------------------------------------------------------------------------


def test_a_job_has_its_handler_queue_and_arguments() -> None:
    @handler(lane="cpu", queue="images", priority=3, expires=60, tags=["a"], retries=9)
    def shrink(source: str) -> None: ...

    spec = shrink.job("a.jpg")
    assert (spec.handler, spec.queue, spec.args) == ("shrink", "images", {"source": "a.jpg"})
    assert spec.options == JobOptions(priority=3, expires=60, tags=("a",)), "rules of the run stay with the handler"
    assert shrink.options.retries == 9


def test_arguments_are_checked_when_a_job_is_made() -> None:
    with pytest.raises(InvalidJob, match="width='800': expected `int`, got `str`; in resize"):
        resize.job("a.jpg", "800")  # type: ignore[arg-type]


def test_a_job_given_a_context_is_refused() -> None:
    with pytest.raises(InvalidJob):
        report.job(Context(), "Sales")  # type: ignore[call-arg,arg-type]


# --- options ---------------------------------------------------------------------------------------------


def test_defaults_of_a_handler() -> None:
    assert (resize.name, resize.lane, resize.queue) == ("resize", "io", "default")
    assert resize.options == JobOptions()
    assert (resize.backoff, resize.retry_on, resize.give_up_on) == (None, (), ())
    assert resize.on_lost_contact == "stop"


def test_the_cpu_lane_has_a_default_queue_of_its_own() -> None:
    @handler(lane="cpu")
    def shrink(source: str) -> None: ...

    assert (shrink.lane, shrink.queue) == ("cpu", "cpu")


def test_options_are_kept() -> None:
    @handler(
        name="images.shrink", lane="cpu", queue="images", timeout=60, grace=2, retries=0, retry_on=OSError,
        give_up_on=[ValueError, KeyError], priority=-1, expires=timedelta(hours=1), keep=60, tags=("a", "b"),
        on_lost_contact="finish",
    )  # type: ignore[arg-type]  # fmt: skip
    def shrink(source: str) -> None: ...

    assert (shrink.name, shrink.queue) == ("images.shrink", "images")
    assert (shrink.retry_on, shrink.give_up_on) == ((OSError,), (ValueError, KeyError))
    assert shrink.on_lost_contact == "finish"
    assert shrink.options == JobOptions(
        timeout=60, grace=2, retries=0, priority=-1, expires=timedelta(hours=1), keep=60, tags=("a", "b")
    )


def twice(failures: int) -> float:
    return failures * 2.0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (Backoff(initial=3), Backoff(initial=3)),
        (900, Backoff(delays=(900.0,), jitter=0)),
        ([1, 5.5], Backoff(delays=(1.0, 5.5), jitter=0)),
        ((1, 5.5), Backoff(delays=(1.0, 5.5), jitter=0)),
        (twice, twice),
        (functools.partial(pow, 2), None),
    ],
)
def test_a_backoff_may_be_said_in_four_ways(given: Any, kept: Any) -> None:
    @handler(backoff=given)
    def shrink(source: str) -> None: ...

    assert shrink.backoff == (kept or given)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("lane", "gpu", 'give "io" or "cpu"'),
        ("lane", ["io"], 'give "io" or "cpu"'),
        ("name", "my handler", "use 1 to 100 letters"),
        ("name", "", "use 1 to 100 letters"),
        ("name", 7, "use 1 to 100 letters"),
        ("queue", "a{b}", "use 1 to 100 letters"),
        ("queue", 7, "use 1 to 100 letters"),
        ("timeout", 0, "give seconds above zero"),
        ("timeout", -1, "give seconds"),
        ("timeout", float("nan"), "give seconds"),
        ("timeout", "60", "give seconds"),
        ("timeout", True, "give seconds"),
        ("timeout", timedelta(0), "give seconds above zero"),
        ("timeout", 9.5e9, "give 1,000,000,000 seconds at most"),
        ("grace", -1, "give seconds"),
        ("grace", 1.1e9, "give 1,000,000,000 seconds at most"),
        ("retries", -1, "zero or more"),
        ("retries", 2.5, "zero or more"),
        ("retries", True, "zero or more"),
        ("backoff", -1, "give a Backoff, seconds, or a list of seconds"),
        ("backoff", "exponential", "give a Backoff, seconds, or a list of seconds"),
        ("backoff", [], "give at least one wait"),
        ("backoff", Backoff, "give a Backoff, seconds, or a list of seconds"),
        ("retry_on", "OSError", "give an exception type"),
        ("retry_on", OSError(), "give an exception type"),
        ("give_up_on", (OSError, int), "give an exception type"),
        ("priority", 1001, "within ±1000"),
        ("priority", 1.5, "within ±1000"),
        ("expires", -1, "give seconds"),
        ("keep", "1h", "give seconds"),
        ("tags", "images", "give a list of strings"),
        ("tags", [""], "1 to 100 characters"),
        ("tags", [7], "1 to 100 characters"),
        ("on_lost_contact", "hope", 'give "stop" or "finish"'),
        ("setup", print, "give a Setup"),
        ("setup", Setup(dict), 'goes with lane="cpu"; leave it out here'),
        ("memory", 1000, 'goes with lane="cpu"'),
        ("retires", 3, "did you mean retries?"),
        ("zzz", 3, "there are name, lane, queue"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_by_name_and_value(option: str, value: Any, expected: str) -> None:
    with pytest.raises(HandlerError) as refused:

        @handler(**{option: value})
        def shrink(source: str) -> None: ...

    assert refused.value.field.partition(".")[0] == option
    assert expected in str(refused.value)


@pytest.mark.parametrize("value", [0, -1, True, 2.5, "", "many", "5 apples", "0MB", "1e9"])
def test_a_size_that_cannot_be_meant_is_refused(value: Any) -> None:
    with pytest.raises(HandlerError, match=r'memory=.*give bytes above zero, or a text like "512MB"'):

        @handler(lane="cpu", memory=value)
        def shrink(source: str) -> None: ...


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1000, 1000),
        ("1000B", 1000),
        ("512MB", 512_000_000),
        ("1.5 GB", 1_500_000_000),
        ("2GiB", 2 << 30),
        ("64kB", 64_000),
    ],
)
def test_a_memory_limit_may_be_said_in_bytes_or_with_a_unit(value: Any, expected: int) -> None:
    @handler(lane="cpu", memory=value)
    def shrink(source: str) -> None: ...

    assert shrink.memory == expected


# --- retrying --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_on", "give_up_on", "error", "expected"),
    [
        ((), (), ValueError(), True),
        ((), (), SystemExit(), True),
        ((OSError,), (), ConnectionError(), True),
        ((OSError,), (), ValueError(), False),
        ((), (ValueError,), UnicodeError(), False),
        ((), (ValueError,), OSError(), True),
        ((OSError,), (FileNotFoundError,), FileNotFoundError(), False),
        ((OSError,), (FileNotFoundError,), PermissionError(), True),
    ],
)
def test_give_up_on_goes_over_retry_on_and_both_know_subclasses(
    retry_on: Any, give_up_on: Any, error: BaseException, expected: bool
) -> None:
    @handler(retry_on=retry_on, give_up_on=give_up_on)
    def shrink(source: str) -> None: ...

    assert shrink.retryable(error) is expected


# --- functions that cannot be handlers -------------------------------------------------------------------


class Studio:
    def method(self, source: str) -> None: ...

    @staticmethod
    def static(source: str) -> None: ...


def unannotated(source, width: int) -> None: ...  # type: ignore[no-untyped-def]
def starred(*sources: str) -> None: ...
def double_starred(**options: str) -> None: ...
def any_first(source: Any, width: int) -> None: ...
def object_first(source: object) -> None: ...
def context_second(source: str, ctx: Context) -> None: ...
def context_by_name(*, ctx: Context) -> None: ...
def context_maybe(ctx: Context | None) -> None: ...
def foreign(source: str, stop: asyncio.Event) -> None: ...
def callback(source: str, then: Callable[[], None]) -> None: ...
def ambiguous(source: Path | str) -> None: ...
def unresolved(source: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def generating(source: str) -> Iterator[int]:
    yield 1


async def async_generating(source: str) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("fn", "named", "remedy"),
    [
        (Studio.method, "Studio.method", "move it out of the class"),
        (Studio().method, "Studio.method", "directly on a plain function"),
        (Studio.static, "Studio.static", "move it out of the class"),
        (Studio, "Studio", "directly on a plain function"),
        (len, "len", "directly on a plain function"),
        (functools.partial(starred, "a"), "partial", "directly on a plain function"),
        (resize, "resize", "directly on a plain function"),
        (7, "7", "directly on a plain function"),
        (lambda: None, "<lambda>", "use 1 to 100 letters"),
        (unannotated, "source", "annotate it with its type"),
        (starred, "*sources", "name each argument"),
        (double_starred, "**options", "name each argument"),
        (any_first, "source: Any", "as Context or with the argument's own type"),
        (object_first, "source: object", "as Context or with the argument's own type"),
        (context_second, "ctx", "the Context comes first"),
        (context_by_name, "ctx", "the Context comes first"),
        (context_maybe, "ctx", "JSON cannot carry Context"),
        (foreign, "stop: Event", "JSON cannot carry Event"),
        (callback, "then: ", "JSON cannot carry"),
        (ambiguous, "source: pathlib", "union"),
        (unresolved, "Nowhere", "import or define what it names above the function"),
        (generating, "generating", "a job has one result"),
        (async_generating, "async_generating", "a job has one result"),
    ],
)
def test_what_cannot_be_a_handler_is_refused_with_what_to_do(fn: Any, named: str, remedy: str) -> None:
    with pytest.raises(HandlerError) as refused:
        handler(fn)
    assert named in str(refused.value)
    assert remedy in str(refused.value)


@pytest.mark.parametrize("fn", [unannotated, starred, any_first, context_second, foreign, unresolved, generating])
def test_a_refusal_says_where_the_function_is_written(fn: Any) -> None:
    with pytest.raises(HandlerError, match=rf"{fn.__name__} \(test_handler.py:{fn.__code__.co_firstlineno}\)"):
        handler(fn)


def test_async_handlers_are_refused_in_the_cpu_lane() -> None:
    with pytest.raises(HandlerError, match="`async def` in the cpu lane"):

        @handler(lane="cpu")
        async def fetch(url: str) -> None: ...


def test_any_may_stand_anywhere_but_first() -> None:
    @handler
    def keep(name: str, value: Any) -> None: ...

    assert keep.job("a", {"b": [1]}).encoded == b'{"name":"a","value":{"b":[1]}}'


@pytest.mark.parametrize("name", ["delay", "apply_async", "send", "enqueue"])
def test_what_other_queues_call_it_says_what_it_is_called_here(name: str) -> None:
    @handler
    def greet(who: str) -> None: ...

    with pytest.raises(AttributeError, match=rf"no '{name}': client\.enqueue\(greet\.job\(\.\.\.\)\)"):
        getattr(greet, name)
    with pytest.raises(AttributeError, match="no attribute 'greeting'"):
        getattr(greet, "greeting")  # noqa: B009

"""Declaring handlers and making jobs of them, as type checkers see it. Read by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypedDict, assert_type

from heavylift import Backoff, Context, JobSpec, Rate, Reject, Retry, Setup, handler
from heavylift.handler import ContextHandler, Handler, PlainHandler
from heavylift.registry import Registry


class Size(TypedDict):
    width: int
    height: int


@handler
def plain(source: str, width: int, target: str | None = None) -> Size:
    if width > 10_000:
        raise Reject("too wide")
    return {"width": width, "height": width}


@handler
def with_context(ctx: Context, source: str, *, width: int = 800) -> Size:
    for _ in ctx.track(range(3)):
        ctx.progress(0.5, message=source)
    return {"width": width, "height": ctx.attempt}


@handler
async def asynchronous(url: str) -> int:
    raise Retry(after=10)


@handler
async def asynchronous_with_context(ctx: Context, url: str) -> int:
    return 200


@handler
def nothing() -> None: ...


@handler(
    lane="cpu",
    name="images.resize",
    queue="images",
    timeout=60,
    grace=2.5,
    retries=3,
    backoff=Backoff(initial=1, factor=3),
    retry_on=(OSError, TimeoutError),
    give_up_on=ValueError,
    priority=1,
    expires=timedelta(hours=1),
    keep=3600,
    tags=["images"],
    on_lost_contact="finish",
)
def with_options(ctx: Context, source: str, width: int = 800) -> Size:
    return {"width": width, "height": width}


@handler(backoff=5)
def fixed_waits(source: str) -> None: ...


@handler(backoff=[1, 5, 25.0])
async def listed_waits(source: str) -> str:
    return source


@handler(backoff=lambda failures: failures * 2.0)
async def computed_waits(ctx: Context, source: str) -> str:
    return source


@handler(key=lambda source: source, concurrency=2, rate="100/min", burst=5, group="all", group_rate=Rate(10, 1))
def limited(source: str) -> None: ...


# --- a job knows the type of its result, whatever kind of function the handler is -----------------------

assert_type(plain.job("a.jpg", 800), JobSpec[Size])
assert_type(plain.job(source="a.jpg", width=800, target=None), JobSpec[Size])
assert_type(with_context.job("a.jpg", width=3), JobSpec[Size])
assert_type(asynchronous.job("http://example.org"), JobSpec[int])
assert_type(asynchronous_with_context.job(url="http://example.org"), JobSpec[int])
assert_type(nothing.job(), JobSpec[None])
assert_type(with_options.job("a.jpg"), JobSpec[Size])
assert_type(listed_waits.job("a"), JobSpec[str])
assert_type(computed_waits.job(source="a"), JobSpec[str])

# --- and the handler stays the function it was -----------------------------------------------------------

assert_type(plain("a.jpg", 800), Size)
assert_type(plain.fn("a.jpg", width=800), Size)
assert_type(with_context(Context(), "a.jpg", width=3), Size)
assert_type(with_context.fn(Context(), "a.jpg"), Size)
called: Coroutine[Any, Any, int] = asynchronous("a")
called_with_context: Coroutine[Any, Any, str] = computed_waits(Context(), "a")


async def awaited() -> None:
    assert_type(await asynchronous("a"), int)
    assert_type(await asynchronous_with_context(Context(), url="a"), int)
    assert_type(await listed_waits("a"), str)


callback: Callable[[str, int], Size] = plain
kept: Handler[[str, int, str | None], Size]
of_any_kind: list[Handler[..., Any]] = [plain, with_context, asynchronous, nothing, with_options]
without_context: list[PlainHandler[..., Any, Any]] = [plain, asynchronous]
taking_context: list[ContextHandler[..., Any, Any]] = [with_context, computed_waits]
registry = Registry([plain, with_context, fixed_waits])
assert_type(registry.get("plain"), Handler[..., Any] | None)

# --- a result's type may be widened, as it is only read --------------------------------------------------

wide: JobSpec[object] = plain.job("a.jpg", 800)
by_name: JobSpec[Size] = JobSpec("resize", {"source": "a.jpg", "width": 800}, queue="images")


font = Setup(lambda: Size(width=1, height=2), timeout=30)


@handler(lane="cpu", setup=font, memory="512MB")
def set_up() -> int:
    assert_type(font.value, Size)
    return font.value["width"]


@handler(lane="cpu", setup=[font], memory=512_000_000)
def set_up_in_a_list() -> int:
    return font.value["width"]

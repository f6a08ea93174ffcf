"""`ctx.once` as a handler sees it, in a plain unit test."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from heavylift import Context, InDoubt
from heavylift.errors import InvalidArgument


@dataclass
class Receipt:
    number: int


def charge(ctx: Context, done: list[str], fail: str = "", **how: Any) -> Receipt:
    with ctx.once("charge:42", Receipt, **how) as step:
        if step.first:
            if fail == "declined":
                step.forget()
                raise ValueError("declined")
            done.append(step.key)
            if fail == "before":
                raise OSError("the line broke")
            step.result = Receipt(7)
            if fail == "after":
                raise OSError("something else")
    return step.result


def test_a_later_run_gets_the_recorded_result() -> None:
    ctx, done = Context(), list[str]()
    assert charge(ctx, done) == charge(ctx, done) == Receipt(7)
    assert done == ["charge:42"]


def test_an_exception_before_the_result_leaves_it_in_doubt() -> None:
    ctx, done = Context(), list[str]()
    with pytest.raises(OSError, match="line"):
        charge(ctx, done, "before")
    with pytest.raises(InDoubt, match="charge:42"):
        charge(ctx, done)
    assert len(done) == 1
    assert charge(ctx, done, in_doubt="repeat") == Receipt(7)
    assert len(done) == 2


def test_an_exception_after_the_result_changes_nothing_about_it() -> None:
    ctx, done = Context(), list[str]()
    with pytest.raises(OSError, match="else"):
        charge(ctx, done, "after")
    assert charge(ctx, done) == Receipt(7)
    assert len(done) == 1


def test_what_is_said_not_to_have_happened_is_done_by_the_next() -> None:
    ctx, done = Context(), list[str]()
    with pytest.raises(ValueError, match="declined"):
        charge(ctx, done, "declined")
    assert charge(ctx, done) == Receipt(7)


def test_an_async_handler_has_the_same() -> None:
    async def notify(ctx: Context, sent: list[int]) -> Any:
        async with ctx.once("mail:1") as step:
            if step.first:
                await asyncio.sleep(0)
                sent.append(1)
                step.result = "sent"
        return step.result

    async def twice() -> None:
        ctx, sent = Context(), list[int]()
        assert [await notify(ctx, sent), await notify(ctx, sent)] == ["sent", "sent"]
        assert sent == [1]
        with pytest.raises(InvalidArgument, match="await"):
            with ctx.once("mail:2"):
                pass

    asyncio.run(twice())


def test_a_block_without_a_result_counts_as_done() -> None:
    ctx = Context()
    for first in (True, False):
        with ctx.once("k") as step:
            assert step.first is first
        assert step.result is None


def test_misuse_is_refused_by_name() -> None:
    ctx = Context()
    with ctx.once("k") as step:
        with pytest.raises(InvalidArgument, match="not known"):
            _ = step.result
        step.result = 1
    with ctx.once("k") as step, pytest.raises(InvalidArgument, match=r"step\.first"):
        step.result = 2
    for wrong in ("", "x" * 501, 5):
        with pytest.raises(InvalidArgument, match="key"):
            ctx.once(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="in_doubt"):
        ctx.once("k", in_doubt="perhaps")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="keep"):
        ctx.once("k", keep=0)

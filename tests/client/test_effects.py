"""Operators look at effects of `ctx.once`, and say what became of them: through both shells and the command."""

from __future__ import annotations

from typing import Any

import pytest

from heavylift.errors import InvalidArgument, InvalidResult


def test_an_effect_nobody_began_is_unknown(client: Any) -> None:
    assert client.effect("k") is None
    assert not client.forget_effect("k")


def test_what_is_said_of_an_effect_is_kept_until_it_is_forgotten(client: Any) -> None:
    client.effect_done("k", {"receipt": 7})
    record = client.effect("k")
    assert (record.key, record.done, record.result, record.job) == ("k", True, b'{"receipt":7}', "")
    assert record.done_at > 0
    assert client.forget_effect("k")
    assert client.effect("k") is None


@pytest.mark.parametrize("key", ["", "x" * 501, None])
def test_a_key_that_cannot_be_is_refused(client: Any, key: Any) -> None:
    for verb in (client.effect, client.forget_effect, client.effect_done):
        with pytest.raises(InvalidArgument, match="key"):
            verb(key)


def test_a_result_that_is_no_json_is_refused(client: Any) -> None:
    with pytest.raises(InvalidResult):
        client.effect_done("k", object())

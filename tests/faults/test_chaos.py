"""The short form of `make chaos`: a few seconds of it; the long form is for the night."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults import chaos
from tests.servers import Server, any_binary

pytestmark = pytest.mark.fault


def test_nothing_is_lost_in_a_short_chaos(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    with Server(any_binary(), appendonly=True, config={"appendfsync": "always"}) as server:
        wrong = chaos.play(0.15, seed, tmp_path, server, print)
    assert not wrong, "\n".join(wrong[:20])

"""The short form of `make chaos`: a minute of it, in which every fault comes once; the long form is for the night."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import chaos
from tests.servers import Server, any_binary

pytestmark = pytest.mark.fault

SEED = 7
"""Always the same, so that what fails here was broken by the change at hand; `make chaos` takes another each time."""


@pytest.mark.timeout(400)
def test_nothing_is_lost_in_a_short_chaos(tmp_path: Path) -> None:
    with Server(any_binary(), appendonly=True, config={"appendfsync": "always"}) as server:
        came = chaos.play(1.0, SEED, tmp_path, server, print)
    assert came.jobs > 1000
    assert not came.wrong, "\n".join(came.wrong[:20])

"""The plugin's fixtures, on the server that this run has anyway."""

from __future__ import annotations

import pytest

from tests.testing import handlers


@pytest.fixture
def heavylift_url(url: str) -> str:
    return url


@pytest.fixture(autouse=True)
def forget() -> None:
    handlers.ran.clear()

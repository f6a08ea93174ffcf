"""A project's root for the handlers under fuzz."""

from __future__ import annotations

from tests.handlers.conftest import root as root

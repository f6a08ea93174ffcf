"""How long ended jobs are kept, and how many of them, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

AsSet: TypeAlias = Literal["default"]
"""Back to what the workers' settings say."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What was set for a queue. None: the workers' settings say. Cancelled jobs go by what holds for completed ones.

    Attributes:
        completed, failed: seconds that they are kept.
        completed_count, failed_count: so many at most.
    """

    completed: float | None = None
    failed: float | None = None
    completed_count: int | None = None
    failed_count: int | None = None

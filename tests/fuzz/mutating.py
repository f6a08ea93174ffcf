"""Damages bytes as disks, networks and people do: bits, lengths, parts that are missing, doubled, or from elsewhere."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("HEAVYLIFT_FUZZ_TIMES", "1"))
"""How many times as many examples as in the short form."""

NUMBERS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\1\0"]
"""Lengths and counts that lie."""


def fuzzed(examples: int) -> Callable[[Any], Any]:
    """Settings of a test under fuzz. An example that takes 5 seconds has hung, as far as users are concerned."""
    allowed = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples * TIMES, deadline=5000, suppress_health_check=allowed)


def mutated(original: bytes, seed: int, hits: int, words: Sequence[bytes] = NUMBERS) -> bytes:
    """The same bytes, hit so many times; heads more often than the rest. `words` mean something where they stand."""
    data, luck = bytearray(original), random.Random(seed)
    for _ in range(hits):
        if not data:
            break
        at = min(luck.randrange(len(data)), luck.randrange(len(data)))
        match luck.randrange(7):
            case 0:
                data[at] ^= 1 << luck.randrange(8)
            case 1:
                word = luck.choice(words)
                data[at : at + len(word)] = word
            case 2:
                data[at:at] = luck.choice(words)
            case 3:
                del data[at : at + luck.randrange(1, 20)]
            case 4:
                data[at:at] = data[at : at + luck.randrange(1, 200)]
            case 5:
                data[at] = luck.randrange(256)
            case _:
                if luck.randrange(4) == 0:
                    del data[at:]
    return bytes(data)

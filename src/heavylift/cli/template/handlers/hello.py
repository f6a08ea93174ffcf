"""Two handlers to start from. `heavylift worker` loads every module in this folder."""

import asyncio
import math

from heavylift import Context, handler


@handler
async def greet(name: str, greeting: str = "Hello") -> str:
    """Greet somebody.

    Light work: it waits more than it computes, so it runs in the io lane.

    Example: heavylift enqueue greet Ada Grace --greeting "Good morning" --wait

    Args:
        name: whom to greet.
        greeting: the words to greet with.
    """
    await asyncio.sleep(0.1)
    return f"{greeting}, {name}!"


@handler(lane="cpu", timeout=60)
def primes(ctx: Context, below: int, chunks: int = 50) -> int:
    """Count the primes below a number.

    Heavy work: it runs in a process of its own.

    Example: heavylift enqueue primes 200000 --wait

    Args:
        below: the number to stay below.
        chunks: how many steps to report progress in.
    """
    found = 0
    size = max(1, math.ceil(below / chunks))
    for start in ctx.track(range(0, below, size)):
        found += sum(is_prime(number) for number in range(start, min(start + size, below)))
    return found


def is_prime(number: int) -> bool:
    """True for a prime, found the slow way."""
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))

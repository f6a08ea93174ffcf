"""The long form: `make fuzz MINUTES=10`. Ends at the first find, and says how to play that again."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time

TIMES = 10
"""How many times as many examples as in the short form one round has."""

HUNG = 1800.0
"""Seconds after which a round is taken for hung."""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="play this round only")
    said = parser.parse_args()
    until = time.monotonic() + said.minutes * 60
    rounds = 0
    while not rounds or (said.seed is None and time.monotonic() < until):
        seed = random.SystemRandom().randrange(2**32) if said.seed is None else said.seed
        if problem := _round(seed):
            print(f"{problem}; play it again: make fuzz ARGS='--seed {seed}'")
            return 1
        rounds += 1
        print(f"round {rounds}: nothing found", flush=True)
    return 0


def _round(seed: int) -> str:
    """What is wrong, if anything is."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "tests/fuzz", f"--hypothesis-seed={seed}", "--timeout=0"]
    command += ["-p", "no:xdist", "-p", "no:cacheprovider"]
    env = {**os.environ, "HEAVYLIFT_FUZZ_TIMES": str(TIMES)}
    try:
        code = subprocess.run(command, env=env, timeout=HUNG, check=False).returncode
    except subprocess.TimeoutExpired:
        return f"it hangs: no end within {HUNG:g} s"
    return "" if code == 0 else f"the process was ended by signal {-code}" if code < 0 else "something was found"


if __name__ == "__main__":
    sys.exit(main())

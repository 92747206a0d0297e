"""Fuzz for a time: the tests of tests/fuzz again and again, each round with another seed.

As a command (docs/fuzzing.md)::

    PYTHONPATH=tests python -m support.fuzzing --minutes 60 --seed 1

It says when it began and ended, and how many rounds and executions there were.  Exit
status 1: a round failed; its output is printed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from datetime import UTC, datetime

TARGETS = ("tests/fuzz",)
ROUND_SECONDS = 1800
"""A round that takes longer hangs: ten times what it takes on a slow machine."""

_PASSING = re.compile(r"(\d+) passing, (\d+) failing, and (\d+) invalid")


def one_round(seed: int, targets: list[str]) -> tuple[int, int, str]:
    """Run the targets once: the exit status, the executions and the output."""
    done = subprocess.run(  # our own interpreter and tests
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("--hypothesis-profile=fuzzing", f"--hypothesis-seed={seed}"),
            *("--hypothesis-show-statistics", *targets),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=ROUND_SECONDS,
    )
    executions = sum(int(a) + int(b) + int(c) for a, b, c in _PASSING.findall(done.stdout))
    return done.returncode, executions, done.stdout + done.stderr


def now() -> str:
    """Return the time of day, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def main() -> int:
    """Fuzz for as many minutes as the command line says."""
    parser = argparse.ArgumentParser(description="fuzz with hypothesis for a time")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1, help="the first round's")
    parser.add_argument("targets", nargs="*", default=list(TARGETS))
    wanted = parser.parse_args()
    sys.stdout.write(f"start {now()}\n")
    end = time.monotonic() + 60 * wanted.minutes
    rounds, executions = 0, 0
    while time.monotonic() < end:
        status, ran, output = one_round(wanted.seed + rounds, wanted.targets)
        rounds, executions = rounds + 1, executions + ran
        if status != 0 or not ran:
            sys.stdout.write(output)
            break
    else:
        status = 0
    sys.stdout.write(f"end {now()}: {rounds} rounds, {executions} executions\n")
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())

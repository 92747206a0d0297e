"""How one next system fares as a whole: whether it answers, and when it is asked again.

A system that failed several times in a row is suspended.  It is asked once when a pause is
over, and each pause is longer than the one before, up to a bound; any answer ends it.
Times are on the monotonic clock, in seconds, unless it is said.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

FAILURES = 3
"""Failures in a row after which a system is suspended."""

PAUSE_SECONDS = 10.0
"""The first pause of a suspended system; each one after it is twice as long."""

LONGEST_PAUSE = 60.0
"""The longest pause: a system that is back is believed a minute later."""


@dataclass(slots=True)
class State:
    """What is known of a system as a whole."""

    failures: int = 0
    """Failures in a row."""

    pause: float = PAUSE_SECONDS
    """How long the next pause is."""

    again: float = 0.0
    """When a suspended system is asked again; 0.0: it is not suspended."""

    waiting: int = 0
    """Call-outs under way, those that wait for a connection among them."""

    tidying: bool = False
    """A visit to its idle sessions is planned."""

    detail: str = ""
    """What was wrong when it failed last; empty: it has not failed."""

    failed: float = 0.0
    """When that was, in seconds of Unix time."""

    @property
    def suspended(self) -> bool:
        """Whether it is asked now and then alone."""
        return self.again > 0.0

    def refuses(self, now: float) -> bool:
        """Tell whether it is not asked now."""
        return now < self.again

    def try_again(self, now: float) -> None:
        """Let one call-out find out whether it is back, and the others go on without."""
        self.again = now + self.pause
        self.pause = min(self.pause * 2, LONGEST_PAUSE)

    def answer(self) -> bool:
        """Take note that it answers; tell whether it was suspended."""
        back = self.suspended
        self.failures, self.pause, self.again = 0, PAUSE_SECONDS, 0.0
        return back

    def fail(self, detail: str, now: float) -> bool:
        """Take note that it failed; tell whether that suspends it."""
        self.failures += 1
        self.detail, self.failed = detail, time.time()
        if self.failures < FAILURES or self.suspended:
            return False
        self.again = now + self.pause
        return True

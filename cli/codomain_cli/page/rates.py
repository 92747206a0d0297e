"""How often each verdict was given lately, out of counts that only grow.

In flow the counts of all verdicts every :data:`STEP_SECONDS`; out flow what was given in
the last minute, in the last quarter of an hour, and the course of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codomain.metrics import Metrics

STEP_SECONDS = 10.0
"""How often it is counted."""

STEPS = 90
"""How many counts are kept: a quarter of an hour."""

MINUTE = 6
"""Steps of a minute."""

Key = tuple[str, str, str]
"""``recipients`` or ``maps``, verdict, reason."""

RECIPIENTS = "recipients"
"""What the policy server and the milter are asked for, once for each recipient."""

MAPS = "maps"
"""What the maps are asked for, several times for each recipient."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How often one verdict was given."""

    minute: int
    """In the last minute."""

    quarter: int
    """In the last quarter of an hour."""

    total: int
    """Since the start."""


class Rates:
    """The counts of the last quarter of an hour."""

    def __init__(self, counts: Callable[[], Mapping[Key, int]]) -> None:
        """Take what counts now."""
        self._counts = counts
        self._steps: deque[Mapping[Key, int]] = deque([counts()], maxlen=STEPS + 1)

    async def run(self) -> None:
        """Count for ever, until cancelled."""
        while True:
            await asyncio.sleep(STEP_SECONDS)
            self.step()

    def step(self) -> None:
        """Count once."""
        self._steps.append(self._counts())

    def rates(self) -> dict[Key, Rate]:
        """Return how often each verdict was given."""
        now = self._counts()
        minute = self._steps[-min(MINUTE, len(self._steps))]
        quarter = self._steps[-min(STEPS, len(self._steps))]
        return {
            key: Rate(count - minute.get(key, 0), count - quarter.get(key, 0), count)
            for key, count in now.items()
        }

    def course(self, *verdicts: str) -> list[int]:
        """Return how many recipients got one of some verdicts in each step, the latest last."""
        sums = [
            sum(
                count
                for (what, verdict, _), count in step.items()
                if what == RECIPIENTS and verdict in verdicts
            )
            for step in self._steps
        ]
        return [after - before for before, after in pairwise(sums)]


def counts_of(metrics: Metrics) -> Counter[Key]:
    """Return what was answered until now."""
    counts: Counter[Key] = Counter()
    for (door, verdict, reason, _), count in metrics.answers().items():
        counts[MAPS if door == "map" else RECIPIENTS, verdict, reason] += count
    return counts

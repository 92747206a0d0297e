"""Tells in the log what has no line of its own there.

Lines that the log leaves out in an attack (:class:`codomain.log.Limit`), and refusals that
were given again from a verdict cache: the hot path writes nothing.  So the log's lines and
these counts add up to what the metrics say.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from codomain.log import event, left_out
from codomain_cli.page.recent import KNOWS_CLIENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codomain.metrics import Metrics
    from codomain_cli.page.recent import Recent

SECONDS = 10
"""How often it is told."""

REFUSALS = frozenset({"refuse", "defer"})
"""The verdicts that are counted here."""

log = logging.getLogger("codomain.log")


async def tell_left_out(metrics: Metrics, recent: Recent) -> None:
    """Tell for ever, until cancelled."""
    teller = Teller(metrics, recent)
    while True:
        await asyncio.sleep(SECONDS)
        teller.tell()


class Teller:
    """Knows what was told."""

    def __init__(self, metrics: Metrics, recent: Recent) -> None:
        """Take what counts every answer, and what sees every line."""
        self._metrics = metrics
        self._recent = recent
        self._told = 0

    def tell(self) -> None:
        """Log one line for each kind of which something was left out."""
        for name, count in left_out().items():
            event(log, logging.WARNING, "left out", kind=name, left_out=count, seconds=SECONDS)
        # First what has a line: a refusal is counted before it is logged, or after.
        seen = self._recent.seen
        again = refusals(self._metrics.answers()) - seen - self._told
        if again > 0:
            self._told += again
            event(log, logging.INFO, "refused from memory", count=again, seconds=SECONDS)


def refusals(answers: Mapping[tuple[str, str, str, str], int]) -> int:
    """Count the recipients that were refused or deferred, but for faults of our own."""
    return sum(
        count
        for (door, verdict, reason, _), count in answers.items()
        if door in KNOWS_CLIENT and verdict in REFUSALS and reason != "fault"
    )

"""The doors' lines in the log: one for each refusal, few for each kind of broken input.

How a line is written, and what a client sent kept from looking like another line, is the
matter of :mod:`codomain.log`.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from codomain.log import event
from codomain.verdict import Defer, Refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.question import Question
    from codomain.verdict import Verdict

LINES = 10
"""Lines of one kind in one window: enough to see what goes on, too few to fill a disk."""

WINDOW_SECONDS = 60.0
"""The window of :data:`LINES`."""


def log_refusal(
    log: logging.Logger,
    question: Question,
    verdict: Verdict,
    reply: str,
    *,
    shadow: bool = False,
) -> None:
    """Log one recipient that is refused or deferred, with the details that no client is told."""
    if not isinstance(verdict, Refuse | Defer):
        return
    event(
        log,
        logging.INFO,
        "refused" if isinstance(verdict, Refuse) else "deferred",
        door=question.door.value,
        client=question.client or "unknown",
        sender=question.sender,
        recipient=question.recipient,
        reason=verdict.reason.value,
        reply=reply,
        dn=verdict.dn,
        detail=verdict.detail,
        mode="shadow" if shadow else "",
    )


class Throttle:
    """Lets a few lines of each kind through, and counts the rest; on any thread."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the logger of the door, and the clock, in seconds."""
        self._log = log
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}

    def passes(self, kind: str) -> bool:
        """Tell whether one more line of this kind may be written, and count it."""
        now = self._clock()
        begun, lines = self._windows.get(kind, (now, 0))
        if now - begun >= WINDOW_SECONDS:
            if lines > LINES:
                event(self._log, logging.WARNING, "repeated", kind=kind, dropped=lines - LINES)
            begun, lines = now, 0
        self._windows[kind] = (begun, lines + 1)
        return lines < LINES

    def warn(self, name: str, kind: str, **values: object) -> None:
        """Log a warning, unless its kind has had its lines of this window."""
        if self.passes(f"{name} {kind}"):
            event(self._log, logging.WARNING, name, kind=kind, **values)

"""The doors' lines in the log: one for each refusal, few for each kind of broken input.

How a line is written, and what a client sent kept from looking like another line, is the
matter of :mod:`codomain.log`.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from codomain.log import event
from codomain.shadow import REDIRECT, SHADOW
from codomain.verdict import Defer, Deliver, Pass, Redirect, Refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.question import Question
    from codomain.verdict import Verdict

LINES = 10
"""Lines of one kind in one window: enough to see what goes on, too few to fill a disk."""

WINDOW_SECONDS = 60.0
"""The window of :data:`LINES`."""


def log_refusal(
    log: logging.Logger, question: Question, verdict: Verdict, reply: str, **more: object
) -> None:
    """Log one recipient that is refused or deferred, with the details that no client is told.

    ``more`` are fields that stand behind the others.
    """
    if not isinstance(verdict, Refuse | Defer):
        return
    event(
        log,
        logging.INFO,
        "refused" if isinstance(verdict, Refuse) else "deferred",
        **_who(question),
        reason=verdict.reason.value,
        reply=reply,
        dn=verdict.dn,
        detail=verdict.detail,
        **more,
    )


def log_shadow(
    log: logging.Logger, question: Question, verdict: Verdict, reply: str, domain: str
) -> None:
    """Log one recipient that shadow mode let through; ``codomain shadow report`` reads the lines.

    ``domain`` is the metrics' label, by which refusals and redirects are counted.
    """
    if not isinstance(verdict, Redirect):
        log_refusal(log, question, verdict, reply, mode=SHADOW, domain=domain)
        return
    event(
        log,
        logging.INFO,
        "redirected",
        **_who(question),
        reason=REDIRECT,
        target=verdict.target,
        dn=verdict.dn,
        mode=SHADOW,
        domain=domain,
    )


def _who(question: Question) -> dict[str, object]:
    return {
        "door": question.door.value,
        "client": question.client or "unknown",
        "queue_id": question.queue_id,
        "instance": question.instance,
        "sender": question.sender,
        "recipient": question.recipient,
    }


def log_accepted(log: logging.Logger, question: Question, verdict: Verdict) -> None:
    """Log one recipient that is let through; at ``log_level = debug`` alone."""
    if isinstance(verdict, Refuse | Defer) or not log.isEnabledFor(logging.DEBUG):
        return
    way = None if isinstance(verdict, Pass) else verdict.connector
    event(
        log,
        logging.DEBUG,
        "accepted",
        **_who(question),
        verdict=type(verdict).__name__.lower(),
        target=verdict.target if isinstance(verdict, Redirect) else "",
        connector=way.name if way is not None else "",
        dn=verdict.dn if isinstance(verdict, Deliver | Redirect) else "",
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

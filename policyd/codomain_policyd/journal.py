"""The lines of Postfix's doors in the log (:mod:`codomain.journal`), under their own name."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from codomain import journal

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("codomain.policyd")

log_refusal = partial(journal.log_refusal, log)
"""Log one recipient that is refused or deferred."""

log_accepted = partial(journal.log_accepted, log)
"""Log one recipient that is let through, at debug."""

log_shadow = partial(journal.log_shadow, log)
"""Log one recipient that shadow mode let through."""


class Throttle(journal.Throttle):
    """Lets a few lines of each kind through, and counts the rest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the clock, in seconds."""
        super().__init__(log, clock)

"""What the event loop complains of, in few lines.

asyncio's own loop, out of file descriptors, says so a thousand times a second for each
listener, with a traceback each time: that fills a disk, and costs half a processor.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from codomain.journal import Throttle

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger("codomain.serve")


class LoopFaults:
    """An exception handler of the loop (asyncio's ``set_exception_handler``)."""

    def __init__(self) -> None:
        self._throttle = Throttle(log)

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log a fault as the loop does by itself, a few of each kind."""
        if self._throttle.passes(f"loop {type(context.get('exception')).__name__}"):
            loop.default_exception_handler(context)

"""Looks at the local indexes while the daemon runs, so that no door keeps an outdated verdict."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.runtime import InForce

LOOK_SECONDS = 0.05
"""How often an index is looked at: a verdict that a door keeps is outdated for no longer.
One look takes some microseconds."""

IDLE_SECONDS = 1.0
"""How often it is asked whether there are indexes at all: a reload may bring some."""

log = logging.getLogger("codomain.index")


async def watch_indexes(in_force: InForce, changed: Callable[[], object]) -> None:
    """Look for ever, until cancelled; ``changed`` is called when kept verdicts must go."""
    while True:
        runtime = in_force.runtime
        try:
            if runtime.look():
                changed()
        except Exception:  # a fault of ours must not end the watch
            log.exception("the local indexes cannot be looked at by a fault of our own")
            await asyncio.sleep(IDLE_SECONDS)
        await asyncio.sleep(LOOK_SECONDS if runtime.indexed else IDLE_SECONDS)

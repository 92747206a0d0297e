"""Tells systemd that the daemon is alive: not that it runs, but that a look-up still works.

Each time, a recipient is decided the way a door decides it, on the same loop, through the
same resolver.  Any verdict counts, "the directory is down" too: a restart would not mend a
directory, and would lose the cache that mail lives on meanwhile.  What does not count is no
answer by the deadline, or a fault of our own; after WatchdogSec= of that systemd ends the
process and starts it anew (systemd.service(5), sd_watchdog_enabled(3)).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING

from codomain.address import parse_recipient
from codomain.log import event
from codomain.question import Question

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codomain.runtime import InForce, Runtime

PARTS = 3
"""We tell three times in the time that systemd allows; it recommends twice at least."""

LOCAL_PART = "postmaster"
"""Who is asked for: the one recipient that every domain has (RFC 5321 section 4.5.1)."""

log = logging.getLogger("codomain.watchdog")


def period(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the seconds from one sign of life to the next; None: nobody waits for one."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    pid = environment.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or not int(microseconds) or pid not in {"", str(os.getpid())}:
        return None
    return int(microseconds) / 1_000_000 / PARTS


async def watch(in_force: InForce, notify: Callable[[str], None], seconds: float) -> None:
    """Look a recipient up and tell systemd, for ever, until cancelled."""
    failing = False
    while True:
        fault = await _fault(in_force.runtime, seconds)
        if not fault:
            notify("WATCHDOG=1")
        if bool(fault) != failing:
            failing = bool(fault)
            if failing:
                event(log, logging.ERROR, "look-ups do not work", detail=fault)
            else:
                event(log, logging.WARNING, "look-ups work again")
        await asyncio.sleep(seconds)


async def _fault(runtime: Runtime, seconds: float) -> str:
    """Decide one recipient; return what is wrong with that, or nothing."""
    domains = runtime.config.domains
    name = domains[0].name if domains else "invalid"
    question = Question(parse_recipient(f"{LOCAL_PART}@{name}".encode()))
    deadline = min(runtime.config.policyd.deadline, seconds)
    try:
        async with asyncio.timeout(2 * deadline):
            await runtime.resolver.resolve(question, time.monotonic() + deadline)
    except TimeoutError:
        return f"no verdict within {2 * deadline:.1f} s"
    except Exception as error:  # noqa: BLE001  # whatever it is, systemd shall know
        return f"{type(error).__name__}: {error}"
    return ""

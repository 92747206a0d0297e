"""The milter in the daemon: its socket, its thread, its stop.

libmilter keeps its callbacks in globals and serves once in a process, so there is one
:class:`MilterServer`.  Its listener has a thread of its own, beside the event loop in the
main thread, which keeps all signals; each connection of an MTA gets another from libmilter.

libmilter starts a thread that waits for HUP, TERM and INT and takes each for a stop.  The
kernel gives a signal to the main thread first, so ours come here; but one that comes just
while that thread begins, or together with another, may go there.  The milter then ends,
and cannot be started again in this process: so the daemon ends, too, with a status that
lets its supervisor start it anew (codomain.service: Restart=on-failure).

pymilter is imported only when this door is opened: Postfix's doors need neither it nor
libmilter.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import threading
import time
from typing import TYPE_CHECKING

from codomain.log import event
from codomain_milter.door import MilterDoor, log
from codomain_milter.place import Place, reserve
from codomain_milter.trace import Tracer
from codomain_milter.tracekey import trace_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.runtime import InForce

POLL_SECONDS = 0.02
"""How often a stop looks whether callbacks are still under way."""

SETTLE_SECONDS = 0.5
"""How long a start waits for libmilter's signal thread; it takes milliseconds."""

MISSING = (
    "[milter] listen: pymilter is not installed; apt-get install python3-milter, or"
    " apt-get install libmilter-dev gcc python3-dev and pip install 'codomain[milter]'"
)
"""What is wrong where this door is to be opened and cannot."""


def missing() -> str:
    """Say what is not installed; empty: all is there."""
    try:
        # The folder milter/ of a source tree is a package of that name to Python, and empty.
        return "" if hasattr(importlib.import_module("milter"), "register") else MISSING
    except ImportError:
        return MISSING


class MilterServer:
    """The milter of one process."""

    def __init__(self, in_force: InForce, on_end: Callable[[], object]) -> None:
        """Take the runtime in force, and whom to tell in the loop if libmilter ends by itself."""
        self._in_force = in_force
        self._on_end = on_end
        self._stopping = False
        self._place: Place | None = None
        self._thread: threading.Thread | None = None
        self._door: MilterDoor | None = None

    async def open(self) -> None:
        """Listen, if the configuration says where.

        Raises:
            ListenError: it cannot; one line says why.

        """
        config = self._in_force.runtime.config
        endpoint = config.milter.listen
        if endpoint is None:
            return
        from codomain_milter import libmilter  # noqa: PLC0415  # see above

        place = reserve(endpoint, group=config.policyd.socket_group)
        try:
            tracer = Tracer(trace_key(config.codomain.state_directory))
            self._door = MilterDoor(self._in_force, asyncio.get_running_loop(), tracer)
            libmilter.listen(self._door, place, config.policyd.socket_mode)
        except BaseException:
            place.release()
            raise
        self._place = place
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(
            target=self._serve, args=(libmilter.serve, loop), name="libmilter", daemon=True
        )
        self._thread.start()
        end = time.monotonic() + SETTLE_SECONDS
        while not libmilter.takes_signals() and time.monotonic() < end:  # noqa: ASYNC110  # foreign
            await asyncio.sleep(POLL_SECONDS)
        event(log, logging.INFO, "listening", door=self._door.name, at=endpoint)

    def _serve(self, serve: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        serve()
        if not self._stopping:
            loop.call_soon_threadsafe(self._on_end)

    async def stop(self, timeout: float) -> None:  # noqa: ASYNC109  # not only waiting ends by it
        """Accept no more connections, and wait for the callbacks that are under way.

        Connections that stay open are closed by the end of the process; the MTA then does
        what its milter_default_action says (tempfail: 451, and the mail comes again).
        """
        if self._thread is None or self._door is None or self._place is None:
            return
        from codomain_milter import libmilter  # noqa: PLC0415

        self._stopping = True
        end = time.monotonic() + timeout
        # It waits for the listener, which the loop must not.
        threading.Thread(target=libmilter.stop, name="libmilter-stop", daemon=True).start()
        while time.monotonic() < end and (self._door.busy or self._thread.is_alive()):
            if self._thread.is_alive():
                self._place.knock()
            await asyncio.sleep(POLL_SECONDS)
        self._place.release()

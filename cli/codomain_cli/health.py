"""Whether the directories answer: asked now and then, so that /readyz knows before mail does."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from codomain.errors import DirectoryError
from codomain.log import event

if TYPE_CHECKING:
    from codomain.directory.base import Directory
    from codomain.runtime import InForce

UP_SECONDS = 30.0
"""How often a directory that answers is asked; Prometheus scrapes about as often."""

DOWN_SECONDS = 2.0
"""How often one that does not answer is asked, so that the gateway is soon ready again."""

log = logging.getLogger("codomain.health")


class Health:
    """Asks each directory of the runtime in force, one at a time, in a thread of its own."""

    def __init__(self, in_force: InForce) -> None:
        self._in_force = in_force
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._silent: dict[str, str] = {}
        self._asked: set[tuple[int, str]] = set()
        self._wake = asyncio.Event()

    def silent(self) -> set[str]:
        """Return the directories that do not answer, or have not been asked yet."""
        runtime = self._in_force.runtime
        unasked = {
            name for name in runtime.directories if (runtime.generation, name) not in self._asked
        }
        down = {name for name in runtime.flights.down if name in runtime.directories}
        return unasked | down | (set(self._silent) & set(runtime.directories))

    def look_now(self) -> None:
        """Ask at once, after a reload."""
        self._wake.set()

    async def run(self) -> None:
        """Ask for ever, until cancelled."""
        try:
            while True:
                runtime = self._in_force.runtime
                for name, directory in list(runtime.directories.items()):
                    await self._look(name, directory)
                    self._asked.add((runtime.generation, name))
                pause = DOWN_SECONDS if self._silent else UP_SECONDS
                self._wake.clear()
                if runtime is self._in_force.runtime:
                    await _wait(self._wake, pause)
        finally:
            self._executor.shutdown(wait=False, cancel_futures=True)

    async def _look(self, name: str, directory: Directory) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, directory.check)
        except DirectoryError as error:
            if name not in self._silent:
                event(log, logging.ERROR, "directory down", directory=name, detail=error)
            self._silent[name] = str(error)
            return
        flights = self._in_force.runtime.flights
        flights.answered(name)
        if self._silent.pop(name, None) is not None:
            event(log, logging.WARNING, "directory up", directory=name)


async def _wait(wake: asyncio.Event, seconds: float) -> None:
    """Wait for an event, or for the time to pass."""
    try:
        await asyncio.wait_for(wake.wait(), seconds)
    except TimeoutError:
        return

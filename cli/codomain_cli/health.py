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
    from codomain.runtime import InForce, Runtime

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
        self._asked: set[str] = set()
        self._generation = 0
        self._wake = asyncio.Event()

    def silent(self) -> set[str]:
        """Return the directories that do not answer, or have not been asked yet."""
        runtime = self._in_force.runtime
        names = set(runtime.directories)
        asked = self._asked if runtime.generation == self._generation else set()
        return (names - asked) | (names & (set(runtime.flights.down) | set(self._silent)))

    def detail(self, name: str) -> str:
        """Return what was wrong with a directory when it was last asked; empty: nothing yet."""
        return self._silent.get(name) or self._in_force.runtime.flights.down.get(name, "")

    def states(self) -> list[tuple[str, bool]]:
        """Return each directory's name and whether it answers, each server's below it.

        And each next system that call-outs ask: it counts for nothing in :meth:`silent`,
        because the gateway answers without it.
        Names and URIs alone, as the INI has them: why one does not answer is in the log.
        """
        silent = self.silent()
        states = []
        for name, directory in self._in_force.runtime.directories.items():
            states.append((f"directory {name}", name not in silent))
            states += [(f"server {uri}", up) for uri, up in servers_of(directory)]
        callouts = self._in_force.runtime.callouts
        if callouts is not None:
            suspended = callouts.suspended()
            states += [(f"next system {name}", name not in suspended) for name in callouts.states]
        return states

    def up(self) -> dict[str, bool]:
        """Return whether each directory answers, for the metrics."""
        silent = self.silent()
        return {name: name not in silent for name in self._in_force.runtime.directories}

    def look_now(self) -> None:
        """Ask at once, after a reload."""
        self._wake.set()

    async def run(self) -> None:
        """Ask for ever, until cancelled."""
        try:
            while True:
                runtime = self._in_force.runtime
                self._begin(runtime)
                for name, directory in list(runtime.directories.items()):
                    await self._look(name, directory)
                    self._asked.add(name)
                pause = DOWN_SECONDS if self._silent else UP_SECONDS
                self._wake.clear()
                if runtime is self._in_force.runtime:
                    await _wait(self._wake, pause)
        finally:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _begin(self, runtime: Runtime) -> None:
        """Forget what was known under another configuration, but for who is silent still."""
        if runtime.generation != self._generation:
            self._generation = runtime.generation
            self._asked = set()
            gone = set(self._silent) - set(runtime.directories)
            for name in gone:
                del self._silent[name]
            for name in self._silent:
                runtime.flights.unanswered(name)

    async def _look(self, name: str, directory: Directory) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, directory.check)
        except DirectoryError as error:
            self._fell_silent(name, str(error))
            return
        except Exception as error:  # noqa: BLE001  # a fault of ours must not end the watch
            self._fell_silent(name, f"internal error: {type(error).__name__}: {error}")
            return
        flights = self._in_force.runtime.flights
        flights.answered(name)
        if self._silent.pop(name, None) is not None:
            event(log, logging.WARNING, "directory up", directory=name)

    def _fell_silent(self, name: str, detail: str) -> None:
        if name not in self._silent:
            event(log, logging.ERROR, "directory down", directory=name, detail=detail)
        self._silent[name] = detail
        flights = self._in_force.runtime.flights
        flights.unanswered(name)


def servers_of(directory: Directory) -> list[tuple[str, bool]]:
    """Return the servers of a directory, up or down; none of one that has no servers."""
    behind_index = getattr(directory, "live", directory)
    servers: list[tuple[str, bool]] = getattr(behind_index, "servers", list)()
    return servers


async def _wait(wake: asyncio.Event, seconds: float) -> None:
    """Wait for an event, or for the time to pass."""
    try:
        await asyncio.wait_for(wake.wait(), seconds)
    except TimeoutError:
        return

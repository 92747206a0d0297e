"""The pages as the admin door serves them: from a request to HTML.

What they show is gathered on the event loop, which takes a fraction of a millisecond, and
written in a thread, for all who look within a second together: however many do, mail
waits for none of them.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from codomain_cli.control import Peer
from codomain_cli.page.explaining import explain
from codomain_cli.page.html import Html, join, tag
from codomain_cli.page.live import parts_of
from codomain_cli.page.rates import Rates, counts_of
from codomain_cli.page.render import answered, in_force, whole
from codomain_cli.page.state import State
from codomain_cli.page.traffic import WHAT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from codomain.runtime import InForce, Runtime
    from codomain_cli.handlers import Handlers
    from codomain_cli.page.recent import Recent

NOBODY = Peer(0, -1, -1)
"""Who asks the handlers: no process, and none of those that are asked looks at it."""

FRESH_SECONDS = 1.0
"""So long a page that was written serves everybody."""


class Pages:
    """The pages of one process."""

    def __init__(self, in_force: InForce, handlers: Handlers, recent: Recent) -> None:
        """Take what gathers the daemon's state, and what keeps the last refusals."""
        self._in_force = in_force
        self._handlers = handlers
        self._recent = recent
        self._writing = asyncio.Lock()
        self._parts: Sequence[Html] = ()
        self._fresh_until = 0.0
        self._generation = 0
        self._written = Html()
        metrics = in_force.runtime.metrics
        self.rates = Rates(lambda: counts_of(metrics))

    async def whole(self, _request: web.Request) -> str:
        """Return the status page."""
        runtime, parts = await self._current()
        return whole(runtime, parts, self._written)

    async def live(self, _request: web.Request) -> str:
        """Return the parts that change, for the script."""
        runtime, parts = await self._current()
        return tag("body", join(parts), data_generation=runtime.generation)

    async def explain(self, request: web.Request) -> str:
        """Return what happens to mail for the address of the query."""
        runtime = self._in_force.runtime
        query = request.query
        client, authenticated = query.get("client", "").strip(), "authenticated" in query
        address = query.get("address", "").strip()
        explained = explain(runtime, address, client, authenticated=authenticated)
        return answered(runtime.config, explained, client, authenticated=authenticated)

    async def _current(self) -> tuple[Runtime, Sequence[Html]]:
        """Return the runtime in force, and the parts of its page."""
        async with self._writing:
            runtime = self._in_force.runtime
            if self._generation != runtime.generation:
                self._written = await asyncio.to_thread(in_force, runtime.config)
                self._generation, self._fresh_until = runtime.generation, 0.0
            if time.monotonic() >= self._fresh_until:
                state = await self._state(runtime)
                self._parts = await asyncio.to_thread(parts_of, state)
                self._fresh_until = time.monotonic() + FRESH_SECONDS
            return runtime, self._parts

    async def _state(self, runtime: Runtime) -> State:
        callouts = runtime.callouts
        return State(
            now=time.time(),
            runtime=runtime,
            status=await self._handlers.status({}, NOBODY),
            stats=await self._handlers.cache_stats({}, NOBODY),
            rates=self.rates.rates(),
            course=(self.rates.course(*WHAT), self.rates.course("refuse", "defer")),
            suspended=callouts.suspended() if callouts is not None else frozenset(),
            refusals=self._recent.refusals(),
        )

"""The doors of the MTA, opened and closed: listeners, limits, reload and graceful stop."""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from codomain.log import event
from codomain_policyd.activation import Activation
from codomain_policyd.journal import Throttle, log
from codomain_policyd.listeners import BACKLOG, Listening, close_all, listen
from codomain_policyd.map_door import MapConnection, MapDoor
from codomain_policyd.policy_door import PolicyConnection, PolicyDoor

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.runtime import InForce

UNREAD_SECONDS = 10.0
"""A client that leaves its answers unread for so long is cut off: smtpd waits for nothing
else, and Postfix's time-out for a policy server is 100 s (smtpd_policy_service_timeout)."""

DRAIN_SECONDS = 0.1
"""At a stop connections stay open for so long, because a request may be on its way."""

DESCRIPTORS = 65_536
"""The most file descriptors that are asked for where the hard limit sets no bound.

Below it all are: libmilter bounds its connections by nothing, and takes the descriptors of
the doors here where there are too few.
"""


class Doors:
    """All policy and map listeners of one process, and their connections."""

    def __init__(
        self,
        in_force: InForce,
        *,
        unread_seconds: float = UNREAD_SECONDS,
        activation: Activation | None = None,
    ) -> None:
        """Take the runtime in force, and the sockets that somebody opened for us.

        A test may make unread answers expire sooner.
        """
        self._in_force = in_force
        self._activation = activation or Activation([])
        self._unread_seconds = unread_seconds
        self._throttle = Throttle()
        self.policy = PolicyDoor(in_force, self._throttle)
        self.maps = MapDoor(in_force, self._throttle)
        self._listening: list[tuple[str, Listening]] = []
        # uvloop closes a server that nobody refers to.
        self._servers: list[asyncio.AbstractServer] = []
        self._connections: set[PolicyConnection | MapConnection] = set()
        self._alone = asyncio.Event()
        self._sweeper: asyncio.TimerHandle | None = None
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.policy.on_braked = self._forget

    @property
    def sockets(self) -> dict[str, list[object]]:
        """The names of the listening sockets by door, as getsockname(2) gives them."""
        places: dict[str, list[object]] = {self.policy.name: [], self.maps.name: []}
        for door, listening in self._listening:
            unix = listening.endpoint.kind == "unix"
            name = listening.endpoint.path if unix else listening.sock.getsockname()
            places[door].append(name)
        return places

    async def open(self) -> None:
        """Open every listener of the configuration, or none.

        Raises:
            ListenError: One of them cannot be opened; the text names it, and what holds it.
        """
        section = self._in_force.runtime.config.policyd
        self._loop = asyncio.get_running_loop()
        self._heed()
        _allow_descriptors()
        protocols = {
            self.policy.name: self._policy_connection,
            self.maps.name: self._map_connection,
        }
        try:
            for door, endpoints in (
                (self.policy.name, section.listen),
                (self.maps.name, section.socketmap_listen),
            ):
                for endpoint in endpoints:
                    opened = [
                        Listening(endpoint, sock) for sock in self._activation.take(endpoint)
                    ] or listen(endpoint, group=section.socket_group, mode=section.socket_mode)
                    self._listening += [(door, listening) for listening in opened]
            for door, listening in self._listening:
                self._servers.append(await _serve(listening, protocols[door]))
        except BaseException:
            self._close_listeners()
            raise
        for door, listening in self._listening:
            event(log, logging.INFO, "listening", door=door, at=listening.endpoint)
        for place in self._activation.left():
            event(log, logging.WARNING, "socket of systemd not in the configuration", at=place)
        self._sweep()

    def refresh(self) -> None:
        """Take a new runtime, or a purged cache, into account: nothing kept is valid any more.

        Call it in the loop's thread right after the swap; connections stay open.
        """
        self.policy.refresh()
        self.maps.refresh()
        self._heed()
        self._forget()

    def _heed(self) -> None:
        """Hear of the clients that come under the harvest brake at whatever door."""
        brake = self._in_force.runtime.brake
        if brake is not None:
            brake.on_brake = self._braked

    def _braked(self) -> None:
        """Forget all clients, from any thread.

        At once, because the next question may reach the loop before it hears of this; and then
        in the loop, because a question that it is just answering may bring back what it had
        looked up.  A loop that has ended answers nobody.
        """
        self.policy.forget_clients()
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.policy.forget_clients)

    def _forget(self) -> None:
        """Let every connection look its client up anew; any thread may."""
        for connection in list(self._connections):
            connection.forget()

    async def stop(self, timeout: float) -> None:  # noqa: ASYNC109  # not only waiting ends by it
        """Stop accepting, answer what is under way, close; after ``timeout`` seconds anyway."""
        end = time.monotonic() + timeout
        self._stopping = True
        self._close_listeners()
        await asyncio.sleep(min(DRAIN_SECONDS, timeout))
        for connection in list(self._connections):
            connection.finish()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, end - time.monotonic())):
                await self._all_gone()
        for connection in list(self._connections):
            connection.abort()
        await self._all_gone()
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _all_gone(self) -> None:
        self._alone.clear()
        if self._connections:
            await self._alone.wait()

    def _lost(self, connection: PolicyConnection | MapConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._alone.set()

    def _close_listeners(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        close_all([listening for _, listening in self._listening])
        self._listening.clear()

    def _policy_connection(self) -> asyncio.Protocol:
        return self._admitted(PolicyConnection(self.policy))

    def _map_connection(self) -> asyncio.Protocol:
        return self._admitted(MapConnection(self.maps))

    def _admitted(self, connection: PolicyConnection | MapConnection) -> asyncio.Protocol:
        limit = self._in_force.runtime.config.policyd.max_connections
        if len(self._connections) >= limit or self._stopping:
            return _TurnedAway(partial(self._turned_away, connection.door))
        self._connections.add(connection)
        connection.on_lost = partial(self._lost, connection)
        return connection

    def _turned_away(self, door: str) -> None:
        self.policy.metrics.protocol_error(door, "connections")
        limit = self._in_force.runtime.config.policyd.max_connections
        self._throttle.warn("turned-away", "connections", door=door, max_connections=limit)

    def _sweep(self) -> None:
        """Close what asks nothing for too long, and what leaves its answers unread."""
        idle = self._in_force.runtime.config.policyd.idle_timeout
        now = time.monotonic()
        for connection in list(self._connections):
            unread = connection.unread_since
            if unread is not None and now - unread >= self._unread_seconds:
                self._throttle.warn("cut-off", "unread", door=connection.door)
                self.policy.metrics.protocol_error(connection.door, "unread")
                connection.abort()
            elif connection.idle and now - connection.last >= idle:
                connection.expire()
        period = min(idle, self._unread_seconds) / 4
        self._sweeper = asyncio.get_running_loop().call_later(period, self._sweep)


class _TurnedAway(asyncio.Protocol):
    """A connection beyond the limit: closed at once, and Postfix comes again (451 at worst)."""

    def __init__(self, note: Callable[[], None]) -> None:
        self._note = note

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        self._note()
        transport.close()


async def _serve(
    listening: Listening, protocol: Callable[[], asyncio.Protocol]
) -> asyncio.AbstractServer:
    loop = asyncio.get_running_loop()
    if listening.endpoint.kind == "unix":
        # From 3.13 on asyncio removes the file of a server that it closes: ours is removed by
        # Listening.unlink, and one of systemd's outlives this process.
        options: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        return await loop.create_unix_server(
            protocol, sock=listening.sock, backlog=BACKLOG, **options
        )
    return await loop.create_server(protocol, sock=listening.sock, backlog=BACKLOG)


def _allow_descriptors() -> None:
    """Raise the soft limit of open files as far as the hard one permits (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < most:
        # A sandbox may forbid the call; then the limit is as it was.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
